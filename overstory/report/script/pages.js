// A large report has several pages: which images this one shows, and the way to the others.
import { byId, h } from "./dom.js";
import { data } from "./state.js";

const digits = (number) => number.toLocaleString("en");
export const pages = () => {
  byId("pages").hidden = !data.page;
  if (!data.page) return;
  const { number, count, first, last, of, files } = data.page;
  const link = (to, text) => (files[to - 1] && to !== number ? h("a", { href: encodeURIComponent(files[to - 1]) }, text) : null);
  const extra = number === 1 ? ", and images of other pages that the answer cites or that failed" : "";
  const words = `Page ${digits(number)} of ${digits(count)}: images ${digits(first)} to ${digits(last)} of ${digits(of)}${extra}. `;
  const hint = files.length ? [] : [`'overstory report ${data.job.id}' writes the other pages.`];
  const links = [link(1, "First page"), link(number - 1, "Page before"), link(number + 1, "Next page")].filter(Boolean);
  byId("pages").replaceChildren(words, ...hint, ...links.flatMap((each) => [each, " "]));
};
