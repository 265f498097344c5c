// Numbers with units, and the words of states.
import { data } from "./state.js";

export const count = (number, one, many = one + "s") => `${number.toLocaleString("en")} ${number === 1 ? one : many}`;

export const seconds = (value) => {
  if (value < 0.95) return `${(value * 1000).toFixed(0)} ms`;
  if (value < 9.95) return `${value.toFixed(1)} s`;
  if (value < 90) return `${value.toFixed(0)} s`;
  if (value < 5400) return `${Math.floor(value / 60)} min ${Math.round(value % 60)} s`;
  return `${(value / 3600).toFixed(1)} h`;
};

export const money = (value, currency = data.usage.currency) => {
  const digits = value === 0 || value >= 1 ? 2 : value >= 0.01 ? 3 : 5;
  return `${value.toFixed(digits)} ${currency}`;
};

export const tokens = (value) => (value >= 1e6 ? `${(value / 1e6).toFixed(2)} M` : value >= 1e4 ? `${(value / 1e3).toFixed(0)} k` : value.toLocaleString("en"));

export const span = (first, last) => (first === last ? `image ${first}` : `images ${first} to ${last}`);

export const rate = (value) => (value >= 10 ? value.toFixed(0) : value >= 0.1 ? value.toFixed(1) : value.toFixed(3));

const OPEN = ["pending", "prepared", "uploaded"];
export const word = (status) => (status === "included" ? data.included_as : status === "pending" ? "waiting" : status);

export const unproven = (image) => image.seen === "sent" || image.code === "unseen";

export const state = (image) => (image.seen === "sent" ? "only sent" : word(image.status));

export const group = (image) => (OPEN.includes(image.status) ? "waiting" : image.status);

export const ORDER = ["included", "duplicate", "waiting", "skipped", "failed"];
export const totals = () => {
  const totals = new Map(ORDER.map((name) => [name, 0]));
  for (const [status, number] of Object.entries(data.statuses)) totals.set(group({ status }), totals.get(group({ status })) + number);
  return [...totals].filter(([, number]) => number > 0);
};
/** The numbers of runs of images, as citations are written. */
export const written = (runs) => `[${runs.map(([a, b]) => (a === b ? a : `${a}-${b}`)).join(", ")}]`;
