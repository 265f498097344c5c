// The person at the page. A service that needs a token asks for it once; the browser keeps a cookie.
import { byId, h } from "./dom.js";
import { get, onSignIn, post, request } from "./http.js";
import { fault, sentence } from "./notices.js";

const LOCAL = "local"; // this machine, without a token
let session = { name: LOCAL, is_admin: true, read_only: false, needs_token: false };
export const mayChange = () => !session.read_only;

const shown = () => {
  const named = session.name !== LOCAL;
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
      asking = null;
      dialog.close();
      await know();
      resolve();
    };
    dialog.onclose = () => { if (asking) dialog.showModal(); }; // without a token there is nothing to see
    dialog.showModal();
    token.focus();
  });
  return asking;
};

const know = async () => {
  session = await get("/api/session");
  if (!session.needs_token) shown();
};

/** Resolves when the person may use the service. */
export const enter = async () => {
  onSignIn(ask);
  await know();
  if (session.needs_token) await ask();
};
