// What the report is about. A page that stays open loads it again with each change.
import { h } from "./dom.js";

export let data = null; // see overstory/report/data.py
export let images = new Map();
export let nodes = new Map();
export let cited = new Set();
export let unitOf = new Map(); // of each image, in a job by units

export const load = (value) => {
  data = value;
  images = new Map(data.images.map((image) => [image.n, image]));
  nodes = new Map(data.nodes.map((node) => [node.id, node]));
  cited = new Set(expand(data.cited));
  unitOf = new Map((data.units?.list ?? []).flatMap((unit) => expand(unit.images).map((n) => [n, unit])));
};

export const expand = (runs) => runs.flatMap(([first, last]) => {
  const numbers = [];
  for (let n = first; n <= last; n += 1) if (images.has(n)) numbers.push(n);
  return numbers;
});

// ---- pictures: a report holds them; a page of the service fetches each when it is near the window

export const SIDES = { small: 144, tile: 400, large: 1024 }; // the longest side that is asked for
const source = (image, side) => {
  if (image.picture === undefined) return null;
  if (!data.pictures) return `/api/jobs/${data.job.id}/images/${image.picture}/picture?side=${side}`;
  return `data:image/jpeg;base64,${data.pictures[image.picture]}`;
};
export const picture = (image, alt = "", side = SIDES.small) => {
  const src = source(image, side);
  return src && h("img", { src, alt, decoding: "async", loading: data.pictures ? null : "lazy" });
};
export const thumb = (image, side = SIDES.small) => h("span", { class: "thumb", "aria-hidden": "true" }, picture(image, "", side) ?? "–");
