// What a program in JavaScript does: it reads {url, request} from stdin and prints what it got.
import { text } from "node:stream/consumers";
import OpenAI from "openai";

const { url, request } = JSON.parse(await text(process.stdin));
const client = new OpenAI({ baseURL: url, apiKey: "any" });
const models = (await client.models.list()).data.map((model) => model.id);
const whole = await client.chat.completions.create(request);
let streamed = "";
let usage = null;
const stream = { ...request, stream: true, stream_options: { include_usage: true } };
for await (const chunk of await client.chat.completions.create(stream)) {
  streamed += chunk.choices[0]?.delta.content ?? "";
  usage = chunk.usage ?? usage;
}
const errors = {};
for (const [name, change] of Object.entries({ model: { model: "none" }, n: { n: 2 } })) {
  try {
    await client.chat.completions.create({ ...request, ...change });
  } catch (error) {
    errors[name] = [error.constructor.name, error.param];
  }
}
console.log(JSON.stringify({ models, whole, streamed, usage, errors }));
