// A job while it runs: its stages, what holds it back, its cost and the time left.
import { byId, h } from "./dom.js";
import { get } from "./http.js";
import { drawLevels } from "./levels.js";
import { announce } from "./notices.js";
import { count, money, rate, seconds, tokens } from "./words.js";

const ALOUD = 15_000; // milliseconds between two announcements
const NAMES = { prepare: "Prepare", upload: "Upload", look: "Look", summarise: "Summarise" };
let spans = [];
let said = 0;

const speed = (perSecond) => {
  for (const [factor, unit] of [[1, "a second"], [60, "a minute"], [3600, "an hour"]]) {
    if (perSecond * factor >= 1) return `${rate(perSecond * factor)} ${unit}`;
  }
  return "–";
};

const figures = (now) => {
  const { images, cost, currency, budget } = now;
  const looked = now.stages.find((stage) => stage.name === "look") ?? { done: 0, total: images.submitted };
  return [
    ["Looked at", `${looked.done.toLocaleString("en")} of ${looked.total.toLocaleString("en")}`, images.failed ? `${images.failed.toLocaleString("en")} failed` : images.duplicate ? count(images.duplicate, "duplicate") : "pictures"],
    ["Cost so far", now.priced ? money(cost, currency) : "not known", budget ? `of ${money(budget, currency)} at most` : now.sandbox ? "not charged: sandbox" : `${tokens(now.tokens)} tokens`],
    ["Time left", now.seconds_left === null ? "–" : `about ${seconds(now.seconds_left)}`, `after ${seconds(now.seconds)}`],
    ["Pictures", speed(now.images_per_second), count(now.requests, "request")],
  ];
};

const stage = ({ name, done, total }) => {
  const share = total ? Math.floor((100 * done) / total) : 0;
  return h("div", { class: "stage-row" },
    h("span", { class: "what", id: `stage-${name}` }, NAMES[name] ?? name),
    h("progress", { max: Math.max(1, total), value: done, "aria-labelledby": `stage-${name}` }),
    h("span", { class: "when" }, `${done.toLocaleString("en")} of ${total.toLocaleString("en")}`, h("span", { class: "sr" }, `, ${share} percent`)));
};

const update = (now) => {
  const box = byId("stages");
  if (box.children.length !== now.stages.length) { box.replaceChildren(...now.stages.map(stage)); return; }
  now.stages.forEach(({ done, total }, i) => { // the same bars, so that they move
    const [, bar, words] = box.children[i].children;
    [bar.max, bar.value] = [Math.max(1, total), done];
    words.firstChild.data = `${done.toLocaleString("en")} of ${total.toLocaleString("en")}`;
  });
};

const aloud = (now) => {
  if (Date.now() - said < ALOUD) return;
  said = Date.now();
  const [[, looked], , [, left]] = figures(now);
  announce(`${looked} pictures looked at${now.seconds_left === null ? "" : `, ${left} left`}${now.note ? `; ${now.note}` : ""}`);
};

/** How far a job is, from 0 to 1. */
export const share = ({ stages }) => {
  const total = stages.reduce((sum, stage) => sum + stage.total, 0);
  return total ? stages.reduce((sum, stage) => sum + stage.done, 0) / total : 0;
};

const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1);

export const drawWatch = async (now) => {
  byId("watch").hidden = now.ended;
  if (now.ended) return;
  byId("figures").replaceChildren(...figures(now).map(([term, value, small]) => h("div", {}, h("dt", {}, term), h("dd", {}, value, h("small", {}, small)))));
  byId("note").textContent = capital(now.note);
  byId("note").hidden = !now.note;
  update(now);
  byId("limits").replaceChildren(...now.limits.map((text) => h("li", {}, text)));
  if (now.levels.length !== spans.length || now.levels.some((level, i) => level.length !== spans[i].length)) {
    spans = await get(`/api/jobs/${now.job}/tree`);
  }
  drawLevels(now.levels, spans);
  aloud(now);
};
