// A worker that hashes files, so that the page stays responsive meanwhile.
import { sha256 } from "./sha256.js";

addEventListener("message", async ({ data: { id, file } }) => {
  try {
    postMessage({ id, sha256: await sha256(file) });
  } catch {
    postMessage({ id, sha256: null }); // it was moved or changed since it was chosen
  }
});
