"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const byId = (id) => document.getElementById(id);
  const STORE = `overstory-review-${data.job}-${data.seed}-${data.items.length}`;
  const DONE = data.items.length;
  let state = { at: 0, verdicts: {} }; // verdicts: image number -> field -> {right, truth?}
  try { state = { ...state, ...JSON.parse(localStorage.getItem(STORE) ?? "{}") }; } catch { /* a local file may have no storage */ }
  let field = 0;
  let typing = false;

  const element = (tag, properties = {}, ...children) => {
    const made = Object.assign(document.createElement(tag), properties);
    made.append(...children); // text nodes: an answer is never parsed as HTML
    return made;
  };
  const item = () => data.items[state.at];
  const verdictsOf = (one) => (state.verdicts[one.n] ??= {});
  const said = (value) => value === null ? "no answer" : typeof value === "object" ? JSON.stringify(value) : String(value);
  const judged = (one) => one.answers.every(([name]) => name in (state.verdicts[one.n] ?? {}));

  const wilson = (right, of) => { // as core/truth/intervals.py
    const z = 1.96, share = right / of, scale = 1 + z * z / of;
    const middle = (share + z * z / (2 * of)) / scale;
    const half = z * Math.sqrt(share * (1 - share) / of + z * z / (4 * of * of)) / scale;
    return [Math.max(0, middle - half), Math.min(1, middle + half)];
  };
  const percent = (share) => `${Math.round(share * 100)}%`;

  const keep = () => { try { localStorage.setItem(STORE, JSON.stringify(state)); } catch { /* see above */ } };

  const head = () => {
    const all = Object.values(state.verdicts).flatMap((fields) => Object.values(fields));
    const right = all.filter((verdict) => verdict.right).length;
    byId("share").textContent = all.length
      ? `${right} of ${all.length} right: ${percent(right / all.length)} (${wilson(right, all.length).map(percent).join(" to ")})`
      : "nothing judged yet";
    byId("progress").max = DONE;
    byId("progress").value = data.items.filter(judged).length;
    byId("save").disabled = !all.length;
  };

  const judge = (name, verdict) => { verdictsOf(item())[name] = verdict; keep(); };
  const onward = () => {
    typing = false;
    if (field + 1 < item().answers.length) field += 1;
    else move(1);
    draw();
  };
  const move = (step) => { typing = false; field = 0; state.at = Math.min(DONE, Math.max(0, state.at + step)); keep(); draw(); };
  const decide = (right) => { judge(item().answers[field][0], { right }); onward(); };
  const correct = () => { typing = true; draw(); };

  const row = ([name, value], index) => {
    const verdict = (state.verdicts[item().n] ?? {})[name];
    const pick = (act) => () => { field = index; act(); };
    const button = (label, kind, pressed, act) => {
      const made = element("button", { type: "button", className: kind, onclick: pick(act) }, label);
      made.setAttribute("aria-pressed", String(pressed));
      return made;
    };
    const buttons = element("div", { className: "verdicts" },
      button("Right", "yes", verdict?.right === true, () => decide(true)),
      button("Wrong", "no", verdict?.right === false, () => decide(false)),
      button("Correct…", "fix", false, correct));
    if (typing && index === field) {
      const input = element("input", { type: "text", value: verdict?.truth ?? "", ariaLabel: `What is true of ${name}`, placeholder: "What is true; then Enter" });
      input.addEventListener("keydown", (event) => {
        event.stopPropagation();
        if (event.key === "Escape") { typing = false; draw(); }
        if (event.key !== "Enter") return;
        const truth = input.value.trim();
        judge(name, truth ? { right: false, truth } : { right: false });
        onward();
      });
      buttons.append(input);
    }
    const made = element("li", {}, element("p", { className: "name" }, name), element("p", { className: "value" }, said(value)), buttons);
    if (index === field) made.setAttribute("aria-current", "true");
    return made;
  };

  const draw = () => {
    head();
    const ended = state.at >= DONE;
    byId("ask").textContent = ended ? "All images are shown. Save the file, then run:" : data.each;
    byId("place").textContent = ended
      ? `overstory check ${data.job} --truth review-${data.job}.jsonl`
      : `${state.at + 1} of ${DONE} · [${item().n}] ${item().name} · drawn from ${data.answered}, seed ${data.seed}`;
    const encoded = ended ? undefined : data.pictures[item().picture];
    byId("figure").replaceChildren(...(encoded ? [element("img", { src: `data:image/jpeg;base64,${encoded}`, alt: item().name })] : []));
    byId("fields").replaceChildren(...(ended ? [] : item().answers.map(row)));
    byId("skip").hidden = ended;
    byId("back").disabled = state.at === 0;
    byId("fields").querySelector("input")?.focus();
  };

  const lines = () => data.items.flatMap((one) => {
    const verdicts = state.verdicts[one.n] ?? {};
    const known = one.answers.filter(([name]) => name in verdicts).map(([name, value]) => {
      const verdict = verdicts[name];
      return [name, verdict.right ? value : verdict.truth ?? { not: value }];
    });
    return known.length ? [JSON.stringify({ file: one.file, ...Object.fromEntries(known) })] : [];
  });
  const save = () => {
    const url = URL.createObjectURL(new Blob([lines().join("\n") + "\n"], { type: "application/jsonl" }));
    const link = element("a", { href: url, download: `review-${data.job}.jsonl` });
    link.click();
    URL.revokeObjectURL(url);
  };

  byId("save").addEventListener("click", save);
  byId("back").addEventListener("click", () => move(-1));
  byId("skip").addEventListener("click", () => move(1));
  const KEYS = {
    y: () => decide(true), n: () => decide(false), c: correct, ArrowRight: () => move(1),
    ArrowDown: () => { field = Math.min(item().answers.length - 1, field + 1); draw(); },
    ArrowUp: () => { field = Math.max(0, field - 1); draw(); },
  };
  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    const act = { s: save, ArrowLeft: () => move(-1), ...(state.at < DONE ? KEYS : {}) }[key];
    if (act) { event.preventDefault(); act(); }
  });
  draw();
  document.documentElement.dataset.ready = "yes";
})();
