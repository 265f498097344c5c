// The summary tree, down to single images.
import { byId, chevron, h, rove, short } from "./dom.js";
import { block, plainText } from "./prose.js";
import { data, nodes, thumb } from "./state.js";
import { reveals, view } from "./viewer.js";
import { count, money, seconds, span, state } from "./words.js";

let children = new Map();
let leafImages = new Map();
let folds = new Map();
const grouped = (values, key) => {
  const groups = new Map();
  for (const value of values) {
    const at = key(value);
    if (!groups.has(at)) groups.set(at, []);
    groups.get(at).push(value);
  }
  return groups;
};
const title = (node) => (node.parent === null ? "Answer" : node.kind === "leaf" ? "Leaf" : "Summary");
const branch = (node) => {
  const inside = h("div", { class: "inside", id: `node-${node.id}`, hidden: true });
  const below = (leafImages.get(node.id) ?? []).length;
  const meta = [span(node.first, node.last)];
  if (node.status !== "done") meta.push(node.status);
  const right = [node.seconds !== null && node.requests ? seconds(node.seconds) : "", node.requests ? money(node.cost) : "", node.refused ? `${count(node.refused, "false citation")} removed` : ""];
  const button = h("button", { type: "button", class: "node", "aria-expanded": "false", "aria-controls": inside.id, onclick: () => unfold(button.getAttribute("aria-expanded") === "false") },
    chevron(), h("span", { class: `dot s-${node.status}` }), h("span", { class: "title" }, title(node)), h("span", { class: "meta" }, meta.join(" · ")), h("span", { class: "meta right" }, right.filter(Boolean).join(" · ")));
  const unfold = (open) => {
    if (open && !inside.hasChildNodes()) fill(node, inside);
    button.setAttribute("aria-expanded", String(open));
    inside.hidden = !open;
  };
  folds.set(node.id, { unfold, button, below });
  return h("li", {}, button, inside);
};
const fill = (node, inside) => {
  if (node.error) inside.append(h("p", { class: "err" }, node.error));
  if (node.text.length && node.parent !== null) inside.append(h("div", { class: "prose" }, node.text.map(block)));
  const nested = children.get(node.id) ?? [];
  if (nested.length) inside.append(h("ul", {}, nested.map(branch)));
  const shown = leafImages.get(node.id) ?? [];
  const numbers = shown.map((image) => image.n);
  if (shown.length) inside.append(h("ul", { class: "leafs" }, shown.map((image, index) => h("li", {}, h("button", { type: "button", class: "row", "aria-haspopup": "dialog", onclick: (event) => view(numbers, index, event.currentTarget) },
    thumb(image), h("span", {}, h("span", { class: "name" }, h("b", {}, String(image.n)), short(image.name)),
      h("span", { class: image.error ? "says bad" : "says" }, image.error ?? (image.note ? plainText(image.note) : state(image)))))))));
};
reveals.node = (id) => {
  const path = [];
  for (let node = nodes.get(id); node; node = nodes.get(node.parent)) path.unshift(node.id);
  path.forEach((nodeId) => folds.get(nodeId)?.unfold(true));
  const { button } = folds.get(id);
  button.scrollIntoView({ block: "center" });
  button.focus({ preventScroll: true });
};
const ROWS_MAX = 600; // more rows of images make the page slow
const unfoldAll = () => {
  let rows = 0;
  for (const node of data.nodes.slice().sort((a, b) => b.level - a.level || a.first - b.first)) {
    const fold = folds.get(node.id);
    rows += fold?.below ?? 0;
    if (fold && (fold.below === 0 || rows <= ROWS_MAX)) fold.unfold(true);
  }
};
export const tree = () => {
  children = grouped(data.nodes, (node) => node.parent);
  leafImages = grouped(data.images, (image) => image.node);
  folds = new Map();
  const roots = children.get(null) ?? [];
  byId("tree-words").textContent = data.tree.nodes === 1
    ? "All images fit into one request."
    : `${count(data.tree.leaves, "leaf describes", "leaves describe")} the images, ${count(data.tree.nodes - data.tree.leaves, "branch summarises", "branches summarise")} the notes below, and the top one answers. Unfold the tree down to single images.`;
  byId("tree-root").replaceChildren(...roots.map(branch));
  roots.forEach((root) => { if (data.tree.nodes > 1) folds.get(root.id).unfold(true); });
  rove(byId("tree-root"));
  byId("unfold").onclick = unfoldAll;
  byId("fold").onclick = () => folds.forEach((fold) => fold.unfold(false));
};
