// Sends chosen files to the service. Each is named by the hash of its content, so what is there
// already is not sent again: after a reload, a cut or a pause only the rest is.
import { patiently, post, Problem, problemOf } from "./http.js";

const SENT_AT_ONCE = 4;
const HASHED_AT_ONCE = 2;
const ASKED_AT_ONCE = 200; // files about which the service is asked in one request

/** A worker's address must be a trusted one: this is the only address that the page trusts. */
const trusted = () => {
  const policy = globalThis.trustedTypes?.createPolicy("overstory", { createScriptURL: () => "/static/hasher.js" });
  return policy ? policy.createScriptURL("") : "/static/hasher.js";
};

/** Hashes files in workers. */
class Hashers {
  constructor() {
    const address = trusted();
    this.waiting = new Map();
    this.workers = Array.from({ length: HASHED_AT_ONCE }, () => new Worker(address, { type: "module" }));
    for (const worker of this.workers) {
      worker.onmessage = ({ data }) => { this.waiting.get(data.id)(data.sha256); this.waiting.delete(data.id); };
    }
    this.next = 0;
  }

  hash(file) {
    const id = this.next;
    this.next += 1;
    return new Promise((resolve) => {
      this.waiting.set(id, resolve);
      this.workers[id % this.workers.length].postMessage({ id, file });
    });
  }
}

const send = (path, file, signal, progress) => new Promise((resolve, reject) => {
  const upload = new XMLHttpRequest(); // fetch tells no progress
  upload.open("PUT", path);
  upload.upload.onprogress = ({ loaded }) => progress(loaded);
  upload.onload = () => (upload.status < 300 ? resolve() : reject(problemOf(upload.status, upload.responseText, Number(upload.getResponseHeader("Retry-After") ?? 0))));
  upload.onerror = () => reject(new TypeError("no connection"));
  upload.onabort = () => reject(signal.reason);
  signal.addEventListener("abort", () => upload.abort(), { once: true });
  upload.send(file);
});

/** The files of one set. `changed` is called when there is news. */
export class Uploads {
  constructor(changed) {
    this.changed = changed;
    this.files = []; // {path, bytes, file or null, sha256, input, state, sent, why}
    this.stop = null; // an AbortController while it works
    this.paused = false;
    this.hashers = null;
  }

  /** A file's `state`: waiting, here, failed, refused, or missing (from before a reload: to be chosen again). */
  count(state) { return this.files.filter((one) => one.state === state).length; }
  get bytes() { return this.files.reduce((sum, one) => sum + one.bytes, 0); }
  get sent() { return this.files.reduce((sum, one) => sum + (one.state === "here" ? one.bytes : one.sent), 0); }
  get isDone() { return this.files.length > 0 && this.files.every((one) => ["here", "failed", "refused"].includes(one.state)) && this.inputs.length > 0; }
  get inputs() { return this.files.filter((one) => one.state === "here").map((one) => one.input); }

  /** Add files of at most `most` bytes. One that was chosen before is the same file, also after a reload. */
  add(pictures, most = Infinity) {
    const mark = (path, bytes, changed) => `${path}\n${bytes}\n${changed}`;
    const known = new Map(this.files.map((one) => [mark(one.path, one.bytes, one.changed), one]));
    for (const { path, file } of pictures) {
      const before = known.get(mark(path, file.size, file.lastModified));
      if (before?.file) continue;
      if (before) Object.assign(before, { file, state: before.state === "missing" ? "waiting" : before.state });
      else {
        const why = file.size === 0 ? "it is empty" : file.size > most ? "it is larger than this service takes" : "";
        this.files.push({ path, bytes: file.size, changed: file.lastModified, file, sha256: "", input: null, state: why ? "refused" : "waiting", sent: 0, why });
      }
    }
    this.go();
  }

  /** Take up what was chosen before a reload: what the service has need not be chosen again. */
  restore(rows) {
    this.files = rows.map(([path, bytes, changed, sha256]) => ({ path, bytes, changed, file: null, sha256, input: null, state: sha256 ? "waiting" : "missing", sent: 0, why: "" }));
    this.go();
  }

  get rows() { return this.files.map((one) => [one.path, one.bytes, one.changed, one.sha256]); }

  clear() {
    this.stop?.abort();
    this.files = [];
    this.changed();
  }

  pause() {
    this.paused = true;
    this.stop?.abort();
    this.changed();
  }

  resume() {
    this.paused = false;
    for (const one of this.files) if (one.state === "failed" && one.file) Object.assign(one, { state: "waiting", why: "" });
    this.go();
  }

  /** Work until every file is here, or has failed, or is missing. */
  async go() {
    this.changed();
    if (this.stop || this.paused) return;
    const { signal } = this.stop = new AbortController();
    try {
      for (;;) {
        const due = this.files.filter((one) => one.state === "waiting").slice(0, ASKED_AT_ONCE);
        if (due.length === 0) break;
        await this.#batch(due, signal);
      }
    } catch (error) {
      if (!signal.aborted) this.#fail(this.files.filter((one) => one.state === "waiting"), error);
    }
    this.stop = null;
    this.changed();
    if (signal.aborted && !this.paused && this.files.length) this.go();
  }

  async #batch(due, signal) {
    await Promise.all(due.map((one) => this.#hash(one)));
    signal.throwIfAborted();
    const known = due.filter((one) => one.sha256 && one.state === "waiting");
    if (known.length === 0) return;
    const asked = known.map(({ sha256, bytes, path }) => ({ sha256, bytes, name: path }));
    const { files } = await post("/api/uploads", { files: asked, direct: false }, { signal, safe: true });
    known.forEach((one, i) => {
      one.input = files[i].input;
      if (files[i].present) one.state = "here";
      else if (!one.file) one.state = "missing";
    });
    this.changed();
    const rest = known.filter((one) => one.state === "waiting");
    await Promise.all(Array.from({ length: SENT_AT_ONCE }, async () => {
      for (let one = rest.shift(); one; one = rest.shift()) await this.#send(one, signal);
    }));
  }

  async #hash(one) {
    if (one.sha256 || !one.file) return;
    this.hashers ??= new Hashers();
    one.sha256 = (await this.hashers.hash(one.file)) ?? "";
    if (!one.sha256) this.#fail([one], new Problem(0, "it cannot be read any more: choose it again"));
  }

  async #send(one, signal) {
    const path = `/api/uploads/${one.sha256}?name=${encodeURIComponent(one.path)}`;
    try {
      await patiently(() => send(path, one.file, signal, (sent) => { one.sent = Math.min(sent, one.bytes); this.changed(); }), signal);
      one.state = "here";
      this.changed();
    } catch (error) {
      one.sent = 0;
      signal.throwIfAborted();
      if (!(error instanceof Problem) || error.status === 401) throw error;
      this.#fail([one], error);
    }
  }

  #fail(files, error) {
    for (const one of files) Object.assign(one, { state: "failed", why: error.message });
    this.changed();
  }
}
