// The viewer: one image of a set at a time.
import { byId, h, icon } from "./dom.js";
import { inline, plainText } from "./prose.js";
import { images, nodes, picture, SIDES, unitOf } from "./state.js";
import { count, span, word } from "./words.js";

const BY = { answer: "by an answer of its own", line: "by a line of its own", sent: "only sent: nothing shows that the model saw it" };

export const viewer = byId("viewer");
/** How a node or a unit is shown on the page: the modules that draw them say it. */
export const reveals = {};
const FILM = 24;
let opener = null;
let set = [];
let at = 0;
export const view = (numbers, index, from) => {
  set = numbers;
  opener = from ?? opener;
  draw(index);
  if (!viewer.open) viewer.showModal();
};
const step = (by) => draw((at + by + set.length) % set.length);
const draw = (index) => {
  at = index;
  const image = images.get(set[at]);
  const holding = viewer.open && document.activeElement?.dataset?.ctl;
  const alt = image.note ? plainText(image.note) : image.name;
  viewer.replaceChildren(h("div", { class: "sheet" },
    h("div", { class: "stage" },
      h("div", { class: "big" }, picture(image, alt, SIDES.large) ?? h("p", { class: "found" }, "No picture of this image is stored")),
      set.length > 1 ? film() : null),
    h("div", { class: "side" },
      h("div", { class: "ctl" },
        ctl("previous", "Previous image", "M15 5l-7 7 7 7", () => step(-1)),
        h("span", { "aria-live": "polite" }, `${(at + 1).toLocaleString("en")} of ${set.length.toLocaleString("en")}`),
        ctl("next", "Next image", "M9 5l7 7-7 7", () => step(1)),
        ctl("close", "Close", "M6 6l12 12M18 6L6 18", () => viewer.close())),
      h("h2", { id: "viewer-title" }, `Image ${image.n}`, h("small", {}, image.name)),
      image.error ? h("p", { class: "why" }, image.error) : null,
      image.note ? h("p", { class: "note" }, inline(image.note)) : null,
      !image.note && image.status === "included" ? h("p", { class: "lead" }, "There is no note on this image alone.") : null,
      facts(image))));
  if (holding) viewer.querySelector(`[data-ctl="${holding}"]`)?.focus();
  viewer.querySelector('[aria-current="true"]')?.scrollIntoView({ inline: "center", block: "nearest" });
};
const ctl = (name, label, path, act) => h("button", { type: "button", class: "quiet", "data-ctl": name, "aria-label": label, hidden: name !== "close" && set.length < 2, onclick: act }, icon(path));
const film = () => {
  const first = Math.max(0, Math.min(at - FILM / 2, set.length - FILM));
  return h("div", { class: "film" }, set.slice(first, first + FILM).map((n, offset) => h("button", {
    type: "button", "aria-label": `Image ${n}`, "aria-current": first + offset === at ? "true" : null, onclick: () => draw(first + offset),
  }, picture(images.get(n)) ?? String(n))));
};
const facts = (image) => {
  const node = nodes.get(image.node);
  const rows = [["Status", h("span", { class: "pill" }, h("span", { class: `dot s-${image.status}` }), word(image.status))]];
  const unit = unitOf.get(image.n);
  if (unit) rows.push(["Unit", go(unit.name, () => { viewer.close(); reveals.unit(unit); })]);
  if (image.seen) rows.push(["Seen", BY[image.seen]]);
  if (image.same) rows.push(["Same as", other(image.same)]);
  if (image.like) rows.push(["Similar to", other(image.like)]);
  if (image.size) rows.push([image.like ? "Prepared as" : "Sent as", `${image.size[0]} × ${image.size[1]} px, ${count(image.tokens ?? 0, "token")}`]);
  if (image.look) rows.push(["Look", image.look]);
  if (image.remarks) rows.push(["Remarks", image.remarks]);
  if (node) rows.push(["In one request with", go(span(node.first, node.last), () => { viewer.close(); reveals.node(node.id); })]);
  return h("dl", {}, rows.flatMap(([term, value]) => [h("dt", {}, term), h("dd", {}, value)]));
};
/** An image that may be on another page of the report. */
const other = (n) => (images.has(n) ? go(`image ${n}`, () => view([n], 0)) : `image ${n}`);
export const go = (label, act) => h("button", { type: "button", class: "link", onclick: act }, label);
viewer.addEventListener("keydown", (event) => {
  if (set.length > 1 && event.key === "ArrowRight") step(1);
  else if (set.length > 1 && event.key === "ArrowLeft") step(-1);
  else return;
  event.preventDefault();
});
viewer.addEventListener("click", (event) => { if (event.target === viewer) viewer.close(); });
viewer.addEventListener("close", () => { if (opener?.isConnected) opener.focus({ preventScroll: true }); opener = null; });
