// The folders of the service that a question may be about.
import { byId, h, icon } from "./dom.js";
import { get } from "./http.js";
import { fault, sentence } from "./notices.js";
import { count } from "./words.js";

const OPEN = "M4 7h6l2 2h8v9H4z";
let choose = () => {};
let isFirst = false; // the dialog was opened just now

const row = (name, path, mark = OPEN) => h("li", {}, h("button", { type: "button", class: "row", onclick: () => open(path) }, icon(mark), h("span", {}, name)));

const open = async (path) => {
  fault("folder-use", "");
  let listing;
  try {
    listing = await get(`/api/folders?path=${encodeURIComponent(path)}`);
  } catch (problem) {
    fault("folder-use", sentence(problem.message));
    return;
  }
  const { folders, images, parent, cut } = listing;
  const had = isFirst || byId("folder-list").contains(document.activeElement);
  isFirst = false;
  byId("folder-path").textContent = listing.path ?? "Folders of this service";
  const up = listing.path === null ? [] : [row(parent === null ? "All folders" : "The folder above", parent ?? "", "M12 19V5M6 11l6-6 6 6")];
  byId("folder-list").replaceChildren(...up, ...folders.map((one) => row(one.name, one.path)));
  const parts = [images || !folders.length ? count(images, "picture") : "", folders.length ? count(folders.length, "folder") : ""].filter(Boolean);
  byId("folder-here").textContent = listing.path === null ? "" : `${parts.join(" and ")} here${cut ? ", and more" : ""}`;
  byId("folder-use").disabled = listing.path === null || (images === 0 && folders.length === 0);
  byId("folder-use").onclick = () => { byId("folder-dialog").close(); choose(listing.path); };
  if (had) byId("folder-list").querySelector("button")?.focus();
};

/** Let the person choose a folder, beginning at `path`; `use` gets its path. */
export const browse = (path, use) => {
  [choose, isFirst] = [use, true];
  byId("folder-dialog").showModal();
  open(path ?? "");
};
