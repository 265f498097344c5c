// Further questions about the same pictures, asked in place, with their price before they are asked.
import { byId } from "./dom.js";
import { get, post } from "./http.js";
import { announce, fault, sentence } from "./notices.js";
import { costOf } from "./price.js";
import { cited, data } from "./state.js";
import { count } from "./words.js";

const LATER = 500; // milliseconds
const AGAIN = 1_500;
const HINT = "Write it, and you see its price. The same question again costs nothing.";
let job = "";
let reload = async () => {};
let due = null;
let running = null;
let readyFor = "";
const followed = new Set();

const question = () => {
  const look = !byId("look-box").hidden && byId("look").checked;
  return { question: byId("further-ask").value.trim(), images: look ? [...cited] : [] };
};

const words = ({ asked, requests, ...price }) => {
  if (asked) return "This was asked before: it costs nothing.";
  return `About ${costOf(price, price.priced)}: ${count(requests, "request")}${price.images ? ` over ${count(price.images, "picture")}` : " over the notes"}.`;
};

const button = (text, ready) => {
  byId("further-go").textContent = text;
  byId("further-go").setAttribute("aria-disabled", String(!ready));
};

/** The turn that is not answered yet: the next question goes on from its answer. */
const open = () => data.turns.find(({ status }) => status === "running" || status === "paused");

const look = () => {
  clearTimeout(due);
  running?.abort();
  readyFor = "";
  fault("further-ask", "");
  button("Ask", false);
  const waits = open();
  byId("further-price").textContent = waits ? `The question above is ${waits.status}: when it is answered, the next one can be asked.` : question().question ? "Working out the price …" : HINT;
  if (!waits && question().question) due = setTimeout(estimate, LATER);
};

const estimate = async () => {
  running = new AbortController();
  const { signal } = running;
  const asked = question();
  try {
    const price = await post(`/api/jobs/${job}/ask/estimate`, asked, { signal, safe: true });
    if (signal.aborted) return;
    readyFor = JSON.stringify(asked);
    byId("further-price").textContent = words(price);
    button(price.priced && !price.asked ? `Ask for about ${costOf({ ...price, sandbox: false }, true)}` : "Ask", true);
  } catch (problem) {
    if (signal.aborted) return;
    byId("further-price").textContent = HINT;
    fault("further-ask", sentence(problem.message));
  }
};

const ask = async (event) => {
  event.preventDefault();
  const asked = question();
  if (JSON.stringify(asked) !== readyFor) { byId("further-ask").focus(); return; }
  button("Asking …", false);
  try {
    const { job: turn } = await post(`/api/jobs/${job}/ask`, asked, { safe: true }); // asked twice, it is one turn
    byId("further-ask").value = "";
    await reload();
    announce("The question is asked");
    byId("turns").scrollIntoView({ block: "nearest" });
    follow(turn);
  } catch (problem) {
    fault("further-ask", sentence(problem.message));
    look();
  }
};

/** Show the answer of a turn when it is there. */
const follow = async (turn) => {
  if (followed.has(turn)) return;
  followed.add(turn);
  for (;;) {
    const { ended, status } = await get(`/api/jobs/${turn}/progress`);
    if (ended || status === "paused") break;
    await new Promise((resolve) => { setTimeout(resolve, AGAIN); });
  }
  followed.delete(turn);
  await reload();
  announce("The answer to the further question is there");
};

/** Show the form, if the job has an answer to go on from. */
export const drawFurther = () => {
  byId("further").hidden = !data.job.ended || !data.answer;
  byId("look-box").hidden = data.tree.nodes < 2 || cited.size === 0;
  look();
  for (const { id, status } of data.turns) if (status === "running") follow(id);
};

export const startFurther = (id, onChange) => {
  [job, reload] = [id, onChange];
  byId("turns").after(byId("further")); // below the answers, not below all pictures
  byId("further-ask").oninput = look;
  byId("look").onchange = look;
  byId("further-form").onsubmit = ask;
};
