// The list of jobs: found by a word or a state, and kept up to date.
import { byId, h } from "./dom.js";
import { get } from "./http.js";
import { count, money, seconds } from "./words.js";

const LIMITS = [50, 200, 1000]; // the service lists a thousand at most
const STATES = { all: "all", running: "running", paused: "paused", done: "answered", ended: "without an answer" };
const BELONGS = { done: ["completed", "partial"], ended: ["failed", "cancelled"] };
const SOON = 2_000; // milliseconds between two looks while a job runs
const SELDOM = 15_000;

let lines = [];
let state = "all";
let limit = 0;
let timer = null;
const rows = new Map(); // id -> {text, element}

const isChosen = (line) => state === "all" || line.status === state || (BELONGS[state] ?? []).includes(line.status);
const textOf = ({ ask, label, id, model, owner, status }) => [ask, label, id, model, owner, status].filter(Boolean).join(" ").toLowerCase();

const when = (time) => {
  const past = Date.now() / 1000 - time;
  if (past < 60) return "just now";
  if (past < 3600) return `${Math.floor(past / 60)} min ago`;
  if (past < 86400) return `${Math.floor(past / 3600)} h ago`;
  return new Date(time * 1000).toLocaleDateString("en-GB", { dateStyle: "medium" });
};

const share = ({ status, submitted, included, failed }) => {
  if (status === "completed") return count(submitted, "picture");
  const parts = [`${included.toLocaleString("en")} of ${count(submitted, "picture")}`];
  if (failed) parts.push(`${failed.toLocaleString("en")} failed`);
  return parts.join(", ");
};

const draw = (line) => {
  const meta = [line.label, share(line), line.status === "running" ? `for ${seconds(line.seconds)}` : null, line.owner ? `by ${line.owner}` : null, when(line.created_at)];
  return h("a", { class: "job", href: `/jobs/${encodeURIComponent(line.id)}` },
    h("span", { class: "pill" }, h("span", { class: `dot s-${line.status}` }), line.status), " ",
    h("span", { class: "what" }, h("span", { class: "ask" }, line.ask), " ", h("span", { class: "meta" }, meta.filter(Boolean).join(" · "))), " ",
    h("span", { class: "cost" }, money(line.cost, line.currency)));
};

/** The same element for the same job, so that the focus stays where it is. */
const row = (line) => {
  const made = draw(line);
  const before = rows.get(line.id);
  if (before?.firstChild.isEqualNode(made)) return before;
  const holder = before ?? h("li", {});
  const held = holder.contains(document.activeElement);
  holder.replaceChildren(made);
  if (held) made.focus();
  rows.set(line.id, holder);
  return holder;
};

const show = () => {
  const words = byId("jobs-search").value.trim().toLowerCase().split(/\s+/).filter(Boolean);
  const chosen = lines.filter((line) => isChosen(line) && words.every((word) => textOf(line).includes(word)));
  const wanted = chosen.map(row);
  const list = byId("jobs-list");
  if (wanted.length !== list.children.length || wanted.some((element, i) => list.children[i] !== element)) list.replaceChildren(...wanted);
  byId("jobs-none").hidden = chosen.length > 0;
  byId("jobs-none").textContent = lines.length ? "No job matches. Clear the search or choose another state." : "No question was asked yet. The first one stands here when you have asked it.";
  byId("jobs-found").textContent = chosen.length === lines.length ? count(lines.length, "job") : `${chosen.length} of ${count(lines.length, "job")}`;
  byId("jobs-more").hidden = lines.length < LIMITS[limit] || limit === LIMITS.length - 1;
  for (const chip of byId("jobs-chips").children) chip.setAttribute("aria-pressed", String(chip.dataset.name === state));
};

const look = async () => {
  clearTimeout(timer);
  if (!document.hidden) {
    lines = await get(`/api/jobs?limit=${LIMITS[limit]}`);
    show();
  }
  timer = setTimeout(look, lines.some((line) => line.status === "running") ? SOON : SELDOM);
};

export const startJobs = () => {
  byId("jobs-chips").replaceChildren(...Object.entries(STATES).map(([name, text]) => h("button", { type: "button", class: "chip", "data-name": name, onclick: () => { state = name; show(); } }, text)));
  byId("jobs-search").oninput = show;
  byId("jobs-more").onclick = () => { limit += 1; look(); };
  document.addEventListener("visibilitychange", () => { if (!document.hidden) look(); });
  return look();
};
