// Submits a job from Node.js, without packages, and waits until it is planned.
//
//   BROKER_URL=redis://:password@127.0.0.1:6379/0 \
//       node enqueue.mjs receipts-2026-11 "What was bought?" /inputs/receipts
//
// A Celery message is JSON in a Redis list with the name of its queue (message protocol 2). The
// result of overstory.submit is the job's id, as JSON under celery-task-meta-<id of the message>.
// The same key is the same job: sending it twice creates and pays for one job.

import { Buffer } from "node:buffer";
import { randomUUID } from "node:crypto";
import { connect } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";

const POLL_MS = 200;
const WAIT_MS = 60_000;

/** A minimal client for the Redis protocol. */
class Redis {
  #socket;
  #rest = Buffer.alloc(0);
  #waiting = [];

  static async open(url) {
    const at = new URL(url);
    const redis = new Redis();
    redis.#socket = at.protocol === "redis+socket:"
      ? connect(at.pathname)
      : connect(Number(at.port || 6379), at.hostname);
    redis.#socket.on("data", (data) => redis.#take(data));
    redis.#socket.on("error", (error) => redis.#waiting.splice(0).forEach((w) => w.reject(error)));
    if (at.password) await redis.ask("AUTH", decodeURIComponent(at.password));
    const database = at.searchParams.get("virtual_host") ?? at.pathname.slice(1);
    if (at.protocol === "redis:" && database) await redis.ask("SELECT", database);
    return redis;
  }

  ask(...words) {
    const parts = words.map((word) => `$${Buffer.byteLength(word)}\r\n${word}\r\n`);
    this.#socket.write(`*${words.length}\r\n${parts.join("")}`);
    return new Promise((resolve, reject) => this.#waiting.push({ resolve, reject }));
  }

  close() {
    this.#socket.end();
  }

  #take(data) {
    this.#rest = Buffer.concat([this.#rest, data]);
    for (;;) {
      const end = this.#rest.indexOf("\r\n");
      if (end < 0) return;
      const kind = String.fromCharCode(this.#rest[0]);
      const line = this.#rest.toString("utf8", 1, end);
      let next = end + 2;
      let value = line;
      if (kind === "$" && line === "-1") value = null;
      else if (kind === "$") {
        next += Number(line) + 2;
        if (this.#rest.length < next) return;
        value = this.#rest.toString("utf8", end + 2, next - 2);
      }
      this.#rest = this.#rest.subarray(next);
      const waiting = this.#waiting.shift();
      if (kind === "-") waiting.reject(new Error(line));
      else waiting.resolve(value);
    }
  }
}

/** A message for overstory.submit. Monitors show kwargsrepr, so it leaves out the question. */
function message(id, job) {
  const body = JSON.stringify([[], job, { callbacks: null, errbacks: null, chain: null, chord: null }]);
  return JSON.stringify({
    body: Buffer.from(body).toString("base64"),
    "content-encoding": "utf-8",
    "content-type": "application/json",
    headers: {
      lang: "js",
      task: "overstory.submit",
      id,
      root_id: id,
      parent_id: null,
      group: null,
      argsrepr: "()",
      kwargsrepr: `{'inputs': ${job.images.length}, 'key': '${job.key}'}`,
      origin: `${process.pid}@node`,
    },
    properties: {
      correlation_id: id,
      delivery_mode: 2,
      delivery_info: { exchange: "", routing_key: "submit" },
      priority: 0,
      body_encoding: "base64",
      delivery_tag: randomUUID(),
    },
  });
}

const [key, ask, ...images] = process.argv.slice(2);
if (!images.length) {
  console.error('usage: node enqueue.mjs KEY "QUESTION" PATH_OR_URL...');
  process.exit(2);
}
const redis = await Redis.open(process.env.BROKER_URL);
const id = randomUUID();
await redis.ask("LPUSH", "submit", message(id, { images, ask, key }));
for (let waited = 0; waited < WAIT_MS; waited += POLL_MS) {
  const result = JSON.parse((await redis.ask("GET", `celery-task-meta-${id}`)) ?? "null");
  if (result?.status === "SUCCESS") {
    console.log(result.result);
    redis.close();
    process.exit(0);
  }
  if (result?.status === "FAILURE") {
    console.error(`refused: ${[result.result.exc_message].flat().join(" ")}`);
    process.exit(1);
  }
  await sleep(POLL_MS);
}
console.error("no worker accepted the job: check that the service is running");
process.exit(1);
