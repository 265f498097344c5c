// The pictures of a question: files of this device, or a folder of the service.
import { byId, h } from "./dom.js";
import { change, draft, gather, later } from "./draft.js";
import { dropped, picked, sorted } from "./files.js";
import { browse } from "./folders.js";
import { announce, fault } from "./notices.js";
import { Uploads } from "./uploads.js";
import { count } from "./words.js";

const PREVIEWS = 12;
const FAILED_SHOWN = 5;
const DRAW_LATER = 120; // milliseconds: thousands of files report their progress

let choices = null;
let changed = () => {};
let others = 0; // files that are no pictures
let drawing = null;

export const uploads = new Uploads(() => { drawing ??= setTimeout(draw, DRAW_LATER); });

const size = (bytes) => (bytes >= 1e9 ? `${(bytes / 1e9).toFixed(1)} GB` : bytes >= 1e6 ? `${(bytes / 1e6).toFixed(bytes >= 1e7 ? 0 : 1)} MB` : `${Math.max(1, Math.round(bytes / 1e3))} kB`);

/** The inputs of a submission, or why there are none yet. */
export const inputs = () => {
  if (draft.folder) return { images: [draft.folder] };
  if (uploads.files.length === 0) return { waits: "Choose the pictures, and you see the price." };
  if (uploads.isDone) return { images: uploads.inputs };
  const missing = uploads.count("missing");
  if (missing) return { waits: "Choose the same pictures again: only what is missing is sent." };
  return { waits: uploads.paused ? "The upload is paused." : "The price comes when the pictures are here." };
};

const add = (files) => {
  const { pictures, others: rest } = sorted(files, choices.endings);
  others += rest;
  if (pictures.length === 0) {
    fault("pictures", files.length ? `${count(files.length, "file")}, but no picture among them: JPEG, PNG, HEIC, WebP, TIFF, RAW and PDF are pictures.` : "Nothing could be read: use the buttons instead.");
    return;
  }
  fault("pictures", "");
  change({ folder: null });
  uploads.add(pictures, choices.max_file_bytes);
  announce(`${count(pictures.length, "picture")} chosen`);
};

const take = (path) => {
  uploads.clear();
  others = 0;
  change({ folder: path });
  fault("pictures", "");
  draw();
  announce(`The folder ${path} is chosen`);
  byId("clear").focus();
};

const clear = () => {
  uploads.clear();
  others = 0;
  change({ folder: null });
  fault("pictures", "");
  draw();
  byId("choose-files").focus();
};

// ---- what is shown

const previewed = new Map(); // path -> address of a picture in memory
const previews = () => {
  const shown = uploads.files.filter((one) => one.file?.type.startsWith("image/") && !/hei[cf]|tiff/.test(one.file.type)).slice(0, PREVIEWS);
  for (const [path, address] of previewed) if (!shown.some((one) => one.path === path)) { URL.revokeObjectURL(address); previewed.delete(path); }
  for (const one of shown) if (!previewed.has(one.path)) previewed.set(one.path, URL.createObjectURL(one.file));
  const key = [...previewed.keys()].join("\n");
  if (byId("previews").dataset.key === key) return;
  byId("previews").dataset.key = key;
  byId("previews").replaceChildren(...[...previewed.values()].map((src) => h("img", { src, alt: "", decoding: "async" })));
};

const summary = () => {
  if (draft.folder) return `The folder ${draft.folder}`;
  const number = uploads.files.length;
  const left = others ? `, without ${count(others, "other file")}` : "";
  return `${count(number, "picture")}, ${size(uploads.bytes)}${left}`;
};
const standing = () => {
  const [here, missing, failed] = ["here", "missing", "failed"].map((state) => uploads.count(state));
  const refused = uploads.count("refused");
  const number = uploads.files.length;
  if (missing) return `${here.toLocaleString("en")} of ${number.toLocaleString("en")} are on the service. Choose the same files or folder again: only the other ${missing.toLocaleString("en")} are sent.`;
  if (here + failed + refused === number) return failed + refused ? `${count(here, "picture")} on the service, ${(failed + refused).toLocaleString("en")} not` : "All are on the service. Nothing was sent to a model.";
  return `${uploads.paused ? "Paused" : "Uploading to this service"}: ${here.toLocaleString("en")} of ${number.toLocaleString("en")}, ${size(uploads.sent)} of ${size(uploads.bytes)}`;
};

const draw = () => {
  drawing = null;
  const has = uploads.files.length > 0;
  const open = has && !uploads.isDone;
  byId("chosen").hidden = !has && !draft.folder;
  byId("drop").classList.toggle("small", has || Boolean(draft.folder));
  byId("chosen-words").textContent = summary();
  byId("upload").hidden = !has;
  byId("upload-words").textContent = has ? standing() : "";
  byId("upload-bar").hidden = !open;
  byId("upload-bar").max = Math.max(1, uploads.bytes);
  byId("upload-bar").value = uploads.sent;
  const failed = uploads.files.filter((one) => one.state === "failed");
  byId("upload-pause").hidden = !(open && uploads.count("waiting")) && !failed.length;
  byId("upload-pause").textContent = uploads.paused ? "Go on" : failed.length && !uploads.stop ? "Try these again" : "Pause";
  const left = uploads.files.filter((one) => one.why);
  byId("upload-failed").replaceChildren(...left.slice(0, FAILED_SHOWN).map((one) => h("li", {}, h("b", {}, one.path), " ", one.why)),
    ...(left.length > FAILED_SHOWN ? [h("li", {}, `and ${left.length - FAILED_SHOWN} more`)] : []));
  previews();
  later();
  changed();
};

// ---- start

const drops = () => {
  let depth = 0; // of elements that a drag has entered
  const over = (on) => document.body.classList.toggle("dragging", on);
  const files = (event) => event.dataTransfer?.types.includes("Files");
  addEventListener("dragenter", (event) => { if (files(event)) { depth += 1; over(true); event.preventDefault(); } });
  addEventListener("dragover", (event) => { if (files(event)) event.preventDefault(); });
  addEventListener("dragleave", () => { depth = Math.max(0, depth - 1); over(depth > 0); });
  addEventListener("drop", async (event) => {
    if (!files(event)) return;
    event.preventDefault();
    depth = 0;
    over(false);
    add(await dropped(event.dataTransfer));
  });
};

/** Begin; `onChange` is called when the inputs may have changed. */
export const startSources = (wanted, onChange) => {
  choices = wanted;
  changed = onChange;
  for (const [button, input] of [["choose-files", "files"], ["choose-folder", "folder"]]) {
    byId(button).onclick = () => byId(input).click();
    byId(input).onchange = ({ target }) => { add(picked(target)); target.value = ""; };
  }
  byId("files").accept = choices.endings.join(",");
  byId("choose-folder").hidden = !("webkitdirectory" in HTMLInputElement.prototype);
  byId("choose-server").hidden = !choices.folders;
  byId("choose-server").onclick = () => browse(draft.folder, take);
  byId("clear").onclick = clear;
  byId("upload-pause").onclick = () => (uploads.stop && !uploads.paused ? uploads.pause() : uploads.resume());
  drops();
  const before = draft.files;
  gather(() => ({ files: uploads.rows }));
  if (before.length && !draft.folder) uploads.restore(before);
  else draw();
};
