// The page of a new question, with the list of jobs below it.
import { faultOf, schemaOf, startColumns } from "./columns.js";
import { change, draft, forget, keyed } from "./draft.js";
import { byId } from "./dom.js";
import { get, post } from "./http.js";
import { startJobs } from "./jobs.js";
import { fault, show } from "./notices.js";
import { FIELDS, isReady, price, waits } from "./price.js";
import { enter, mayChange } from "./session.js";
import { inputs, startSources } from "./sources.js";
import "./theme.js";

const TEXTS = ["ask", "each", "detail", "pack", "budget", "label"];
let choices = null;

/** The submission that the form describes, without its inputs. */
const question = () => {
  const { mode, ask, each, columns, detail, pack, budget, label } = draft;
  const asksEach = mode !== "set";
  const texts = { ask: mode === "each" ? "" : ask, each: mode === "each" ? ask : mode === "both" ? each : "", detail, label };
  const spec = Object.fromEntries(Object.entries(texts).map(([name, text]) => [name, text.trim()]).filter(([, text]) => text));
  const schema = schemaOf(columns, asksEach);
  if (schema) spec.schema = schema;
  if (pack) spec.pack = Number(pack);
  if (budget) spec.budget = Number(budget);
  return spec;
};

/** What a person has to do before there is a price, or an empty text. */
const lacks = () => {
  if (!draft.ask.trim()) return "Write your question, and you see the price.";
  if (draft.mode === "both" && !draft.each.trim()) return "Write the question for every picture, and you see the price.";
  return "";
};

const look = () => {
  const wrong = faultOf(draft.columns);
  fault("columns", wrong);
  const { images, waits: why } = inputs();
  if (!images) return waits(why);
  if (lacks() || wrong) return waits(lacks() || "Mend the columns, and you see the price.");
  return price({ images, ...question() }, choices);
};

const drawMode = () => {
  byId("each-box").hidden = draft.mode !== "both";
  byId("ask-label").textContent = draft.mode === "each" ? "Question for every picture" : draft.mode === "both" ? "Question about all of them" : "Question";
  byId("ask").placeholder = draft.mode === "each" ? "What is on the receipt, and what is its total?" : "Which of these would be on the cover, and why?";
};

const edited = (name) => ({ target }) => {
  change({ [name]: target.value });
  fault(name, "");
  look();
};

const submit = async (event) => {
  event.preventDefault();
  if (!isReady()) return byId("price-sum").focus();
  const go = byId("go");
  go.setAttribute("aria-disabled", "true");
  go.textContent = "Asking …";
  fault("go", "");
  try {
    const { images } = inputs();
    const { job } = await post("/api/jobs", { images, ...question(), key: keyed() }, { safe: true }); // the key makes it so
    forget();
    location.assign(`/jobs/${encodeURIComponent(job)}`);
  } catch (problem) {
    waits("");
    look();
    show(problem, FIELDS, "go");
  }
};

const start = async () => {
  await enter();
  choices = await get("/api/choices");
  byId("detail").replaceChildren(...[["", `as usual (${choices.detail})`], ...choices.details.map((one) => [one, one])].map(([value, text]) => new Option(text, value)));
  byId("budget-unit").textContent = choices.currency;
  for (const name of TEXTS) {
    byId(name).value = draft[name];
    byId(name).addEventListener(name === "pack" || name === "detail" ? "change" : "input", edited(name));
  }
  for (const radio of document.querySelectorAll("[name=mode]")) {
    radio.checked = radio.value === draft.mode;
    radio.onchange = () => { change({ mode: radio.value }); drawMode(); look(); };
  }
  byId("more").open = ["detail", "pack", "budget", "label"].some((name) => draft[name]);
  startColumns();
  for (const event of ["input", "change", "click"]) byId("columns-box").addEventListener(event, look);
  drawMode();
  startSources(choices, look);
  byId("new").onsubmit = submit;
  if (!mayChange()) byId("opening").hidden = byId("new").hidden = true;
  startJobs();
  document.documentElement.dataset.ready = "yes";
};
start();
