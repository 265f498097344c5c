// The head of the page, the answer, and the further questions.
import "./answers.js";
import { CITATIONS, evidence, preview } from "./citations.js";
import { byId, h, rove } from "./dom.js";
import { block } from "./prose.js";
import { cited, data } from "./state.js";
import "./units.js";
import { count, money, rate, seconds, tokens } from "./words.js";

export const head = () => {
  const { job, coverage, usage } = data;
  const began = new Date(job.created * 1000).toLocaleString("en-GB", { dateStyle: "long", timeStyle: "short" });
  const day = new Date(job.created * 1000).toLocaleDateString("en-GB", { dateStyle: "medium" });
  document.title = `${job.label ?? job.ask.slice(0, 60)} · ${count(coverage.submitted, "image")} · ${day} · ${job.id.slice(0, 8)} · Overstory`;
  byId("status").replaceChildren(
    h("span", { class: "pill" }, h("span", { class: `dot s-${job.status}` }), job.status),
    h("span", {}, began), h("span", {}, `job ${job.id}`), job.label ? h("span", {}, job.label) : "");
  byId("ask").textContent = job.ask;
  byId("ask").classList.toggle("long", job.ask.length > 160);
  byId("each").hidden = !job.each;
  byId("each").textContent = `Question about each ${job.by ?? "image"}: ${job.each}`;
  const { included, submitted } = coverage;
  const shape = data.tree.nodes === 1 ? "one request" : `${count(data.tree.leaves, "leaf", "leaves")}, ${count(data.tree.depth, "level")}`;
  const cells = [
    ["Images", submitted.toLocaleString("en"), included === submitted ? `all ${data.included_as}` : `${included.toLocaleString("en")} ${data.included_as}`],
    ...(data.units ? [["Units", data.units.list.length.toLocaleString("en"), `by ${data.units.by}, ${data.units.list.filter((unit) => unit.answer).length.toLocaleString("en")} answered`]] : []),
    ["Requests", usage.requests.toLocaleString("en"), shape],
    ["Tokens", tokens(usage.prompt_tokens + usage.completion_tokens), `${tokens(usage.completion_tokens)} of them written`],
    [job.ended ? "Took" : "So far", seconds(job.seconds), job.seconds > 0 && included > 0 ? `${rate(included / job.seconds)} images a second` : ""],
    ["Cost", money(usage.cost), job.sandbox ? "not charged: sandbox" : job.model],
  ];
  byId("facts").replaceChildren(...cells.map(([term, value, small]) => h("div", {}, h("dt", {}, term), h("dd", {}, value, h("small", {}, small)))));
  byId("sandbox").hidden = !job.sandbox;
};

export const colophon = () => {
  const { job } = data;
  const writtenAt = new Date(data.written_at * 1000).toLocaleString("en-GB", { dateStyle: "long", timeStyle: "short" });
  byId("foot").textContent = `${job.model} at ${job.endpoint}, ${job.detail} detail${job.pack ? `, at most ${job.pack} ${job.pack === 1 ? "image" : "images"} a request` : ""}. Report written ${writtenAt}. This file is self-contained: it loads nothing and sends nothing.`;
};

export const answer = () => {
  const { job } = data;
  const none = job.ended ? `No answer. ${job.reason ?? ""}` : `The job is ${job.status}: no answer yet. ${job.reason ?? ""}`;
  byId("answer-text").replaceChildren(...(data.answer ? data.answer.map(block).flat() : [h("p", { class: "none" }, none)]));
  rove(byId("answer-text"), CITATIONS);
  if (cited.size) evidence.replaceChildren(...preview([...cited], "are cited in this answer. Point at one to see it."));
  const isAlone = cited.size === 0 || Boolean(data.units?.columns); // a table takes the whole width
  byId("answer").classList.toggle("alone", isAlone);
  evidence.hidden = isAlone;
};

/** A job by its id: a link where there is a service, not in a file. */
const named = (id) => (data.pictures ? `job ${id}` : h("a", { href: `/jobs/${id}` }, `job ${id}`));

export const turns = () => {
  byId("turns").hidden = byId("turns-link").hidden = data.turns.length === 0;
  byId("turns-list").replaceChildren(...data.turns.map((turn) => h("li", {},
    h("h3", {}, turn.ask),
    h("div", { class: "prose" }, turn.answer ? turn.answer.map(block) : h("p", { class: "none" }, `This question is ${turn.status}: no answer yet.`)),
    h("p", { class: "aside" }, `${count(turn.requests, "request")} · ${money(turn.cost)} · `, named(turn.id)))));
  for (const turn of byId("turns-list").children) rove(turn, CITATIONS);
};
