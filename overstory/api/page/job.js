// The page of one job: watched while it runs, then its answer with the pictures behind it.
import { accuracy } from "./accuracy.js";
import { answer, head, turns } from "./answer.js";
import { course } from "./course.js";
import { covered } from "./coverage.js";
import { byId, h } from "./dom.js";
import { drawFurther, startFurther } from "./further.js";
import { gallery } from "./gallery.js";
import { pages } from "./pages.js";
import { get } from "./http.js";
import { startLevels } from "./levels.js";
import { announce } from "./notices.js";
import { enter } from "./session.js";
import { startSharing } from "./share.js";
import { data, load } from "./state.js";
import { drawSteering, startSteering } from "./steer.js";
import "./theme.js";
import { tree } from "./tree.js";
import { drawWatch, share } from "./watch.js";

const SOON = 700; // milliseconds: many events lead to one look
const SELDOM = 5_000; // without any event
const NAMES = ["image", "node", "job"].flatMap((what) => ({
  image: ["prepared", "uploaded", "included", "failed", "duplicate", "skipped", "pending"],
  node: ["ready", "running", "done", "failed", "split", "waiting", "cancelled"],
  job: ["running", "paused", "completed", "partial", "failed", "cancelled", "budgeted"],
})[what].map((name) => `${what}.${name}`));

const id = decodeURIComponent(location.pathname.split("/")[2] ?? "");
const path = `/api/jobs/${encodeURIComponent(id)}`;
let timer = null;
let isDue = false; // an event has asked for a look
let stream = null;
let now = null;

// ---- the report

const WHOLE = [head, pages, answer, turns, accuracy, covered, tree, course, gallery, drawFurther];
const report = async (parts) => {
  load(await get(`${path}/report.json`));
  document.body.classList.remove("waits");
  byId("parts").hidden = false;
  for (const draw of parts) draw();
  byId("foot").textContent = `${data.job.model} at ${data.job.endpoint}, ${data.job.detail} detail.`;
};

// ---- the job

const opening = () => {
  byId("ask").textContent = now.ask;
  byId("ask").classList.toggle("long", now.ask.length > 160);
  byId("each").hidden = !now.each;
  byId("each").textContent = `Question about each ${now.by ?? "image"}: ${now.each}`;
  byId("sandbox").hidden = !now.sandbox;
};
const line = () => {
  const began = new Date(now.created * 1000).toLocaleString("en-GB", { dateStyle: "long", timeStyle: "short" });
  byId("status").replaceChildren(
    h("span", { class: "pill" }, h("span", { class: `dot s-${now.status}` }), now.status), h("span", {}, began), h("span", {}, `job ${now.job}`),
    ...[now.label, now.owner && `by ${now.owner}`].filter(Boolean).map((text) => h("span", {}, text)),
    now.follows ? h("a", { href: `/jobs/${now.follows}` }, "a further question about this job") : "");
};

const look = async () => {
  clearTimeout(timer);
  isDue = false;
  const before = now;
  now = await get(`${path}/progress`);
  if (!before) opening();
  line();
  drawSteering(now);
  await drawWatch(now);
  if (!now.ended) {
    document.title = `${Math.floor(100 * share(now))}% · ${now.ask.slice(0, 60)} · Overstory`;
    if (!stream) listen();
    timer = setTimeout(look, SELDOM);
  } else if (!before?.ended) {
    stream?.close();
    stream = null;
    await report(WHOLE);
    if (before) announce(now.answered ? "The answer is there" : `The job has ended: ${now.status}`);
  }
};
/** Look soon, however many events ask for it. */
const soon = () => {
  if (isDue) return;
  isDue = true;
  clearTimeout(timer);
  timer = setTimeout(look, SOON);
};

/** The browser connects again by itself, and names the last event that it has seen. */
const listen = () => {
  stream = new EventSource(`${path}/events?after=${now.last_event}`);
  for (const name of NAMES) stream.addEventListener(name, soon);
  stream.addEventListener("end", () => { stream?.close(); stream = null; look(); });
  stream.onerror = () => { if (stream?.readyState === EventSource.CLOSED) stream = null; }; // looked at now and then
};

const start = async () => {
  await enter();
  startLevels();
  startSteering(id, look);
  startSharing(id);
  startFurther(id, () => report([head, turns, course, drawFurther]));
  byId("so-far").onclick = () => report(WHOLE);
  try {
    await look();
  } catch (problem) {
    if (problem.status !== 404) throw problem;
    byId("none").hidden = false;
    byId("none").textContent = "There is no such job here, or it belongs to somebody else.";
    byId("ask").textContent = "No such job";
  }
  document.documentElement.dataset.ready = "yes";
};
start();
