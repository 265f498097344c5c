// The files that a person drops or chooses: folders are read to their end, and what is no picture is
// left out and named.

const READ_AT_ONCE = 100; // the browser gives the entries of a folder in pieces of so many

/** A chosen file: `path` within what was chosen, with slashes. */
const chosen = (file, path) => ({ path: (path || file.webkitRelativePath || file.name).replace(/^\/+/, ""), file });

const fileOf = (entry) => new Promise((resolve) => { entry.file(resolve, () => resolve(null)); });
const entriesOf = async (folder) => {
  const reader = folder.createReader();
  const found = [];
  for (;;) {
    const piece = await new Promise((resolve) => { reader.readEntries(resolve, () => resolve([])); });
    if (piece.length === 0) return found;
    found.push(...piece);
    if (found.length % (READ_AT_ONCE * 10) === 0) await new Promise((resolve) => { setTimeout(resolve); }); // stay responsive
  }
};

/** All files of a drop. The entries must be taken from it before anything is awaited. */
export const dropped = async (transfer) => {
  const items = [...transfer.items].filter((item) => item.kind === "file");
  const stack = items.map((item) => item.webkitGetAsEntry?.() ?? item.getAsFile()).filter(Boolean).reverse();
  const found = [];
  while (stack.length) {
    const entry = stack.pop();
    if (entry instanceof File) found.push(chosen(entry));
    else if (entry.isDirectory) stack.push(...(await entriesOf(entry)).reverse());
    else {
      const file = await fileOf(entry);
      if (file) found.push(chosen(file, entry.fullPath));
    }
  }
  return found;
};

export const picked = (input) => [...input.files].map((file) => chosen(file));

const hidden = (path) => path.split("/").some((part) => part.startsWith(".") || part === "__MACOSX");
const ending = (path) => (/\.[^./]+$/.exec(path)?.[0] ?? "").toLowerCase();
const order = new Intl.Collator("en", { numeric: true, sensitivity: "base" });

/** The pictures among `files`, in natural order, and how many others there are. The service decides by the
 * endings of names; a file without one of them that a browser takes for a picture is offered too. */
export const sorted = (files, endings) => {
  const known = new Set(endings);
  const pictures = files.filter(({ path, file }) => !hidden(path) && (known.has(ending(path)) || file.type.startsWith("image/")));
  pictures.sort((a, b) => order.compare(a.path, b.path));
  return { pictures, others: files.length - pictures.length };
};
