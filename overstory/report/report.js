"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const { job, coverage, usage } = data;
  const byId = (id) => document.getElementById(id);
  const images = new Map(data.images.map((image) => [image.n, image]));
  const nodes = new Map(data.nodes.map((node) => [node.id, node]));
  const count = (number, one, many = one + "s") => `${number.toLocaleString("en")} ${number === 1 ? one : many}`;

  // ---- elements: data is set only as text nodes and attributes, never parsed as HTML

  const h = (tag, properties = {}, ...children) => {
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
  const svg = (tag, attributes = {}, ...children) => {
    const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    element.append(...children);
    return element;
  };
  const icon = (path) => svg("svg", { viewBox: "0 0 24 24", width: 20, height: 20, "aria-hidden": "true" }, svg("path", { d: path }));
  const chevron = () => { const mark = icon("M9 5l7 7-7 7"); mark.setAttribute("class", "chev"); return mark; };
  const picture = (image, alt = "") => {
    const encoded = image.picture === undefined ? undefined : data.pictures[image.picture];
    if (encoded === undefined) return null;
    return h("img", { src: `data:image/jpeg;base64,${encoded}`, alt, decoding: "async" });
  };
  const END = 9; // characters at the end of a name that stay: they tell IMG_0041 from IMG_0042
  const short = (name) => h("span", { class: "mid", title: name }, h("span", {}, name.slice(0, -END)), h("span", {}, name.slice(-END)));
  const thumb = (image) => h("span", { class: "thumb", "aria-hidden": "true" }, picture(image) ?? "–");

  // ---- numbers with units

  const seconds = (value) => {
    if (value < 0.95) return `${(value * 1000).toFixed(0)} ms`;
    if (value < 9.95) return `${value.toFixed(1)} s`;
    if (value < 90) return `${value.toFixed(0)} s`;
    if (value < 5400) return `${Math.floor(value / 60)} min ${Math.round(value % 60)} s`;
    return `${(value / 3600).toFixed(1)} h`;
  };
  const money = (value) => {
    const digits = value === 0 || value >= 1 ? 2 : value >= 0.01 ? 3 : 5;
    return `${value.toFixed(digits)} ${usage.currency}`;
  };
  const tokens = (value) => (value >= 1e6 ? `${(value / 1e6).toFixed(2)} M` : value >= 1e4 ? `${(value / 1e3).toFixed(0)} k` : value.toLocaleString("en"));
  const span = (first, last) => (first === last ? `image ${first}` : `images ${first} to ${last}`);
  const WORDS = {
    included: data.included_as, failed: "failed", duplicate: "duplicate", skipped: "skipped",
    pending: "waiting", prepared: "prepared", uploaded: "uploaded",
  };
  const OPEN = ["pending", "prepared", "uploaded"];
  const BY = { answer: "by an answer of its own", line: "by a line of its own", sent: "only sent: nothing shows that the model saw it" };
  const unproven = (image) => image.seen === "sent" || image.code === "unseen";
  const state = (image) => (image.seen === "sent" ? "only sent" : WORDS[image.status] ?? image.status);
  const group = (image) => (OPEN.includes(image.status) ? "waiting" : image.status);

  // ---- model output

  const inline = (parts) => parts.map((part) => {
    if (typeof part === "string") return part;
    const [kind, value] = part;
    if (kind === "c") return citation(value);
    if (kind === "code") return h("code", {}, value);
    return h(kind === "b" ? "strong" : "em", {}, inline(value));
  });
  const block = ([kind, ...rest]) => {
    if (kind === "t") return inline(rest[0]);
    if (kind === "h") return h("h3", {}, inline(rest[0]));
    if (kind === "hr") return h("hr");
    if (kind === "quote") return h("blockquote", {}, rest[0].map(block));
    if (kind === "pre") return h("pre", {}, rest[0]);
    if (kind === "p") return h("p", {}, inline(rest[0]));
    if (kind === "answers") return answers(rest[0], rest[1]);
    if (kind === "table") {
      const [head, ...rows] = rest[0];
      return h("div", { class: "scroll", tabindex: "0", role: "group", "aria-label": "Table" }, h("table", {},
        h("thead", {}, h("tr", {}, head.map((cell) => h("th", { scope: "col" }, inline(cell))))),
        h("tbody", {}, rows.map((row) => h("tr", {}, row.map((cell) => h("td", {}, inline(cell))))))));
    }
    const [items, first] = rest; // a list
    return h(kind, { start: first > 1 ? first : null }, items.map((item) => h("li", {}, item.map(block))));
  };

  // ---- the table of answers: sorted, filtered and saved here

  const ROWS = 100; // at first, and with each press of the button below
  const FORMULA = /^[\s]*[=+\-@]/; // a spreadsheet would calculate it
  const said = (value) => (value === null ? "" : value === true ? "yes" : value === false ? "no" : String(value));
  const quoted = (value) => {
    const guarded = typeof value === "string" && FORMULA.test(value) ? `'${value}` : said(value);
    return /[",\n\r;\t]/.test(guarded) ? `"${guarded.replaceAll('"', '""')}"` : guarded;
  };
  const collator = new Intl.Collator(undefined, { numeric: true, sensitivity: "base" });
  const compare = (a, b) => {
    if (a === null || b === null) return (a === null) - (b === null); // without an answer: last
    return typeof a === "number" && typeof b === "number" ? a - b : collator.compare(said(a), said(b));
  };
  const answers = (columns, rows) => {
    const heads = ["Image", ...columns];
    const numeric = heads.map((_, i) => i > 0 && rows.every((row) => row[i] === null || typeof row[i] === "number"));
    let [column, sign, shown, words] = [0, 1, ROWS, []];
    const chosen = () => rows
      .filter((row) => words.every((word) => `${row[0]} ${images.get(row[0]).name} ${row.slice(1).map(said).join(" ")}`.toLowerCase().includes(word)))
      .sort((a, b) => { const order = compare(a[column], b[column]); return (a[column] === null || b[column] === null ? order : sign * order) || a[0] - b[0]; });
    const body = h("tbody");
    const found = h("span", { class: "found", role: "status" });
    const more = h("button", { type: "button", class: "more", onclick: () => { shown += ROWS; fill(); } });
    const cell = (value, i) => h("td", { class: numeric[i] ? "num" : null }, value === null ? h("span", { class: "none" }, "–") : said(value));
    const fill = () => {
      const kept = chosen();
      body.replaceChildren(...kept.slice(0, shown).map((row) => h("tr", {}, h("td", {}, citation([[row[0], row[0]]])), row.slice(1).map((value, i) => cell(value, i + 1)))));
      found.textContent = kept.length === rows.length ? count(rows.length, "answer") : `${kept.length.toLocaleString("en")} of ${count(rows.length, "answer")}`;
      more.hidden = kept.length <= shown;
      more.textContent = `Show ${Math.min(ROWS, kept.length - shown)} more of ${(kept.length - shown).toLocaleString("en")}`;
      titles.forEach((title, i) => title.setAttribute("aria-sort", i !== column ? "none" : sign > 0 ? "ascending" : "descending"));
    };
    const sort = (i) => { sign = i === column ? -sign : 1; column = i; fill(); };
    const titles = heads.map((head, i) => h("th", { scope: "col", class: numeric[i] ? "num" : null }, h("button", { type: "button", class: "sort", onclick: () => sort(i) }, head)));
    const filter = h("input", { type: "search", placeholder: "Filter the answers", "aria-label": "Filter the answers", autocomplete: "off", spellcheck: "false", oninput: () => { words = filter.value.trim().toLowerCase().split(/\s+/).filter(Boolean); shown = ROWS; fill(); } });
    const save = () => {
      const lines = [["image", "name", ...columns], ...chosen().map((row) => [row[0], images.get(row[0]).name, ...row.slice(1)])];
      const csv = `\ufeff${lines.map((line) => line.map(quoted).join(",")).join("\r\n")}\r\n`;
      const url = URL.createObjectURL(new Blob([csv], { type: "text/csv" }));
      h("a", { href: url, download: `overstory-${job.id}.csv` }).click();
      setTimeout(() => URL.revokeObjectURL(url), 10_000);
    };
    fill();
    const scroll = h("div", { class: "scroll", role: "group", "aria-label": "Answers" }, h("table", { class: "answers" }, h("thead", {}, h("tr", {}, titles)), body));
    rove(scroll);
    return [h("div", { class: "table-tools" }, filter, found, h("button", { type: "button", onclick: save }, "Save as CSV")), scroll, more];
  };

  // ---- many buttons are one stop of the Tab key; arrow keys move between them

  const CITATIONS = "button:is([data-n], .rest):not(.answers *)";
  const rove = (container, which = "button") => {
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

  // ---- citations: hover or focus shows the image, a click opens the viewer

  const SINGLE_MAX = 3; // citations of more images become a strip of small pictures
  const STRIP_MAX = 10;
  const expand = (runs) => runs.flatMap(([first, last]) => {
    const numbers = [];
    for (let n = first; n <= last; n += 1) if (images.has(n)) numbers.push(n);
    return numbers;
  });
  const written = (runs) => `[${runs.map(([a, b]) => (a === b ? a : `${a}-${b}`)).join(", ")}]`;
  const cited = new Set(expand(data.cited));

  const citation = (runs) => {
    const numbers = expand(runs);
    if (numbers.length === 0) return written(runs);
    if (numbers.length <= SINGLE_MAX) return numbers.map((n, index) => pointer(numbers, index, "cite", String(n)));
    const left = numbers.length - STRIP_MAX;
    const strip = numbers.slice(0, left > 1 ? STRIP_MAX : numbers.length).map((n, index) => pointer(numbers, index, "", null));
    const rest = left > 1 ? opens(h("button", { type: "button", class: "rest", "aria-label": `All ${numbers.length} images cited here` }, `+${left.toLocaleString("en")}`), numbers, STRIP_MAX, numbers) : null;
    return [h("span", { class: "strip", role: "group", "aria-label": `${numbers.length} images` }, strip, rest), h("span", { class: "printed" }, written(runs))];
  };
  const pointer = (numbers, index, className, label) => {
    const image = images.get(numbers[index]);
    const shown = picture(image);
    const name = className && !shown ? `${className} bare` : className;
    return opens(h("button", { type: "button", class: name, "data-n": image.n, "aria-label": `Image ${image.n}: ${image.name}` }, shown, shown && !label ? null : h("span", {}, label ?? String(image.n))), numbers, index, [image.n]);
  };
  const opens = (button, numbers, index, peeked) => {
    button.setAttribute("aria-haspopup", "dialog");
    button.addEventListener("click", () => { hidePeek(); view(numbers, index, button); });
    button.addEventListener("mouseenter", () => showPeek(button, peeked));
    button.addEventListener("mouseleave", hidePeek);
    button.addEventListener("focus", () => { if (button.matches(":focus-visible")) showPeek(button, peeked); });
    button.addEventListener("blur", hidePeek);
    return button;
  };

  const peek = byId("peek");
  let peeking = null;
  const evidence = byId("evidence");
  const showPeek = (anchor, numbers) => {
    peeking?.removeAttribute("aria-describedby");
    peeking = anchor;
    const panel = anchor.closest("#answer") && evidence.offsetParent !== null;
    anchor.setAttribute("aria-describedby", panel ? "evidence" : "peek");
    if (panel) { evidence.replaceChildren(...preview(numbers)); return; }
    peek.replaceChildren(...preview(numbers));
    peek.hidden = false;
    const box = anchor.getBoundingClientRect();
    const left = Math.min(Math.max(8, box.left + box.width / 2 - peek.offsetWidth / 2), innerWidth - peek.offsetWidth - 8);
    const above = box.top - peek.offsetHeight - 8;
    peek.style.left = `${left}px`;
    peek.style.top = `${above > 60 ? above : box.bottom + 8}px`;
  };
  const preview = (numbers, hint) => {
    const shown = numbers.map((n) => images.get(n));
    const [first] = shown;
    if (shown.length === 1) {
      const note = first.note ? plainText(first.note) : first.error ?? "";
      return [thumb(first), h("div", { class: "text" }, h("div", { class: "name" }, h("b", {}, String(first.n)), short(first.name)), h("div", { class: "note" }, note))];
    }
    const pictured = shown.filter((image) => image.picture !== undefined);
    const stride = Math.max(1, pictured.length / 16);
    const spread = Array.from({ length: Math.min(16, pictured.length) }, (_, i) => pictured[Math.floor(i * stride)]);
    return [h("div", { class: "mosaic" }, spread.map(thumb)), h("div", { class: "text" }, h("b", {}, count(shown.length, "image")), hint ?? "Click to see each of them")];
  };
  const hidePeek = () => {
    peek.hidden = true;
    peeking?.removeAttribute("aria-describedby");
    peeking = null;
  };
  const plainText = (parts) => parts.map((part) => (typeof part === "string" ? part : part[0] === "c" ? written(part[1]) : Array.isArray(part[1]) ? plainText(part[1]) : part[1])).join("");
  addEventListener("scroll", hidePeek, { passive: true });
  addEventListener("keydown", (event) => { if (event.key === "Escape") hidePeek(); });

  // ---- the viewer: one image of a set at a time

  const viewer = byId("viewer");
  const FILM = 24;
  let opener = null;
  let set = [];
  let at = 0;
  const view = (numbers, index, from) => {
    set = numbers;
    opener = from ?? opener;
    draw(index);
    if (!viewer.open) viewer.showModal();
  };
  const step = (by) => draw((at + by + set.length) % set.length);
  const draw = (index) => {
    at = index;
    const image = images.get(set[at]);
    const holding = viewer.open && document.activeElement?.dataset?.ctl;
    const alt = image.note ? plainText(image.note) : image.name;
    viewer.replaceChildren(h("div", { class: "sheet" },
      h("div", { class: "stage" },
        h("div", { class: "big" }, picture(image, alt) ?? h("p", { class: "found" }, "No picture of this image is stored")),
        set.length > 1 ? film() : null),
      h("div", { class: "side" },
        h("div", { class: "ctl" },
          ctl("previous", "Previous image", "M15 5l-7 7 7 7", () => step(-1)),
          h("span", { "aria-live": "polite" }, `${(at + 1).toLocaleString("en")} of ${set.length.toLocaleString("en")}`),
          ctl("next", "Next image", "M9 5l7 7-7 7", () => step(1)),
          ctl("close", "Close", "M6 6l12 12M18 6L6 18", () => viewer.close())),
        h("h2", { id: "viewer-title" }, `Image ${image.n}`, h("small", {}, image.name)),
        image.error ? h("p", { class: "why" }, image.error) : null,
        image.note ? h("p", { class: "note" }, inline(image.note)) : null,
        !image.note && image.status === "included" ? h("p", { class: "lead" }, "There is no note on this image alone.") : null,
        facts(image))));
    if (holding) viewer.querySelector(`[data-ctl="${holding}"]`)?.focus();
    viewer.querySelector('[aria-current="true"]')?.scrollIntoView({ inline: "center", block: "nearest" });
  };
  const ctl = (name, label, path, act) => h("button", { type: "button", class: "quiet", "data-ctl": name, "aria-label": label, hidden: name !== "close" && set.length < 2, onclick: act }, icon(path));
  const film = () => {
    const first = Math.max(0, Math.min(at - FILM / 2, set.length - FILM));
    return h("div", { class: "film" }, set.slice(first, first + FILM).map((n, offset) => h("button", {
      type: "button", "aria-label": `Image ${n}`, "aria-current": first + offset === at ? "true" : null, onclick: () => draw(first + offset),
    }, picture(images.get(n)) ?? String(n))));
  };
  const facts = (image) => {
    const node = nodes.get(image.node);
    const rows = [["Status", h("span", { class: "pill" }, h("span", { class: `dot s-${image.status}` }), WORDS[image.status] ?? image.status)]];
    if (image.seen) rows.push(["Seen", BY[image.seen]]);
    if (image.same) rows.push(["Same as", go(`image ${image.same}`, () => view([image.same], 0))]);
    if (image.size) rows.push(["Sent as", `${image.size[0]} × ${image.size[1]} px, ${count(image.tokens ?? 0, "token")}`]);
    if (image.look) rows.push(["Look", image.look]);
    if (image.remarks) rows.push(["Remarks", image.remarks]);
    if (node) rows.push(["In one request with", go(span(node.first, node.last), () => { viewer.close(); reveal(node.id); })]);
    return h("dl", {}, rows.flatMap(([term, value]) => [h("dt", {}, term), h("dd", {}, value)]));
  };
  const go = (label, act) => h("button", { type: "button", class: "link", onclick: act }, label);
  viewer.addEventListener("keydown", (event) => {
    if (set.length > 1 && event.key === "ArrowRight") step(1);
    else if (set.length > 1 && event.key === "ArrowLeft") step(-1);
    else return;
    event.preventDefault();
  });
  viewer.addEventListener("click", (event) => { if (event.target === viewer) viewer.close(); });
  viewer.addEventListener("close", () => { if (opener?.isConnected) opener.focus({ preventScroll: true }); opener = null; hidePeek(); });

  // ---- head, answer, coverage

  const head = () => {
    const began = new Date(job.created * 1000).toLocaleString("en-GB", { dateStyle: "long", timeStyle: "short" });
    const day = new Date(job.created * 1000).toLocaleDateString("en-GB", { dateStyle: "medium" });
    document.title = `${job.label ?? job.ask.slice(0, 60)} · ${count(coverage.submitted, "image")} · ${day} · ${job.id.slice(0, 8)} · Overstory`;
    byId("status").append(
      h("span", { class: "pill" }, h("span", { class: `dot s-${job.status}` }), job.status),
      h("span", {}, began), h("span", {}, `job ${job.id}`), job.label ? h("span", {}, job.label) : "");
    byId("ask").textContent = job.ask;
    byId("ask").classList.toggle("long", job.ask.length > 160);
    if (job.each) byId("ask").after(h("p", { class: "lead" }, `Question about each image: ${job.each}`));
    const { included, submitted } = coverage;
    const shape = data.tree.nodes === 1 ? "one request" : `${count(data.tree.leaves, "leaf", "leaves")}, ${count(data.tree.depth, "level")}`;
    const cells = [
      ["Images", submitted.toLocaleString("en"), included === submitted ? `all ${data.included_as}` : `${included.toLocaleString("en")} ${data.included_as}`],
      ["Requests", usage.requests.toLocaleString("en"), shape],
      ["Tokens", tokens(usage.prompt_tokens + usage.completion_tokens), `${tokens(usage.completion_tokens)} of them written`],
      [job.ended ? "Took" : "So far", seconds(job.seconds), job.seconds > 0 && included > 0 ? `${rate(included / job.seconds)} images a second` : ""],
      ["Cost", money(usage.cost), job.sandbox ? "not charged: sandbox" : job.model],
    ];
    byId("facts").append(...cells.map(([term, value, small]) => h("div", {}, h("dt", {}, term), h("dd", {}, value, h("small", {}, small)))));
    if (job.sandbox) byId("facts").after(h("p", { class: "banner" }, "No vision model was used. The local sandbox answered from sizes, colours and brightness."));
    const writtenAt = new Date(data.written_at * 1000).toLocaleString("en-GB", { dateStyle: "long", timeStyle: "short" });
    byId("foot").textContent = `${job.model} at ${job.endpoint}, ${job.detail} detail${job.pack ? `, at most ${job.pack} ${job.pack === 1 ? "image" : "images"} a request` : ""}. Report written ${writtenAt}. This file is self-contained: it loads nothing and sends nothing.`;
  };
  const rate = (value) => (value >= 10 ? value.toFixed(0) : value >= 0.1 ? value.toFixed(1) : value.toFixed(3));

  const answer = () => {
    const none = job.ended ? `No answer. ${job.reason ?? ""}` : `The job is ${job.status}: no answer yet. ${job.reason ?? ""}`;
    byId("answer-text").append(...(data.answer ? data.answer.map(block).flat() : [h("p", { class: "none" }, none)]));
    rove(byId("answer-text"), CITATIONS);
    if (cited.size) evidence.append(...preview([...cited], "are cited in this answer. Point at one to see it."));
    byId("answer").classList.toggle("alone", cited.size === 0);
    evidence.hidden = cited.size === 0;
  };

  const turns = () => {
    byId("turns").hidden = byId("turns-link").hidden = data.turns.length === 0;
    byId("turns-list").append(...data.turns.map((turn) => h("li", {},
      h("h3", {}, turn.ask),
      h("div", { class: "prose" }, turn.answer ? turn.answer.map(block) : h("p", { class: "none" }, `This question is ${turn.status}: no answer yet.`)),
      h("p", { class: "aside" }, `${count(turn.requests, "request")} · ${money(turn.cost)} · job ${turn.id}`))));
    for (const turn of byId("turns-list").children) rove(turn, CITATIONS);
  };

  // ---- accuracy: how the answers compare with a truth file, and each image with a mistake

  const MISTAKES = 24; // at first, and with each press of the button below
  const accuracy = () => {
    byId("accuracy").hidden = byId("accuracy-link").hidden = !data.accuracy;
    if (!data.accuracy) return;
    const { fields, wrong, judged } = data.accuracy;
    const range = (low, high) => {
      const bar = h("i");
      bar.style.left = `${low}%`;
      bar.style.width = `${high - low}%`;
      return h("span", { class: "range", "aria-hidden": "true" }, bar);
    };
    const row = ([name, right, of, unanswered, rule, [share, low, high]]) => h("tr", {}, h("th", { scope: "row" }, name),
      h("td", { class: "num" }, `${right} of ${of}`), h("td", { class: "num" }, of ? `${share}%` : "–"),
      h("td", {}, of ? [range(low, high), `${low}% to ${high}%`] : "–"), h("td", { class: "num" }, String(unanswered)), h("td", {}, rule));
    byId("accuracy-words").textContent = `${judged} compared. The interval says where the share of all images may lie, if the labelled ones were chosen by chance.`;
    byId("accuracy-fields").append(h("div", { class: "scroll", tabindex: "0", role: "group", "aria-label": "Accuracy by field" }, h("table", {},
      h("thead", {}, h("tr", {}, ["Field", "Right", "Share", "95 % interval", "Unanswered", "Rule"].map((title, i) => h("th", { scope: "col", class: [1, 2, 4].includes(i) ? "num" : null }, title)))),
      h("tbody", {}, fields.map(row)))));
    const list = byId("mistakes");
    const card = (numbers) => ([n, faults], index) => {
      const image = images.get(n);
      return h("li", {}, h("button", { type: "button", "aria-haspopup": "dialog", "aria-label": `Image ${n}: ${image.name}`, onclick: (event) => view(numbers, index, event.currentTarget) }, thumb(image), h("span", { class: "name" }, h("b", {}, String(n)), short(image.name))),
        h("dl", {}, faults.map(([field, answer, truth]) => [h("dt", {}, field), h("dd", {}, h("span", { class: "says" }, h("small", {}, "Answer"), answer ?? "none"), h("span", { class: "is" }, h("small", {}, "Truth"), truth))])));
    };
    const list_of = (field) => {
      const found = wrong.map(([n, faults]) => [n, faults.filter(([name]) => !field || name === field)]).filter(([, faults]) => faults.length);
      const numbers = found.map(([n]) => n);
      const cards = found.map(card(numbers));
      const more = h("li", { class: "rest" }, h("button", { type: "button", class: "more", onclick: () => { more.before(...cards.splice(0, MISTAKES)); if (!cards.length) more.remove(); } }, "Show more"));
      list.replaceChildren(...cards.splice(0, MISTAKES), ...(cards.length ? [more] : []));
      for (const chip of byId("accuracy-chips").children) chip.setAttribute("aria-pressed", String(chip.dataset.field === field));
    };
    const faulty = fields.map(([name]) => [name, wrong.filter(([, faults]) => faults.some(([field]) => field === name)).length]).filter(([, number]) => number);
    const chips = faulty.length > 1 ? [["", wrong.length], ...faulty] : [];
    byId("accuracy-chips").append(...chips.map(([field, number]) => h("button", { type: "button", class: "chip", "data-field": field, onclick: () => list_of(field) }, field || "all mistakes", h("b", {}, number.toLocaleString("en")))));
    list_of("");
  };

  const ORDER = ["included", "duplicate", "waiting", "skipped", "failed"];
  const totals = () => {
    const totals = new Map(ORDER.map((name) => [name, 0]));
    for (const image of data.images) totals.set(group(image), totals.get(group(image)) + 1);
    return [...totals].filter(([, number]) => number > 0);
  };

  const LONG = { included: data.included_as, duplicate: "duplicates of another", waiting: "not finished yet", skipped: "skipped", failed: "failed" };
  const covered = () => {
    const parts = totals();
    const summary = parts.map(([name, number]) => `${number.toLocaleString("en")} ${LONG[name]}`).join(", ");
    byId("coverage-words").textContent = `${count(coverage.submitted, "image was", "images were")} submitted. Each has a status.`;
    byId("coverage-bar").setAttribute("aria-label", `Coverage: ${summary}`);
    byId("coverage-bar").append(...parts.map(([name, number]) => { const part = h("i", { class: `s-${name}` }); part.style.flex = `${number} 0 0`; return part; }));
    byId("coverage-legend").append(...parts.map(([name, number]) => h("li", {}, h("button", { type: "button", onclick: () => { choose(name); byId("images").scrollIntoView(); } },
      h("span", { class: `dot s-${name}` }), h("b", {}, number.toLocaleString("en")), h("span", {}, LONG[name])))));
    rove(byId("coverage-legend"));
    proofs();
    listed("failures", data.images.filter((image) => image.status === "failed"), (number) => `${count(number, "image is", "images are")} not ${data.included_as}`, (image) => image.error ?? image.code ?? "no reason recorded");
    const unclear = (image) => image.look.includes("unclear");
    listed("failures remarked", data.images.filter((image) => image.look).sort((a, b) => unclear(b) - unclear(a)), () => data.looks || "Looks", (image) => image.look);
    listed("failures remarked", data.images.filter((image) => image.remarks && image.status !== "failed"), (number) => `${count(number, "image has", "images have")} a remark`, (image) => image.remarks);
  };
  const proofs = () => {
    const total = coverage.included;
    if (!data.seen || total === 0) return;
    const { answer: answers, line: lines, sent } = data.seen;
    const ways = [[answers, "an answer"], [lines, "a line"], [sent, null]].filter(([number]) => number > 0);
    const way = ([number, what], one = number === 1) => (what ? `${one ? "is" : "are"} proven by ${what} of ${one ? "its" : "their"} own` : `${one ? "was" : "were"} only sent`);
    const words = ways.length > 1
      ? `Of the ${count(total, "image")} ${data.included_as}, ${ways.map((part) => `${part[0].toLocaleString("en")} ${way(part)}`).join(", ")}.`
      : `${total === 1 ? "The image" : `Each of the ${count(total, "image")}`} ${data.included_as} ${way(ways[0], true)}.`;
    const why = job.bare ? " The job takes the answer as it comes." : ` Nothing shows that the model saw ${sent === 1 ? "that image" : "those images"}.`;
    const without = data.images.filter(unproven).length;
    const link = without ? [" ", go(`Show ${count(without, "image")} without a line`, () => { choose("unseen"); byId("images").scrollIntoView(); })] : [];
    byId("coverage-proof").append(words, sent ? why : "", ...link);
  };
  const SHOWN = 8;
  const listed = (style, images, title, why) => {
    if (images.length === 0) return;
    const numbers = images.map((image) => image.n);
    const row = (image, index) => h("li", {}, h("button", { type: "button", "aria-haspopup": "dialog", onclick: (event) => view(numbers, index, event.currentTarget) },
      thumb(image), h("span", { class: "name" }, h("b", {}, String(image.n)), short(image.name)), h("span", { class: "why" }, why(image))));
    const list = h("ul", {}, images.slice(0, SHOWN).map(row));
    const left = images.length - SHOWN;
    const more = h("button", { type: "button", class: "more", hidden: left < 1, onclick: () => { list.append(...images.slice(SHOWN).map((image, i) => row(image, i + SHOWN))); more.remove(); } }, `Show ${left} more`);
    byId("failed").append(h("div", { class: style }, h("h3", {}, title(images.length)), list, more));
    rove(list);
  };

  // ---- the tree

  const children = new Map();
  for (const node of data.nodes) {
    if (!children.has(node.parent)) children.set(node.parent, []);
    children.get(node.parent).push(node);
  }
  const leafImages = new Map();
  for (const image of data.images) {
    if (image.node === undefined) continue;
    if (!leafImages.has(image.node)) leafImages.set(image.node, []);
    leafImages.get(image.node).push(image);
  }
  const folds = new Map();
  const title = (node) => (node.parent === null ? "Answer" : node.kind === "leaf" ? "Leaf" : "Summary");
  const branch = (node) => {
    const inside = h("div", { class: "inside", id: `node-${node.id}`, hidden: true });
    const below = (leafImages.get(node.id) ?? []).length;
    const meta = [span(node.first, node.last)];
    if (node.status !== "done") meta.push(node.status);
    const right = [node.seconds !== null && node.requests ? seconds(node.seconds) : "", node.requests ? money(node.cost) : "", node.refused ? `${count(node.refused, "false citation")} removed` : ""];
    const button = h("button", { type: "button", class: "node", "aria-expanded": "false", "aria-controls": inside.id, onclick: () => unfold(button.getAttribute("aria-expanded") === "false") },
      chevron(), h("span", { class: `dot s-${node.status}` }), h("span", { class: "title" }, title(node)), h("span", { class: "meta" }, meta.join(" · ")), h("span", { class: "meta right" }, right.filter(Boolean).join(" · ")));
    const unfold = (open) => {
      if (open && !inside.hasChildNodes()) fill(node, inside);
      button.setAttribute("aria-expanded", String(open));
      inside.hidden = !open;
    };
    folds.set(node.id, { unfold, button, below });
    return h("li", {}, button, inside);
  };
  const fill = (node, inside) => {
    if (node.error) inside.append(h("p", { class: "err" }, node.error));
    if (node.text.length && node.parent !== null) inside.append(h("div", { class: "prose" }, node.text.map(block)));
    const nested = children.get(node.id) ?? [];
    if (nested.length) inside.append(h("ul", {}, nested.map(branch)));
    const shown = leafImages.get(node.id) ?? [];
    const numbers = shown.map((image) => image.n);
    if (shown.length) inside.append(h("ul", { class: "leafs" }, shown.map((image, index) => h("li", {}, h("button", { type: "button", class: "row", "aria-haspopup": "dialog", onclick: (event) => view(numbers, index, event.currentTarget) },
      thumb(image), h("span", {}, h("span", { class: "name" }, h("b", {}, String(image.n)), short(image.name)),
        h("span", { class: image.error ? "says bad" : "says" }, image.error ?? (image.note ? plainText(image.note) : state(image)))))))));
  };
  const reveal = (id) => {
    const path = [];
    for (let node = nodes.get(id); node; node = nodes.get(node.parent)) path.unshift(node.id);
    path.forEach((nodeId) => folds.get(nodeId)?.unfold(true));
    const { button } = folds.get(id);
    button.scrollIntoView({ block: "center" });
    button.focus({ preventScroll: true });
  };
  const ROWS_MAX = 600; // more rows of images make the page slow
  const unfoldAll = () => {
    let rows = 0;
    for (const node of data.nodes.slice().sort((a, b) => b.level - a.level || a.first - b.first)) {
      const fold = folds.get(node.id);
      rows += fold?.below ?? 0;
      if (fold && (fold.below === 0 || rows <= ROWS_MAX)) fold.unfold(true);
    }
  };
  const tree = () => {
    const roots = children.get(null) ?? [];
    byId("tree-words").textContent = data.tree.nodes === 1
      ? "All images fit into one request."
      : `${count(data.tree.leaves, "leaf describes", "leaves describe")} the images, ${count(data.tree.nodes - data.tree.leaves, "branch summarises", "branches summarise")} the notes below, and the top one answers. Unfold the tree down to single images.`;
    byId("tree-root").append(...roots.map(branch));
    roots.forEach((root) => { if (data.tree.nodes > 1) folds.get(root.id).unfold(true); });
    rove(byId("tree-root"));
    byId("unfold").addEventListener("click", unfoldAll);
    byId("fold").addEventListener("click", () => folds.forEach((fold) => fold.unfold(false)));
  };

  // ---- time and cost

  const lane = ({ name, unit, total, first, last, bins }) => {
    const peakCount = Math.max(...bins);
    const width = 100 / bins.length;
    const path = bins.map((n, i) => (n ? `M${i * width} 34V${34 - Math.max(2, (n / peakCount) * 32)}h${width * 0.82}V34z` : "")).join("");
    const when = `${seconds(first)} to ${seconds(last)}`;
    return h("div", { class: name === "Fail" ? "lane fail" : "lane" }, h("span", { class: "what" }, name),
      svg("svg", { viewBox: "0 0 100 34", preserveAspectRatio: "none", role: "img", "aria-label": `${name}: ${total} ${unit}, ${when} after the start` }, svg("path", { d: path })),
      h("span", { class: "when" }, `${total.toLocaleString("en")} ${total === 1 ? unit.slice(0, -1) : unit}, ${when}`));
  };
  const course = () => {
    if (data.lanes.length) byId("lanes").append(...data.lanes.map(lane), h("div", { class: "axis", "aria-hidden": "true" }, h("span", {}, "start"), h("span", {}, seconds(data.span))));
    const rows = [
      ["Requests", usage.requests.toLocaleString("en")],
      ["Prompt tokens", usage.prompt_tokens.toLocaleString("en")],
      ["of them from the provider's cache", usage.cached_tokens.toLocaleString("en")],
      ["Tokens written", usage.completion_tokens.toLocaleString("en")],
      [job.sandbox ? "What the model would have cost" : "Cost", money(usage.cost)],
    ];
    if (usage.cost && coverage.included) rows.push([`For each image ${data.included_as}`, money(usage.cost / coverage.included)]);
    byId("bill").append(h("table", { class: "bill" }, h("tbody", {}, rows.map(([term, value]) => h("tr", {}, h("th", { scope: "row" }, term), h("td", { class: "num" }, value))))));
  };

  // ---- all images: chunks are filled when they come near the window, and emptied when they leave it

  const CHUNK = 60;
  const searchTexts = new Map();
  const searchText = (image) => {
    if (!searchTexts.has(image.n)) searchTexts.set(image.n, `${image.n} ${image.name} ${image.note ? plainText(image.note) : ""} ${image.error ?? ""}`.toLowerCase());
    return searchTexts.get(image.n);
  };
  let chosen = "all";
  let numbers = [];
  const tile = (n, index) => {
    const image = images.get(n);
    return h("div", { role: "listitem" }, h("button", { type: "button", class: "tile", title: image.name, "aria-haspopup": "dialog", "aria-label": `Image ${n}, ${image.name}, ${state(image)}`, onclick: (event) => view(numbers, index, event.currentTarget) },
      thumb(image), h("span", { class: "cap" }, image.status !== "included" ? h("span", { class: `dot s-${image.status}` }) : unproven(image) ? h("span", { class: "dot s-unseen" }) : "", h("b", {}, String(n)), short(image.name.split("/").pop()))));
  };
  const grid = byId("grid");
  const filled = new WeakMap();
  const fillChunk = (chunk) => {
    if (filled.get(chunk)) return;
    const first = Number(chunk.dataset.first);
    chunk.replaceChildren(...numbers.slice(first, first + CHUNK).map((n, i) => tile(n, first + i)));
    chunk.style.minHeight = "";
    filled.set(chunk, true);
  };
  const emptyChunk = (chunk) => {
    if (!filled.get(chunk) || chunk.contains(document.activeElement) || viewer.open) return;
    chunk.style.minHeight = `${chunk.offsetHeight}px`;
    chunk.replaceChildren();
    filled.set(chunk, false);
  };
  const near = new IntersectionObserver((entries) => entries.forEach(({ isIntersecting, target }) => (isIntersecting ? fillChunk : emptyChunk)(target)), { rootMargin: "900px" });
  const isChosen = (image) => chosen === "all" || (chosen === "cited" ? cited.has(image.n) : chosen === "unseen" ? unproven(image) : group(image) === chosen);
  const show = () => {
    const wanted = byId("search").value.trim().toLowerCase().split(/\s+/).filter(Boolean);
    numbers = data.images.filter((image) => isChosen(image) && wanted.every((word) => searchText(image).includes(word))).map((image) => image.n);
    near.disconnect();
    const columns = Math.max(1, Math.floor((grid.clientWidth + 12) / 144));
    const chunks = [];
    for (let first = 0; first < numbers.length; first += CHUNK) {
      const chunk = h("div", { class: "chunk", "data-first": first, role: "presentation" });
      chunk.style.minHeight = `${Math.ceil(Math.min(CHUNK, numbers.length - first) / columns) * 144}px`;
      chunks.push(chunk);
    }
    grid.replaceChildren(...(chunks.length ? chunks : [h("p", { class: "nothing" }, "No image matches. Clear the search or choose another filter.")]));
    chunks.forEach((chunk) => near.observe(chunk));
    byId("found").textContent = numbers.length === data.images.length ? count(numbers.length, "image") : `${numbers.length.toLocaleString("en")} of ${count(data.images.length, "image")}`;
    byId("chips").querySelectorAll("button").forEach((button) => button.setAttribute("aria-pressed", String(button.dataset.name === chosen)));
  };
  const choose = (name) => { chosen = name; show(); };
  const CHIPS = { included: data.included_as, unseen: "without a line" };
  const gallery = () => {
    const names = ["all", ...(cited.size ? ["cited"] : []), ...totals().map(([name]) => name), ...(data.images.some(unproven) ? ["unseen"] : [])];
    byId("chips").append(...names.map((name) => h("button", { type: "button", class: "chip", "data-name": name, "aria-pressed": "false", onclick: () => choose(name) },
      ORDER.includes(name) || name === "unseen" ? h("span", { class: `dot s-${name}` }) : "", CHIPS[name] ?? name)));
    byId("search").addEventListener("input", show);
    show();
  };

  // ---- light, dark and print

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
  addEventListener("beforeprint", () => { [...grid.children].slice(0, 10).forEach((chunk) => { if (chunk.dataset.first) fillChunk(chunk); }); });

  paint(THEMES.includes(storedTheme()) ? storedTheme() : "system");
  head();
  answer();
  turns();
  accuracy();
  covered();
  tree();
  course();
  gallery();
  document.documentElement.dataset.ready = "yes";
})();
