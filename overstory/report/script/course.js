// Time and cost.
import { byId, h, svg } from "./dom.js";
import { data } from "./state.js";
import { money, seconds } from "./words.js";

const lane = ({ name, unit, total, first, last, bins }) => {
  const peakCount = Math.max(...bins);
  const width = 100 / bins.length;
  const path = bins.map((n, i) => (n ? `M${i * width} 34V${34 - Math.max(2, (n / peakCount) * 32)}h${width * 0.82}V34z` : "")).join("");
  const when = `${seconds(first)} to ${seconds(last)}`;
  return h("div", { class: name === "Fail" ? "lane fail" : "lane" }, h("span", { class: "what" }, name),
    svg("svg", { viewBox: "0 0 100 34", preserveAspectRatio: "none", role: "img", "aria-label": `${name}: ${total} ${unit}, ${when} after the start` }, svg("path", { d: path })),
    h("span", { class: "when" }, `${total.toLocaleString("en")} ${total === 1 ? unit.slice(0, -1) : unit}, ${when}`));
};
export const course = () => {
  const { job, coverage, usage } = data;
  const axis = h("div", { class: "axis", "aria-hidden": "true" }, h("span", {}, "start"), h("span", {}, seconds(data.span)));
  byId("lanes").replaceChildren(...(data.lanes.length ? [...data.lanes.map(lane), axis] : []));
  const rows = [
    ["Requests", usage.requests.toLocaleString("en")],
    ["Prompt tokens", usage.prompt_tokens.toLocaleString("en")],
    ["of them from the provider's cache", usage.cached_tokens.toLocaleString("en")],
    ["Tokens written", usage.completion_tokens.toLocaleString("en")],
    [job.sandbox ? "What the model would have cost" : "Cost", money(usage.cost)],
  ];
  if (usage.cost && coverage.included) rows.push([`For each image ${data.included_as}`, money(usage.cost / coverage.included)]);
  byId("bill").replaceChildren(h("table", { class: "bill" }, h("tbody", {}, rows.map(([term, value]) => h("tr", {}, h("th", { scope: "row" }, term), h("td", { class: "num" }, value))))));
};
