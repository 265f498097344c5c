// Requests to the service. What it refuses comes as a Problem; a connection that is lost is tried
// again for as long as it takes, and the page says so.
import { byId } from "./dom.js";

/** An RFC 9457 problem: what is wrong, and the field that is to blame, if one is. */
export class Problem extends Error {
  constructor(status, detail, field = null, seconds = 0) {
    super(detail);
    Object.assign(this, { status, field, seconds });
  }
}

const FIRST_WAIT = 1_000; // milliseconds; doubled up to LONGEST_WAIT
const LONGEST_WAIT = 15_000;
const AWAY = [502, 503, 504];
let lost = 0;

const say = (change) => {
  lost += change;
  byId("lost").hidden = lost === 0;
};

/** Until `milliseconds` have passed or the browser is online again. */
const pause = (milliseconds, signal) => new Promise((resolve, reject) => {
  const done = () => { clearTimeout(timer); removeEventListener("online", done); resolve(); };
  const timer = setTimeout(done, milliseconds);
  addEventListener("online", done);
  signal?.addEventListener("abort", () => { done(); reject(signal.reason); }, { once: true });
});

/** Run `attempt` until it neither loses its connection nor finds the service away or busy. */
export const patiently = async (attempt, signal) => {
  let wait = FIRST_WAIT;
  let told = false;
  try {
    for (;;) {
      try {
        return await attempt();
      } catch (error) {
        signal?.throwIfAborted();
        const away = error instanceof TypeError || AWAY.includes(error.status); // fetch: no connection
        if (!away && error.status !== 429) throw error;
        if (away && !told) { told = true; say(1); }
        await pause(Math.max(wait, (error.seconds ?? 0) * 1_000), signal);
        wait = Math.min(2 * wait, LONGEST_WAIT);
      }
    }
  } finally {
    if (told) say(-1);
  }
};

/** The Problem that an answer is. */
export const problemOf = (status, text, seconds) => {
  try {
    const { detail, title, field } = JSON.parse(text);
    return new Problem(status, detail ?? title ?? `the service answered ${status}`, field ?? null, seconds);
  } catch {
    return new Problem(status, `the service answered ${status}`, null, seconds);
  }
};

let signIn = null; // resolves when the person has signed in
export const onSignIn = (ask) => { signIn = ask; };

const once = async (method, path, body, signal) => {
  const headers = body === undefined ? {} : { "Content-Type": "application/json" };
  const answer = await fetch(path, { method, headers, signal, body: body === undefined ? undefined : JSON.stringify(body) });
  const text = await answer.text();
  if (answer.ok) return text ? JSON.parse(text) : null;
  throw problemOf(answer.status, text, Number(answer.headers.get("Retry-After") ?? 0));
};

/** The value that the service answers. Throws Problem. A change is repeated only if it is `safe` to repeat. */
export const request = async (method, path, body, { signal, safe = method !== "POST" } = {}) => {
  for (;;) {
    try {
      return await (safe ? patiently(() => once(method, path, body, signal), signal) : once(method, path, body, signal));
    } catch (error) {
      if (error.status === 401 && signIn && path !== "/api/session") { await signIn(); continue; }
      if (error instanceof TypeError) throw new Problem(0, "the connection was lost: try again");
      throw error;
    }
  }
};
export const get = (path, options) => request("GET", path, undefined, options);
export const post = (path, body = {}, options) => request("POST", path, body, options);
