// Coverage: what became of each image, and which of them failed.
import { byId, h, rove, short } from "./dom.js";
import { choose } from "./gallery.js";
import { data, thumb } from "./state.js";
import { go, view } from "./viewer.js";
import { count, totals, unproven, word } from "./words.js";

const LONG = { duplicate: "duplicates of another", waiting: "not finished yet" };
const long = (name) => LONG[name] ?? word(name);
export const covered = () => {
  const parts = totals();
  const summary = parts.map(([name, number]) => `${number.toLocaleString("en")} ${long(name)}`).join(", ");
  byId("coverage-words").textContent = `${count(data.coverage.submitted, "image was", "images were")} submitted. Each has a status.`;
  byId("coverage-bar").setAttribute("aria-label", `Coverage: ${summary}`);
  byId("coverage-bar").replaceChildren(...parts.map(([name, number]) => { const part = h("i", { class: `s-${name}` }); part.style.flex = `${number} 0 0`; return part; }));
  byId("coverage-legend").replaceChildren(...parts.map(([name, number]) => h("li", {}, h("button", { type: "button", onclick: () => { choose(name); byId("images").scrollIntoView(); } },
    h("span", { class: `dot s-${name}` }), h("b", {}, number.toLocaleString("en")), h("span", {}, long(name))))));
  rove(byId("coverage-legend"));
  proofs();
  byId("failed").replaceChildren();
  listed("failures", data.images.filter((image) => image.status === "failed"), (number) => `${count(number, "image is", "images are")} not ${data.included_as}`, (image) => image.error ?? image.code ?? "no reason recorded");
  listed("failures remarked", data.images.filter((image) => image.like), (number) => `${count(number, "similar image was", "similar images were")} left out`, (image) => image.error);
  const unclear = (image) => image.look.includes("unclear");
  listed("failures remarked", data.images.filter((image) => image.look).sort((a, b) => unclear(b) - unclear(a)), () => data.looks || "Looks", (image) => image.look);
  listed("failures remarked", data.images.filter((image) => image.remarks && image.status !== "failed"), (number) => `${count(number, "image has", "images have")} a remark`, (image) => image.remarks);
};
const proofs = () => {
  byId("coverage-proof").replaceChildren();
  const total = data.coverage.included;
  if (!data.seen || total === 0) return;
  const { answer: answers, line: lines, sent } = data.seen;
  const ways = [[answers, "an answer"], [lines, "a line"], [sent, null]].filter(([number]) => number > 0);
  const way = ([number, what], one = number === 1) => (what ? `${one ? "is" : "are"} proven by ${what} of ${one ? "its" : "their"} own` : `${one ? "was" : "were"} only sent`);
  const words = ways.length > 1
    ? `Of the ${count(total, "image")} ${data.included_as}, ${ways.map((part) => `${part[0].toLocaleString("en")} ${way(part)}`).join(", ")}.`
    : `${total === 1 ? "The image" : `Each of the ${count(total, "image")}`} ${data.included_as} ${way(ways[0], true)}.`;
  const why = data.job.bare ? " The job takes the answer as it comes." : ` Nothing shows that the model saw ${sent === 1 ? "that image" : "those images"}.`;
  const without = data.images.filter(unproven).length;
  const link = without ? [" ", go(`Show ${count(without, "image")} without a line`, () => { choose("unseen"); byId("images").scrollIntoView(); })] : [];
  byId("coverage-proof").append(words, sent ? why : "", ...link);
};
const SHOWN = 8;
const listed = (style, images, title, why) => {
  if (images.length === 0) return;
  const numbers = images.map((image) => image.n);
  const row = (image, index) => h("li", {}, h("button", { type: "button", "aria-haspopup": "dialog", onclick: (event) => view(numbers, index, event.currentTarget) },
    thumb(image), h("span", { class: "name" }, h("b", {}, String(image.n)), short(image.name)), h("span", { class: "why" }, why(image))));
  const list = h("ul", {}, images.slice(0, SHOWN).map(row));
  const left = images.length - SHOWN;
  const more = h("button", { type: "button", class: "more", hidden: left < 1, onclick: () => { list.append(...images.slice(SHOWN).map((image, i) => row(image, i + SHOWN))); more.remove(); } }, `Show ${left} more`);
  byId("failed").append(h("div", { class: style }, h("h3", {}, title(images.length)), list, more));
  rove(list);
};
