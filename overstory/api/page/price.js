// The price of the question that is written, before anything is sent to a model.
import { draft, change } from "./draft.js";
import { byId, h } from "./dom.js";
import { post } from "./http.js";
import { announce, sentence, show } from "./notices.js";
import { count, money, seconds, tokens } from "./words.js";

const LATER = 500; // milliseconds without a change before the service is asked
const UNUSABLE_SHOWN = 5;
export const FIELDS = {
  images: "pictures", ask: "ask", each: "each", schema: "columns", detail: "detail", pack: "pack", budget: "budget", label: "label",
};
const BINDS = { concurrency: "calls in flight", rpm: "requests a minute", tpm: "tokens a minute", prepare: "preparing pictures", upload: "uploads" };

let due = null;
let running = null;
let shown = ""; // the text of the question whose price is shown
let choices = null;

/** An estimate is not exact: two digits say what it is worth. */
export const roughly = (cost, currency) => (cost >= 1 || cost === 0 ? money(cost, currency) : `${Number(cost.toPrecision(2))} ${currency}`);
export const costOf = ({ cost, currency, sandbox }, priced) => (priced ? `${roughly(cost, currency)}${sandbox ? ", not charged" : ""}` : "a price that is not known");

const set = (text, details = [], label = "Ask", ready = false) => {
  byId("price-sum").textContent = text;
  byId("price-sum").classList.toggle("sum", ready);
  byId("price-details").replaceChildren(...details);
  byId("go").textContent = label;
  byId("go").setAttribute("aria-disabled", String(!ready));
};
export const isReady = () => byId("go").getAttribute("aria-disabled") === "false";

/** Say why there is no price yet. */
export const waits = (text) => {
  stop();
  set(text);
};
const stop = () => {
  clearTimeout(due);
  running?.abort();
  [due, running, shown] = [null, null, ""];
};

/** Show the price of `spec`; `wanted`: the settings of the service. */
export const price = (spec, wanted) => {
  choices = wanted;
  const text = JSON.stringify(spec);
  if (text === shown) return;
  stop();
  shown = text;
  set("Working out the price …");
  due = setTimeout(() => ask(spec), LATER);
};

const ask = async (spec) => {
  running = new AbortController();
  const { signal } = running;
  try {
    const estimate = await post("/api/estimate", spec, { signal, safe: true });
    if (signal.aborted) return;
    draw(estimate, choices.priced);
    announce(`The price: about ${costOf({ ...estimate, sandbox: choices.sandbox }, choices.priced)}`);
  } catch (problem) {
    if (signal.aborted) return;
    shown = "";
    if (problem.status === undefined) throw problem;
    set("No price: something is to be mended first.");
    if (problem.field) show(problem, FIELDS, "go");
    else set(sentence(problem.message));
  }
};

const draw = (estimate, priced) => {
  const { images, usable, duplicate, unusable, ignored, requests } = estimate;
  const written = estimate.prompt_tokens + estimate.completion_tokens;
  const rows = [
    ["Pictures", `${usable.toLocaleString("en")}${duplicate ? `, and ${count(duplicate, "duplicate")} at no cost` : ""}`],
    ["Requests", requests.toLocaleString("en")],
    ["Tokens", tokens(written)],
    ["Time", `about ${seconds(estimate.seconds)}, held by ${BINDS[estimate.binds] ?? estimate.binds}`],
    ["Model", `${estimate.model}, ${estimate.detail} detail`],
  ];
  if (priced && estimate.cost_most > estimate.cost) rows.splice(3, 0, ["At most", roughly(estimate.cost_most, estimate.currency)]);
  const details = [h("dl", { class: "bill-of" }, rows.map(([term, value]) => h("div", {}, h("dt", {}, term), h("dd", {}, value))))];
  if (requests === 0 && images > 0) details.unshift(h("p", { class: "hint" }, "Every answer is paid for already: it costs nothing."));
  if (choices.sandbox) details.unshift(h("p", { class: "hint" }, "The sandbox answers, from colours and sizes alone. Nothing is charged."));
  if (!priced) details.unshift(h("p", { class: "hint" }, `There is no price of ${estimate.model} (OVERSTORY_PRICES).`));
  if (estimate.budget && !estimate.budget.enough) details.push(h("p", { class: "warning" }, `This budget would pause the job after about ${estimate.budget.images.toLocaleString("en")} of ${count(usable, "picture")}.`));
  if (unusable.length) details.push(left(unusable));
  if (ignored) details.push(h("p", { class: "hint" }, `${count(ignored, "file")} in the folder ${ignored === 1 ? "is no picture" : "are no pictures"}.`));
  packs(estimate, priced);
  const sum = priced ? roughly(estimate.cost, estimate.currency) : "not known";
  set(priced ? `about ${sum}` : sum, details, priced ? `Ask for about ${sum}` : "Ask", true);
};

const left = (unusable) => h("details", { class: "warning" },
  h("summary", {}, `${count(unusable.length, "picture")} cannot be used`),
  h("ul", {}, unusable.slice(0, UNUSABLE_SHOWN).map(({ name, error }) => h("li", {}, h("b", {}, name), " ", error))),
  unusable.length > UNUSABLE_SHOWN ? h("p", {}, `and ${unusable.length - UNUSABLE_SHOWN} more`) : "");

/** Other packs beside this one, each with its price: a press takes it. */
const packs = ({ packs: rows, currency }, priced) => {
  byId("packs").replaceChildren(...(rows ?? []).map(({ pack, cost, requests }, i) => h("button", {
    type: "button", class: "chip", "aria-pressed": String(draft.pack ? Number(draft.pack) === pack : i === 0),
    onclick: () => { byId("pack").value = i === 0 ? "" : pack; change({ pack: byId("pack").value }); byId("pack").dispatchEvent(new Event("change")); },
  }, `${pack.toLocaleString("en")} a request: ${priced ? roughly(cost, currency) : count(requests, "request")}`)));
};
