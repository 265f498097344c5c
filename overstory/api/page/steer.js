// What a person may do with a job: pause, go on, cancel, try again, share, download.
import { byId, h } from "./dom.js";
import { post } from "./http.js";
import { announce, fault, sentence } from "./notices.js";

let changed = () => {};
let job = "";

const act = (path, body, done) => async () => {
  fault("steering", "");
  const buttons = [...byId("steering").querySelectorAll("button")];
  buttons.forEach((button) => { button.disabled = true; });
  try {
    await post(`/api/jobs/${job}/${path}`, body());
    announce(done);
  } catch (problem) {
    fault("steering", sentence(problem.message));
  }
  buttons.forEach((button) => { button.disabled = false; });
  await changed();
  byId("steering").querySelector("button")?.focus();
};
const nothing = () => ({});
const button = (text, run, style = "") => h("button", { type: "button", class: style, onclick: run }, text);

const sure = () => new Promise((resolve) => {
  const dialog = byId("confirm");
  dialog.returnValue = "";
  dialog.onclose = () => resolve(dialog.returnValue === "yes");
  dialog.showModal();
});
const cancel = async () => { if (await sure()) await act("cancel", nothing, "The job is cancelled")(); };

const goOn = (now) => {
  if (!now.over_budget) return [button("Go on", act("resume", nothing, "The job goes on"), "go")];
  const input = h("input", { type: "number", id: "new-budget", min: "0", step: "any", inputmode: "decimal", "aria-label": `New budget in ${now.currency}`, value: now.budget_enough ?? Number((2 * Math.max(now.budget ?? 0, now.cost)).toPrecision(2)) });
  const body = () => ({ budget: Number(input.value) });
  return [h("span", { class: "unit" }, "Budget", input, now.currency), button("Go on with this budget", act("resume", body, "The job goes on"), "go")];
};

const steering = (now) => {
  if (now.status === "running") return [button("Pause", act("pause", nothing, "The job is paused")), button("Cancel", cancel)];
  if (now.status === "paused") return [...goOn(now), button("Cancel", cancel)];
  if (now.status === "completed") return [];
  return [button("Try failed pictures again", act("retry", nothing, "The failed pictures are tried again"))];
};

const FORMATS = [["report", "Report, one file (HTML)"], ["export?format=csv&rows=images", "Every picture (CSV)"], ["export?format=jsonl&rows=images", "Every picture (JSON lines)"], ["export?format=markdown", "Answer (Markdown)"]];
const OF_UNITS = [["export?format=csv", "Every unit (CSV)"], ["export?format=jsonl", "Every unit (JSON lines)"]];

let before = "";
/** Show what may be done with the job as it stands `now`. */
export const drawSteering = (now) => {
  const state = `${now.status} ${now.over_budget} ${now.budget}`;
  if (state === before) return; // so that the focus and what is typed stay
  before = state;
  byId("steering").replaceChildren(...steering(now));
  byId("share").hidden = !now.ended;
  byId("downloads").hidden = !now.ended;
  const formats = now.by ? FORMATS.toSpliced(1, 0, ...OF_UNITS) : FORMATS;
  byId("downloads-list").replaceChildren(...formats.map(([path, text]) => h("li", {}, h("a", { href: `/api/jobs/${job}/${path}`, download: path === "report" ? `overstory-${job}.html` : "" }, text))));
};

export const startSteering = (id, onChange) => {
  [job, changed] = [id, onChange];
  const menu = byId("downloads");
  menu.addEventListener("keydown", (event) => { if (event.key === "Escape") { menu.open = false; menu.querySelector("summary").focus(); } });
  addEventListener("click", (event) => { if (!menu.contains(event.target)) menu.open = false; });
};
