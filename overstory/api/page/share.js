// A link to the report that ends by itself.
import { byId } from "./dom.js";
import { post, request } from "./http.js";
import { announce, fault, sentence } from "./notices.js";
import { count } from "./words.js";

const day = (time) => new Date(time).toLocaleString("en-GB", { dateStyle: "long", timeStyle: "short" });
/** A time of the service: seconds since 1970, or a text. */
const dated = (value) => (typeof value === "number" ? day(value * 1000) : day(value));

const copy = async () => {
  const link = byId("share-link");
  try {
    await navigator.clipboard.writeText(link.value);
    byId("share-words").textContent = "The link is copied.";
  } catch { // no permission, or no secure context
    link.select();
    byId("share-words").textContent = "Press Ctrl+C (⌘C) to copy the link.";
  }
};

const withdraw = async (job) => {
  const { links } = await request("DELETE", `/api/jobs/${job}/share`);
  byId("share-withdraw").textContent = links ? `${count(links, "link leads", "links lead")} nowhere now` : "there is none";
  announce(byId("share-withdraw").textContent);
};

export const startSharing = (job) => {
  const dialog = byId("share-dialog");
  const reset = () => {
    for (const name of ["share-made", "share-copy"]) byId(name).hidden = true;
    byId("share-go").hidden = false;
    fault("days", "");
  };
  byId("share").onclick = () => { reset(); byId("share-withdraw").textContent = "withdraw all"; dialog.showModal(); };
  byId("share-close").onclick = () => dialog.close();
  byId("days").onchange = reset;
  byId("share-copy").onclick = copy;
  byId("share-withdraw").onclick = () => withdraw(job).then(reset, (problem) => fault("days", sentence(problem.message)));
  byId("share-form").onsubmit = async (event) => {
    event.preventDefault();
    fault("days", "");
    try {
      const { url, expires_at: end } = await post(`/api/jobs/${job}/share`, { days: Number(byId("days").value) });
      byId("share-link").value = new URL(url, location.href).href;
      byId("share-words").textContent = `It works until ${dated(end)}.`;
    } catch (problem) {
      fault("days", sentence(problem.message));
      return;
    }
    byId("share-made").hidden = byId("share-copy").hidden = false;
    byId("share-go").hidden = true;
    byId("share-link").focus();
    byId("share-link").select();
  };
};
