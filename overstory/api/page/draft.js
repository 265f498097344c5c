// The question that is being written. It is kept in this tab, so nothing is lost on reload.

const STORE = "overstory-draft";
const EMPTY = {
  mode: "set", // set: one answer; each: one for every picture; both
  ask: "",
  each: "",
  columns: [],
  detail: "",
  pack: "",
  budget: "",
  label: "",
  folder: null, // of the service
  files: [], // [path, bytes, changed, sha256 or ""]: what was chosen here
  key: null, // of the submission, so that pressing twice asks once
};

const read = () => {
  try { return { ...EMPTY, ...JSON.parse(sessionStorage.getItem(STORE) ?? "{}") }; } catch { return { ...EMPTY }; }
};
export const draft = read();

let gathered = () => ({});
/** `what` gives values that change all the time; they are asked for when the draft is kept. */
export const gather = (what) => { gathered = what; };
let isOver = false; // it was asked
const keep = () => {
  if (isOver) return;
  Object.assign(draft, gathered());
  for (const value of [draft, { ...draft, files: [] }]) { // a very long list may not fit
    try { sessionStorage.setItem(STORE, JSON.stringify(value)); return; } catch { /* try without it */ }
  }
};
let due = null;
const LATER = 300; // milliseconds

/** Change the draft. What is changed is another question, so it gets another key. */
export const change = (values) => {
  Object.assign(draft, values, { key: null });
  later();
};
/** Keep what belongs to the draft and does not change the question. */
export const later = () => { due ??= setTimeout(() => { due = null; keep(); }, LATER); };
addEventListener("pagehide", keep);

export const keyed = () => {
  const random = crypto.getRandomValues(new Uint8Array(16));
  draft.key ??= `page-${Array.from(random, (byte) => byte.toString(16).padStart(2, "0")).join("")}`;
  keep();
  return draft.key;
};
export const forget = () => {
  isOver = true;
  try { sessionStorage.removeItem(STORE); } catch { /* there is no storage */ }
};
