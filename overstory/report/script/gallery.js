// All images: chunks are filled when they come near the window, and emptied when they leave it.
import { byId, h, short } from "./dom.js";
import { plainText } from "./prose.js";
import { cited, data, images, thumb, unitOf } from "./state.js";
import { view, viewer } from "./viewer.js";
import { count, group, ORDER, state, totals, unproven, word } from "./words.js";

const CHUNK = 60;
const searchTexts = new Map();
const searchText = (image) => {
  if (!searchTexts.has(image.n)) searchTexts.set(image.n, `${image.n} ${image.name} ${image.note ? plainText(image.note) : ""} ${image.error ?? ""} ${unitOf.get(image.n)?.name ?? ""}`.toLowerCase());
  return searchTexts.get(image.n);
};
let chosen = "all";
let numbers = [];
const tile = (n, index) => {
  const image = images.get(n);
  return h("div", { role: "listitem" }, h("button", { type: "button", class: "tile", title: image.name, "aria-haspopup": "dialog", "aria-label": `Image ${n}, ${image.name}, ${state(image)}`, onclick: (event) => view(numbers, index, event.currentTarget) },
    thumb(image), h("span", { class: "cap" }, image.status !== "included" ? h("span", { class: `dot s-${image.status}` }) : unproven(image) ? h("span", { class: "dot s-unseen" }) : "", h("b", {}, String(n)), short(image.name.split("/").pop()))));
};
const grid = byId("grid");
const filled = new WeakMap();
const fillChunk = (chunk) => {
  if (filled.get(chunk)) return;
  const first = Number(chunk.dataset.first);
  chunk.replaceChildren(...numbers.slice(first, first + CHUNK).map((n, i) => tile(n, first + i)));
  chunk.style.minHeight = "";
  filled.set(chunk, true);
};
const emptyChunk = (chunk) => {
  if (!filled.get(chunk) || chunk.contains(document.activeElement) || viewer.open) return;
  chunk.style.minHeight = `${chunk.offsetHeight}px`;
  chunk.replaceChildren();
  filled.set(chunk, false);
};
const near = new IntersectionObserver((entries) => entries.forEach(({ isIntersecting, target }) => (isIntersecting ? fillChunk : emptyChunk)(target)), { rootMargin: "900px" });
const isChosen = (image) => chosen === "all" || (chosen === "cited" ? cited.has(image.n) : chosen === "unseen" ? unproven(image) : group(image) === chosen);
const show = () => {
  const wanted = byId("search").value.trim().toLowerCase().split(/\s+/).filter(Boolean);
  numbers = data.images.filter((image) => isChosen(image) && wanted.every((part) => searchText(image).includes(part))).map((image) => image.n);
  near.disconnect();
  const columns = Math.max(1, Math.floor((grid.clientWidth + 12) / 144));
  const chunks = [];
  for (let first = 0; first < numbers.length; first += CHUNK) {
    const chunk = h("div", { class: "chunk", "data-first": first, role: "presentation" });
    chunk.style.minHeight = `${Math.ceil(Math.min(CHUNK, numbers.length - first) / columns) * 144}px`;
    chunks.push(chunk);
  }
  grid.replaceChildren(...(chunks.length ? chunks : [h("p", { class: "nothing" }, "No image matches. Clear the search or choose another filter.")]));
  chunks.forEach((chunk) => near.observe(chunk));
  byId("found").textContent = numbers.length === data.images.length ? count(numbers.length, "image") : `${numbers.length.toLocaleString("en")} of ${count(data.images.length, "image")}`;
  byId("chips").querySelectorAll("button").forEach((button) => button.setAttribute("aria-pressed", String(button.dataset.name === chosen)));
};
export const choose = (name) => { chosen = name; show(); };
export const gallery = () => {
  searchTexts.clear();
  const names = ["all", ...(cited.size ? ["cited"] : []), ...totals().map(([name]) => name), ...(data.images.some(unproven) ? ["unseen"] : [])];
  byId("chips").replaceChildren(...names.map((name) => h("button", { type: "button", class: "chip", "data-name": name, "aria-pressed": "false", onclick: () => choose(name) },
    ORDER.includes(name) || name === "unseen" ? h("span", { class: `dot s-${name}` }) : "", name === "unseen" ? "without a line" : word(name))));
  byId("search").oninput = show;
  show();
};

addEventListener("beforeprint", () => { [...grid.children].slice(0, 10).forEach((chunk) => { if (chunk.dataset.first) fillChunk(chunk); }); });
