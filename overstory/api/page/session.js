// Who is at the page. A service that needs a token asks for it once; the browser keeps a cookie.
import { byId, h } from "./dom.js";
import { get, onSignIn, post, request } from "./http.js";
import { fault, sentence } from "./notices.js";

let session = { name: null, is_admin: true, read_only: false, needs_token: false };
export const mayChange = () => !session.read_only;

const shown = () => {
  const named = session.name !== null && session.name !== undefined;
  document.body.classList.toggle("read-only", Boolean(session.read_only));
  byId("who").hidden = !named;
  byId("who").replaceChildren(...(named ? [
    h("span", { class: "name" }, session.name, session.read_only ? " (may only read)" : ""),
    h("button", { type: "button", class: "link", onclick: signOut }, "Sign out"),
  ] : []));
};

const signOut = async () => {
  await request("DELETE", "/api/session");
  location.reload();
};

let asking = null;
const ask = () => {
  asking ??= new Promise((resolve) => {
    const dialog = byId("sign-in");
    const token = byId("token");
    byId("sign-in-form").onsubmit = async (event) => {
      event.preventDefault();
      fault("token", "");
      try {
        await post("/api/session", { token: token.value.trim() });
      } catch (problem) {
        fault("token", problem.status === 401 ? "The service does not know this token." : sentence(problem.message));
        token.select();
        return;
      }
      token.value = "";
      dialog.close();
      asking = null;
      session = await get("/api/session");
      shown();
      resolve();
    };
    dialog.oncancel = (event) => event.preventDefault(); // without a token there is nothing to see
    dialog.showModal();
    token.focus();
  });
  return asking;
};

/** Resolves when the person may use the service. */
export const enter = async () => {
  onSignIn(ask);
  try {
    session = await get("/api/session");
  } catch (problem) {
    if (problem.status !== 401 && problem.status !== 404) throw problem;
    if (problem.status === 401) await ask();
    return; // 404: a service without tokens
  }
  if (session.needs_token && (session.name === null || session.name === undefined)) await ask();
  shown();
};
