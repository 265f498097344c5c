// Light and dark.
import { byId } from "./dom.js";

const THEMES = ["system", "light", "dark"];
const theme = byId("theme");
const storedTheme = () => { try { return localStorage.getItem("overstory-theme"); } catch { return null; } };
const paint = (name) => {
  if (name === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = name;
  const label = name === "system" ? "Colours: as the system" : `Colours: ${name}`;
  theme.setAttribute("aria-label", label);
  theme.title = label;
  theme.dataset.name = name;
};
theme.addEventListener("click", () => {
  const dark = matchMedia("(prefers-color-scheme: dark)").matches;
  const order = dark ? ["system", "light", "dark"] : ["system", "dark", "light"];
  const next = order[(order.indexOf(theme.dataset.name) + 1) % 3];
  paint(next);
  try { localStorage.setItem("overstory-theme", next); } catch { /* a local file may have no storage */ }
});

paint(THEMES.includes(storedTheme()) ? storedTheme() : "system");
