// A small form for the columns of an answer, which makes its JSON Schema.
import { byId, h, icon } from "./dom.js";
import { change, draft } from "./draft.js";

const TYPES = { text: "Text", number: "Number", boolean: "Yes or no", choice: "One of a list", date: "Date" };

const plain = ({ type, choices }) => {
  if (type === "number") return { type: "number" };
  if (type === "boolean") return { type: "boolean" };
  if (type === "date") return { type: "string", format: "date" };
  if (type === "choice") return { enum: choices.split(",").map((one) => one.trim()).filter(Boolean) };
  return { type: "string" };
};
/** What a picture does not show is null. Without `each`, code merges the values, and null is understood. */
const optional = (schema) => (schema.enum ? { enum: [...schema.enum, null] } : { ...schema, type: [schema.type, "null"] });

/** The JSON Schema of `columns`, or null if there is none. `each`: of an answer for every picture. */
export const schemaOf = (columns, each) => {
  const named = columns.filter((column) => column.name.trim());
  if (named.length === 0) return null;
  const properties = Object.fromEntries(named.map((column) => {
    const schema = each ? optional(plain(column)) : plain(column);
    return [column.name.trim(), column.about.trim() ? { ...schema, description: column.about.trim() } : schema];
  }));
  return { type: "object", properties, required: Object.keys(properties), additionalProperties: false };
};

/** What is wrong with the columns, or an empty text. */
export const faultOf = (columns) => {
  const names = columns.map((column) => column.name.trim());
  if (names.some((name, i) => name && names.indexOf(name) !== i)) return "Two columns have the same name.";
  const bare = columns.find((column) => column.type === "choice" && column.name.trim() && !/[^,\s]/.test(column.choices));
  if (bare) return `Write what "${bare.name.trim()}" may be, with commas between.`;
  if (columns.some((column) => !column.name.trim() && column.about.trim())) return "A column has no name.";
  return "";
};

const field = (label, control) => h("label", {}, h("span", {}, label), control);
const row = (column, index) => {
  const number = index + 1;
  const set = (name) => ({ target }) => { column[name] = target.value; change({}); };
  const choices = field("May be", h("input", { type: "text", value: column.choices, placeholder: "new, worn, broken", "aria-label": `What column ${number} may be, with commas between`, oninput: set("choices") }));
  choices.hidden = column.type !== "choice";
  const type = h("select", { "aria-label": `Kind of column ${number}`, onchange: (event) => { set("type")(event); choices.hidden = column.type !== "choice"; } },
    Object.entries(TYPES).map(([value, label]) => h("option", { value, selected: value === column.type }, label)));
  return h("li", {},
    field("Name", h("input", { type: "text", value: column.name, placeholder: "colour", maxlength: 60, "aria-label": `Name of column ${number}`, oninput: set("name") })),
    field("Kind", type), choices,
    field("What is meant", h("input", { type: "text", value: column.about, placeholder: "the colour that covers most", "aria-label": `What is meant by column ${number}`, oninput: set("about") })),
    h("button", { type: "button", class: "quiet", "aria-label": `Remove column ${number}`, onclick: () => remove(index) }, icon("M6 6l12 12M18 6L6 18")));
};

const draw = () => byId("columns-list").replaceChildren(...draft.columns.map(row));
const remove = (index) => {
  change({ columns: draft.columns.filter((_, i) => i !== index) });
  draw();
  (byId("columns-list").children[Math.min(index, draft.columns.length - 1)]?.querySelector("input") ?? byId("columns")).focus();
};

export const startColumns = () => {
  byId("columns").onclick = () => {
    change({ columns: [...draft.columns, { name: "", type: "text", choices: "", about: "" }] });
    draw();
    byId("columns-list").lastElementChild.querySelector("input").focus();
  };
  byId("columns-box").open = draft.columns.length > 0;
  draw();
};
