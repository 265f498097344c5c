// The tree of a job as it fills: the answer on top, the leaves below. A node is as wide as its share
// of the pictures; where leaves would be too narrow to see, they are cells in rows.
import { byId, h } from "./dom.js";
import { count } from "./words.js";

const STATES = {
  d: ["done", "--included"], r: ["being asked", "--accent"], y: ["ready", "--waiting"],
  w: ["waiting", "--strong"], f: ["failed", "--failed"], c: ["cancelled", "--skipped"],
};
const BAND = 22; // pixels: the height of a level
const GAP = 8;
const LEAST = 5; // the width of a leaf that is still seen
const CELLS = [14, 12, 10, 8, 7, 6, 5, 4];
const ROWS_MAX = 16;

const name = (level, levels) => (level === levels.length - 1 ? "answer" : level === 0 ? "leaves" : "summaries");

/** Where each node is drawn: [x, y, width, height] in the order of the levels, and the height of all. */
export const layout = (levels, spans, width) => {
  const images = Math.max(1, ...(spans[0] ?? []).map(([, last]) => last));
  const places = [];
  let y = 0;
  for (let level = levels.length - 1; level >= 0; level -= 1) {
    const number = levels[level].length;
    if (number * LEAST > width || !spans[level] || spans[level].length !== number) {
      const size = CELLS.find((side) => Math.ceil(number / Math.floor(width / side)) <= ROWS_MAX) ?? CELLS.at(-1);
      const across = Math.floor(width / size);
      places[level] = Array.from({ length: number }, (_, i) => [(i % across) * size, y + Math.floor(i / across) * size, size - 1, size - 1]);
      y += Math.ceil(number / across) * size + GAP;
    } else {
      const gap = number * 9 > width ? 1 : 2;
      places[level] = spans[level].map(([first, last]) => {
        const x = ((first - 1) / images) * width;
        return [x, y, Math.max(1, ((last - first + 1) / images) * width - gap), BAND];
      });
      y += BAND + GAP;
    }
  }
  return { places, height: Math.max(0, y - GAP) };
};

const counted = (level) => {
  const numbers = new Map();
  for (const letter of level) numbers.set(letter, (numbers.get(letter) ?? 0) + 1);
  return numbers;
};
/** `leaves: 40 of 132 done, 12 being asked, 1 failed`. */
export const worded = (levels) => levels.map((level, i) => {
  const numbers = counted(level);
  const rest = Object.keys(STATES).filter((letter) => !"dw".includes(letter) && numbers.has(letter));
  const parts = [`${(numbers.get("d") ?? 0).toLocaleString("en")} of ${level.length.toLocaleString("en")} done`, ...rest.map((letter) => `${numbers.get(letter).toLocaleString("en")} ${STATES[letter][0]}`)];
  return `${name(i, levels)}: ${parts.join(", ")}`;
}).reverse().join("; ");

let last = null; // what is drawn: {levels, spans, places}

const paint = () => {
  const canvas = byId("levels");
  const width = canvas.parentElement.clientWidth;
  if (!last || width === 0) return;
  const { places, height } = layout(last.levels, last.spans, width);
  const style = getComputedStyle(canvas);
  const colours = Object.fromEntries(Object.entries(STATES).map(([letter, [, variable]]) => [letter, style.getPropertyValue(variable)]));
  const scale = devicePixelRatio || 1;
  canvas.width = Math.round(width * scale);
  canvas.height = Math.round(height * scale);
  canvas.style.height = `${height}px`;
  const pen = canvas.getContext("2d");
  pen.scale(scale, scale);
  last.levels.forEach((level, i) => places[i].forEach(([x, y, w, tall], n) => cell(pen, resolved(canvas, colours[level[n]]), level[n], x, y, w, tall)));
  last.places = places;
};
/** light-dark() is resolved by the browser alone: a colour is read where it is applied. */
const applied = new Map();
const resolved = (canvas, colour) => {
  const key = `${colour}${getComputedStyle(document.documentElement).colorScheme}${matchMedia("(prefers-color-scheme: dark)").matches}`;
  if (!applied.has(key)) {
    canvas.style.color = colour;
    applied.set(key, getComputedStyle(canvas).color);
  }
  return applied.get(key);
};
/** The state is told by form too: waiting is an outline, running is half filled, failed is crossed. */
const cell = (pen, colour, letter, x, y, w, tall) => {
  pen.fillStyle = pen.strokeStyle = colour;
  if (w < 4 || tall < 4) { pen.globalAlpha = letter === "w" ? 0.45 : 1; pen.fillRect(x, y, w, tall); pen.globalAlpha = 1; return; }
  const radius = Math.min(5, w / 4, tall / 4);
  pen.beginPath();
  pen.roundRect(x + 0.5, y + 0.5, w - 1, tall - 1, radius);
  if (letter === "w" || letter === "c" || letter === "y") {
    pen.globalAlpha = letter === "y" ? 0.35 : 0.16;
    pen.fill();
    pen.globalAlpha = 1;
    pen.stroke();
  } else if (letter === "r") {
    pen.globalAlpha = 0.25;
    pen.fill();
    pen.globalAlpha = 1;
    pen.stroke();
    pen.fillRect(x + 1, y + tall / 2, w - 2, tall / 2 - 1);
  } else pen.fill();
  if (letter === "f" && w > 7 && tall > 7) {
    pen.strokeStyle = "#fff";
    pen.lineWidth = 1.5;
    const side = Math.min(w, tall) / 4;
    pen.beginPath();
    for (const way of [1, -1]) { pen.moveTo(x + w / 2 - side, y + tall / 2 - side * way); pen.lineTo(x + w / 2 + side, y + tall / 2 + side * way); }
    pen.stroke();
    pen.lineWidth = 1;
  }
};

const at = (event) => {
  const { offsetX, offsetY } = event;
  for (const [level, places] of last.places.entries()) {
    const node = places.findIndex(([x, y, w, tall]) => offsetX >= x && offsetX <= x + w && offsetY >= y && offsetY <= y + tall);
    if (node >= 0) return [level, node];
  }
  return null;
};
const point = (event) => {
  const found = last?.places && at(event);
  const canvas = byId("levels");
  if (!found) { canvas.title = ""; return; }
  const [level, node] = found;
  const [from, to] = last.spans[level]?.[node] ?? [];
  const what = level === last.levels.length - 1 ? "Answer" : level === 0 ? "Leaf" : "Summary";
  canvas.title = `${what}${from ? `, images ${from} to ${to}` : ""}: ${STATES[last.levels[level][node]][0]}`;
};

/** Show the nodes of `levels` (a string of states each, leaves first), whose pictures are `spans`. */
export const drawLevels = (levels, spans) => {
  byId("levels-box").hidden = levels.length === 0;
  byId("levels-words").textContent = worded(levels);
  const used = Object.entries(STATES).filter(([letter]) => levels.some((level) => level.includes(letter)));
  byId("levels-legend").replaceChildren(...used.map(([letter, [text]]) => h("li", {}, h("span", { class: `dot n-${letter}` }), text)));
  last = { levels, spans, places: null };
  paint();
};
export const startLevels = () => {
  byId("levels").addEventListener("mousemove", point);
  new ResizeObserver(paint).observe(byId("levels").parentElement);
  new MutationObserver(paint).observe(document.documentElement, { attributeFilter: ["data-theme"] });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", paint);
};
