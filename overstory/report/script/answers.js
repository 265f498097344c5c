// The table of answers: sorted, filtered and saved here.
import { citation } from "./citations.js";
import { h, rove } from "./dom.js";
import { drawers } from "./prose.js";
import { data, images } from "./state.js";
import { count } from "./words.js";

const ROWS = 100; // at first, and with each press of the button below
const FORMULA = /^[\s]*[=+\-@]/; // a spreadsheet would calculate it
export const said = (value) => (value === null ? "" : value === true ? "yes" : value === false ? "no" : String(value));
const quoted = (value) => {
  const guarded = typeof value === "string" && FORMULA.test(value) ? `'${value}` : said(value);
  return /[",\n\r;\t]/.test(guarded) ? `"${guarded.replaceAll('"', '""')}"` : guarded;
};
export const wordsIn = (input) => input.value.trim().toLowerCase().split(/\s+/).filter(Boolean);
const collator = new Intl.Collator(undefined, { numeric: true, sensitivity: "base" });
const compare = (a, b) => {
  if (a === null || b === null) return (a === null) - (b === null); // without an answer: last
  return typeof a === "number" && typeof b === "number" ? a - b : collator.compare(said(a), said(b));
};
/** What the first column holds: an image. */
const OF_IMAGES = {
  head: "Image",
  noun: "answer",
  cell: (n) => citation([[n, n]]),
  value: said,
  text: (n) => `${n} ${images.get(n).name}`,
  saved: (n) => [n, images.get(n).name],
  savedHeads: ["image", "name"],
};
drawers.answers = (columns, rows) => sheet(columns, rows, OF_IMAGES).parts;

/** A table. `of`: what the first column holds; `isKept`: whether a row passes the filters outside, which call `fill`. */
export const sheet = (columns, rows, of, isKept = () => true) => {
  const heads = [of.head, ...columns];
  const numeric = heads.map((_, i) => i > 0 && rows.every((row) => row[i] === null || typeof row[i] === "number"));
  let [column, sign, shown, words] = [0, 1, ROWS, []];
  const chosen = () => rows
    .filter((row) => isKept(row[0]) && words.every((word) => `${of.text(row[0])} ${row.slice(1).map(said).join(" ")}`.toLowerCase().includes(word)))
    .sort((a, b) => { const order = compare(a[column], b[column]); return (a[column] === null || b[column] === null ? order : sign * order) || a[0] - b[0]; });
  const body = h("tbody");
  const found = h("span", { class: "found", role: "status" });
  const more = h("button", { type: "button", class: "more", onclick: () => { shown += ROWS; fill(); } });
  const cell = (value, i) => h("td", { class: numeric[i] ? "num" : null }, value === null ? h("span", { class: "none" }, "–") : of.value(value));
  const fill = () => {
    const kept = chosen();
    body.replaceChildren(...kept.slice(0, shown).map((row) => h("tr", { "data-unit": of.unit?.(row[0]), tabindex: of.unit && "-1" }, h("td", {}, of.cell(row[0])), row.slice(1).map((value, i) => cell(value, i + 1)))));
    found.textContent = kept.length === rows.length ? count(rows.length, of.noun) : `${kept.length.toLocaleString("en")} of ${count(rows.length, of.noun)}`;
    more.hidden = kept.length <= shown;
    more.textContent = `Show ${Math.min(ROWS, kept.length - shown)} more of ${(kept.length - shown).toLocaleString("en")}`;
    titles.forEach((title, i) => title.setAttribute("aria-sort", i !== column ? "none" : sign > 0 ? "ascending" : "descending"));
  };
  const sort = (i) => { sign = i === column ? -sign : 1; column = i; fill(); };
  const titles = heads.map((head, i) => h("th", { scope: "col", class: numeric[i] ? "num" : null }, h("button", { type: "button", class: "sort", onclick: () => sort(i) }, head)));
  const filter = h("input", { type: "search", placeholder: "Filter the answers", "aria-label": "Filter the answers", autocomplete: "off", spellcheck: "false", oninput: () => { words = wordsIn(filter); shown = ROWS; fill(); } });
  const save = () => {
    const lines = [[...of.savedHeads, ...columns], ...chosen().map((row) => [...of.saved(row[0]), ...row.slice(1)])];
    const csv = `\ufeff${lines.map((line) => line.map(quoted).join(",")).join("\r\n")}\r\n`;
    const url = URL.createObjectURL(new Blob([csv], { type: "text/csv" }));
    h("a", { href: url, download: `overstory-${data.job.id}.csv` }).click();
    setTimeout(() => URL.revokeObjectURL(url), 10_000);
  };
  fill();
  const scroll = h("div", { class: "scroll", role: "group", "aria-label": "Answers" }, h("table", { class: "answers" }, h("thead", {}, h("tr", {}, titles)), body));
  rove(scroll);
  const find = (first) => { filter.value = ""; words = []; shown = Math.max(shown, 1 + chosen().findIndex((row) => row[0] === first)); fill(); };
  return { parts: [h("div", { class: "table-tools" }, filter, found, h("button", { type: "button", onclick: save }, "Save as CSV")), scroll, more], fill, find };
};
