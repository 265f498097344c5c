// Citations: hover or focus shows the image, a click opens the viewer.
import { byId, h, short } from "./dom.js";
import { drawers, plainText } from "./prose.js";
import { cited, expand, images, picture, SIDES, thumb } from "./state.js";
import { view, viewer } from "./viewer.js";
import { count, written } from "./words.js";

export const CITATIONS = "button:is([data-n], .rest):not(.answers *)";

const SINGLE_MAX = 3; // citations of more images become a strip of small pictures
const STRIP_MAX = 10;

export const citation = (runs, most = STRIP_MAX) => {
  const numbers = expand(runs);
  if (numbers.length === 0) return written(runs);
  if (numbers.length <= SINGLE_MAX) return numbers.map((n, index) => pointer(numbers, index, "cite", String(n)));
  const left = numbers.length - most;
  const strip = numbers.slice(0, left > 1 ? most : numbers.length).map((n, index) => pointer(numbers, index, "", null));
  const rest = left > 1 ? opens(h("button", { type: "button", class: "rest", "aria-label": `+${left.toLocaleString("en")}: all ${numbers.length.toLocaleString("en")} images cited here` }, `+${left.toLocaleString("en")}`), numbers, most, numbers) : null;
  return [h("span", { class: "strip", role: "group", "aria-label": `${numbers.length} images` }, strip, rest), h("span", { class: "printed" }, written(runs))];
};
/** Plain text, with its citations as buttons. */
export const linked = (text) => text.split(/(\[\d[\d\s,;–-]*\])/).map((part, i) => (i % 2 === 0 ? part : citation(part.slice(1, -1).split(/[,;]/).map((run) => {
  const ends = run.split(/[–-]/).map(Number);
  return [ends[0], ends.at(-1)];
}), 4)));
const pointer = (numbers, index, className, label) => {
  const image = images.get(numbers[index]);
  const shown = picture(image);
  const name = className && !shown ? `${className} bare` : className;
  return opens(h("button", { type: "button", class: name, "data-n": image.n, "aria-label": `Image ${image.n}: ${image.name}` }, shown, shown && !label ? null : h("span", {}, label ?? String(image.n))), numbers, index, [image.n]);
};
const opens = (button, numbers, index, peeked) => {
  button.setAttribute("aria-haspopup", "dialog");
  button.addEventListener("click", () => { hidePeek(); view(numbers, index, button); });
  button.addEventListener("mouseenter", () => showPeek(button, peeked));
  button.addEventListener("mouseleave", hidePeek);
  button.addEventListener("focus", () => { if (button.matches(":focus-visible")) showPeek(button, peeked); });
  button.addEventListener("blur", hidePeek);
  return button;
};

const peek = byId("peek");
let peeking = null;
export const evidence = byId("evidence");
const showPeek = (anchor, numbers) => {
  peeking?.removeAttribute("aria-describedby");
  peeking = anchor;
  const panel = anchor.closest("#answer") && evidence.offsetParent !== null;
  anchor.setAttribute("aria-describedby", panel ? "evidence" : "peek");
  if (panel) { evidence.replaceChildren(...preview(numbers)); return; }
  peek.replaceChildren(...preview(numbers));
  peek.hidden = false;
  const box = anchor.getBoundingClientRect();
  const left = Math.min(Math.max(8, box.left + box.width / 2 - peek.offsetWidth / 2), innerWidth - peek.offsetWidth - 8);
  const above = box.top - peek.offsetHeight - 8;
  peek.style.left = `${left}px`;
  peek.style.top = `${above > 60 ? above : box.bottom + 8}px`;
};
export const preview = (numbers, hint) => {
  const shown = numbers.map((n) => images.get(n));
  const [first] = shown;
  if (shown.length === 1) {
    const note = first.note ? plainText(first.note) : first.error ?? "";
    return [thumb(first, SIDES.tile), h("div", { class: "text" }, h("div", { class: "name" }, h("b", {}, String(first.n)), short(first.name)), h("div", { class: "note" }, note))];
  }
  const pictured = shown.filter((image) => image.picture !== undefined);
  const stride = Math.max(1, pictured.length / 16);
  const spread = Array.from({ length: Math.min(16, pictured.length) }, (_, i) => pictured[Math.floor(i * stride)]);
  return [h("div", { class: "mosaic" }, spread.map((image) => thumb(image))), h("div", { class: "text" }, h("b", {}, count(shown.length, "image")), hint ?? "Click to see each of them")];
};
export const hidePeek = () => {
  peek.hidden = true;
  peeking?.removeAttribute("aria-describedby");
  peeking = null;
};

drawers.c = (runs) => citation(runs);
viewer.addEventListener("close", hidePeek);
addEventListener("scroll", hidePeek, { passive: true });
addEventListener("keydown", (event) => { if (event.key === "Escape") hidePeek(); });
