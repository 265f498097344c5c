// Elements: data is set only as text nodes and attributes, never parsed as HTML.

export const byId = (id) => document.getElementById(id);

export const h = (tag, properties = {}, ...children) => {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null || value === false) continue;
    if (name === "class") element.className = value;
    else if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== ""));
  return element;
};

export const svg = (tag, attributes = {}, ...children) => {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
};

export const icon = (path) => svg("svg", { viewBox: "0 0 24 24", width: 20, height: 20, "aria-hidden": "true" }, svg("path", { d: path }));

export const chevron = () => { const mark = icon("M9 5l7 7-7 7"); mark.setAttribute("class", "chev"); return mark; };

const END = 9; // characters at the end of a name that stay: they tell IMG_0041 from IMG_0042

export const short = (name) => h("span", { class: "mid", title: name }, h("span", {}, name.slice(0, -END)), h("span", {}, name.slice(-END)));

// Many buttons are one stop of the Tab key; arrow keys move between them.

const roved = new WeakSet();
export const rove = (container, which = "button") => {
  if (roved.has(container)) return; // drawn again: its observer settles the new buttons
  roved.add(container);
  const buttons = () => [...container.querySelectorAll(which)].filter((button) => button.checkVisibility());
  let current = null;
  const settle = () => {
    const all = buttons();
    if (!all.includes(current)) current = all[0] ?? null;
    container.querySelectorAll(which).forEach((button) => { button.tabIndex = button === current ? 0 : -1; });
  };
  container.addEventListener("focusin", ({ target }) => {
    const button = target.closest(which);
    if (!button || button === current) return;
    if (current) current.tabIndex = -1;
    current = button;
    current.tabIndex = 0;
  });
  container.addEventListener("keydown", (event) => {
    const by = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (by === undefined && event.key !== "Home" && event.key !== "End") return;
    const all = buttons();
    const at = all.indexOf(document.activeElement);
    if (at < 0) return;
    const next = event.key === "Home" ? 0 : event.key === "End" ? all.length - 1 : at + by;
    all[next]?.focus();
    event.preventDefault();
  });
  new MutationObserver(settle).observe(container, { childList: true, subtree: true });
  settle();
};
