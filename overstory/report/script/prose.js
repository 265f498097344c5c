// Model output: blocks and spans of overstory/report/markdown.py.
import { h } from "./dom.js";
import { written } from "./words.js";

/** What draws a part that is more than text, by its kind. The modules that draw them add theirs. */
export const drawers = Object.create(null);

export const inline = (parts) => parts.map((part) => {
  if (typeof part === "string") return part;
  const [kind, value] = part;
  if (kind === "c") return drawers.c(value);
  if (kind === "code") return h("code", {}, value);
  return h(kind === "b" ? "strong" : "em", {}, inline(value));
});

export const block = ([kind, ...rest]) => {
  if (kind === "t") return inline(rest[0]);
  if (kind === "h") return h("h3", {}, inline(rest[0]));
  if (kind === "hr") return h("hr");
  if (kind === "quote") return h("blockquote", {}, rest[0].map(block));
  if (kind === "pre") return h("pre", {}, rest[0]);
  if (kind === "p") return h("p", {}, inline(rest[0]));
  if (kind in drawers) return drawers[kind](...rest);
  if (kind === "table") {
    const [head, ...rows] = rest[0];
    return h("div", { class: "scroll", tabindex: "0", role: "group", "aria-label": "Table" }, h("table", {},
      h("thead", {}, h("tr", {}, head.map((cell) => h("th", { scope: "col" }, inline(cell))))),
      h("tbody", {}, rows.map((row) => h("tr", {}, row.map((cell) => h("td", {}, inline(cell))))))));
  }
  const [items, first] = rest; // a list
  return h(kind, { start: first > 1 ? first : null }, items.map((item) => h("li", {}, item.map(block))));
};

export const plainText = (parts) => parts.map((part) => (typeof part === "string" ? part : part[0] === "c" ? written(part[1]) : Array.isArray(part[1]) ? plainText(part[1]) : part[1])).join("");
