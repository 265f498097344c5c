// The report as a file: everything is drawn once, from the page's own data.
import { accuracy } from "./accuracy.js";
import { answer, colophon, head, turns } from "./answer.js";
import { course } from "./course.js";
import { covered } from "./coverage.js";
import { byId } from "./dom.js";
import { gallery } from "./gallery.js";
import { load } from "./state.js";
import { pages } from "./pages.js";
import { tree } from "./tree.js";

load(JSON.parse(byId("data").textContent));
for (const draw of [head, pages, answer, turns, accuracy, covered, tree, course, gallery, colophon]) draw();
document.documentElement.dataset.ready = "yes";
