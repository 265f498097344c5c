// The answers about units: a card for each text, a table row for each object. They are filtered here.
import { said, sheet, wordsIn } from "./answers.js";
import { citation, linked } from "./citations.js";
import { h } from "./dom.js";
import { block, drawers } from "./prose.js";
import { data } from "./state.js";
import { go, reveals } from "./viewer.js";
import { count, money } from "./words.js";

const CARDS = 40; // at first, and with each press of the button below
const LEFT_OUT = ["failed", "skipped", "duplicate"];
const SORTS = {
  all: () => true,
  answered: (unit) => unit.answer !== undefined,
  "without an answer": (unit) => unit.answer === undefined,
  "same as an earlier one": (unit) => unit.same !== undefined,
};

drawers.units = () => {
  const all = data.units.list;
  const sorts = Object.entries(SORTS).filter(([, belongs]) => all.some(belongs));
  let sort = "all";
  const isKept = (number) => SORTS[sort](all[number - 1]);
  const view = data.units.columns ? table(all, isKept) : cards(all, isKept);
  const chips = sorts.map(([name, belongs]) => h("button", { type: "button", class: "chip", "data-name": name, onclick: () => pick(name) }, name, h("b", {}, all.filter(belongs).length.toLocaleString("en"))));
  const press = () => chips.forEach((chip) => chip.setAttribute("aria-pressed", String(chip.dataset.name === sort)));
  const pick = (name) => { sort = name; press(); view.fill(); };
  press();
  findUnit = (unit) => { sort = "all"; press(); view.find(unit.number); };
  return [chips.length > 2 ? h("div", { class: "chips", role: "group", "aria-label": "Filter the units" }, chips) : null, ...view.parts].filter(Boolean);
};

let findUnit = () => {};
const revealUnit = (unit) => {
  findUnit(unit);
  const found = document.querySelector(`[data-unit="${unit.number}"]`);
  found?.scrollIntoView({ block: "center" });
  found?.focus({ preventScroll: true });
};
reveals.unit = revealUnit;

const covers = ({ coverage: { submitted, included = 0, ...left } }) => [
  included === submitted ? count(submitted, "image") : `${included.toLocaleString("en")} of ${count(submitted, "image")}`,
  ...LEFT_OUT.filter((name) => left[name]).map((name) => `${left[name].toLocaleString("en")} ${name}`),
].join(", ");
const same = ({ same: number }) => {
  if (number === undefined) return null;
  const earlier = data.units.list[number - 1];
  return h("p", { class: "meta" }, "The same images as ", go(earlier.name, () => revealUnit(earlier)));
};
const why = (unit) => (unit.why ? h("p", { class: data.job.ended ? "bad" : "none" }, unit.why) : null);
const meta = (unit) => h("span", { class: "meta" }, `${covers(unit)} · ${money(unit.cost)}`);

// ---- objects

const table = (all, isKept) => sheet(data.units.columns, all.map((unit) => [unit.number, ...(unit.answer ?? data.units.columns.map(() => null))]), {
  head: data.units.by,
  noun: "unit",
  value: (value) => (typeof value === "string" ? linked(value) : said(value)),
  cell: (number) => { const unit = all[number - 1]; return h("div", { class: "unit-card" }, h("b", {}, unit.name), meta(unit), same(unit), why(unit), h("div", { class: "shown" }, citation(unit.images, 4))); },
  text: (number) => `${all[number - 1].name} ${all[number - 1].why ?? ""}`,
  saved: (number) => [all[number - 1].name, all[number - 1].images.map(([a, b]) => (a === b ? a : `${a}-${b}`)).join(" ")],
  savedHeads: [data.units.by, "images"],
  unit: (number) => number,
}, isKept);

// ---- texts

const card = (unit) => h("li", { class: "unit-card", "data-unit": unit.number, tabindex: "-1" },
  h("header", {}, h("h3", {}, unit.name), meta(unit)), h("div", { class: "shown" }, citation(unit.images)), same(unit), why(unit), (unit.answer ?? []).map(block));

const KINDS = new Set(["p", "t", "h", "hr", "ul", "ol", "quote", "pre", "table", "b", "i", "code", "c"]);
/** The words of blocks and spans, for the filter. */
const wordsOf = (parts) => parts.map((part, i) => (Array.isArray(part) ? wordsOf(part) : i === 0 && KINDS.has(part) ? "" : part)).join(" ");
const searched = new WeakMap();
const textOf = (unit) => {
  if (!searched.has(unit)) searched.set(unit, `${unit.name} ${unit.why ?? ""} ${wordsOf(unit.answer ?? [])}`.toLowerCase());
  return searched.get(unit);
};

const cards = (all, isKept) => {
  let [most, words] = [CARDS, []];
  const list = h("ul", { class: "units" });
  const found = h("span", { class: "found", role: "status" });
  const more = h("button", { type: "button", class: "more", onclick: () => { most += CARDS; fill(); } });
  const made = new Map();
  const cardOf = (unit) => { if (!made.has(unit)) made.set(unit, card(unit)); return made.get(unit); };
  const fill = () => {
    const kept = all.filter((unit) => isKept(unit.number) && words.every((word) => textOf(unit).includes(word)));
    list.replaceChildren(...kept.slice(0, most).map(cardOf));
    found.textContent = kept.length === all.length ? count(all.length, "unit") : `${kept.length.toLocaleString("en")} of ${count(all.length, "unit")}`;
    more.hidden = kept.length <= most;
    more.textContent = `Show ${Math.min(CARDS, kept.length - most)} more of ${(kept.length - most).toLocaleString("en")}`;
  };
  const filter = h("input", { type: "search", placeholder: "Filter the units", "aria-label": "Filter the units", autocomplete: "off", spellcheck: "false", oninput: () => { words = wordsIn(filter); most = CARDS; fill(); } });
  const find = (number) => { filter.value = ""; words = []; most = Math.max(most, number); fill(); };
  fill();
  return { parts: [h("div", { class: "table-tools" }, filter, found), list, more], fill, find };
};
