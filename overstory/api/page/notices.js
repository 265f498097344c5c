// What the page says about a field, and aloud to those who do not see it.
import { byId } from "./dom.js";

/** Say `text` to a screen reader, without moving the focus. */
export const announce = (text) => { byId("said").textContent = text; };

/** Show what is wrong beside the control whose id is `field`; with an empty text, nothing is wrong. */
export const fault = (field, text) => {
  const place = byId(`${field}-fault`);
  place.textContent = text;
  place.hidden = !text;
  const control = byId(field);
  if (text) control?.setAttribute("aria-invalid", "true");
  else control?.removeAttribute("aria-invalid");
};

/** Show a Problem beside the field it names, or at `fallback`, and lead there. */
export const show = (problem, fields, fallback) => {
  const field = fields[(problem.field ?? "").split(".")[0]] ?? fallback;
  fault(field, sentence(problem.message));
  const control = byId(field);
  control?.closest("details")?.setAttribute("open", "");
  control?.focus();
  byId(`${field}-fault`).scrollIntoView({ block: "nearest" });
};

/** A detail of the service begins with the name of its field, which the page shows as a place. */
export const sentence = (detail) => {
  const text = detail.replace(/^[a-z_]+(\.\d+)?: /, "");
  return text.charAt(0).toUpperCase() + text.slice(1);
};
