// Accuracy: how the answers compare with a truth file, and each image with a mistake.
import { byId, h, short } from "./dom.js";
import { data, images, thumb } from "./state.js";
import { view } from "./viewer.js";

const MISTAKES = 24; // at first, and with each press of the button below
export const accuracy = () => {
  byId("accuracy").hidden = byId("accuracy-link").hidden = !data.accuracy;
  if (!data.accuracy) return;
  const { fields, wrong, judged } = data.accuracy;
  const range = (low, high) => {
    const bar = h("i");
    bar.style.left = `${low}%`;
    bar.style.width = `${high - low}%`;
    return h("span", { class: "range", "aria-hidden": "true" }, bar);
  };
  const row = ([name, right, of, unanswered, rule, [share, low, high]]) => h("tr", {}, h("th", { scope: "row" }, name),
    h("td", { class: "num" }, `${right} of ${of}`), h("td", { class: "num" }, of ? `${share}%` : "–"),
    h("td", {}, of ? [range(low, high), `${low}% to ${high}%`] : "–"), h("td", { class: "num" }, String(unanswered)), h("td", {}, rule));
  byId("accuracy-words").textContent = `${judged} compared. The interval says where the share of all images may lie, if the labelled ones were chosen by chance.`;
  byId("accuracy-fields").append(h("div", { class: "scroll", tabindex: "0", role: "group", "aria-label": "Accuracy by field" }, h("table", {},
    h("thead", {}, h("tr", {}, ["Field", "Right", "Share", "95 % interval", "Unanswered", "Rule"].map((title, i) => h("th", { scope: "col", class: [1, 2, 4].includes(i) ? "num" : null }, title)))),
    h("tbody", {}, fields.map(row)))));
  const list = byId("mistakes");
  const card = (numbers) => ([n, faults], index) => {
    const image = images.get(n);
    return h("li", {}, h("button", { type: "button", "aria-haspopup": "dialog", "aria-label": `Image ${n}: ${image.name}`, onclick: (event) => view(numbers, index, event.currentTarget) }, thumb(image), h("span", { class: "name" }, h("b", {}, String(n)), short(image.name))),
      h("dl", {}, faults.map(([field, answer, truth]) => [h("dt", {}, field), h("dd", {}, h("span", { class: "says" }, h("small", {}, "Answer"), answer ?? "none"), h("span", { class: "is" }, h("small", {}, "Truth"), truth))])));
  };
  const list_of = (field) => {
    const found = wrong.map(([n, faults]) => [n, faults.filter(([name]) => !field || name === field)]).filter(([, faults]) => faults.length);
    const numbers = found.map(([n]) => n);
    const cards = found.map(card(numbers));
    const more = h("li", { class: "rest" }, h("button", { type: "button", class: "more", onclick: () => { more.before(...cards.splice(0, MISTAKES)); if (!cards.length) more.remove(); } }, "Show more"));
    list.replaceChildren(...cards.splice(0, MISTAKES), ...(cards.length ? [more] : []));
    for (const chip of byId("accuracy-chips").children) chip.setAttribute("aria-pressed", String(chip.dataset.field === field));
  };
  const faulty = fields.map(([name]) => [name, wrong.filter(([, faults]) => faults.some(([field]) => field === name)).length]).filter(([, number]) => number);
  const chips = faulty.length > 1 ? [["", wrong.length], ...faulty] : [];
  byId("accuracy-chips").append(...chips.map(([field, number]) => h("button", { type: "button", class: "chip", "data-field": field, onclick: () => list_of(field) }, field || "all mistakes", h("b", {}, number.toLocaleString("en")))));
  list_of("");
};
