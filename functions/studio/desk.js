// The left side: sources that wait for the next press, and what is to be made of them.

import { $, button, make, toast } from "./elements.js";
import { sourcesOf, thumbnail } from "./pictures.js";
import { pictures, sizeName } from "./words.js";

const USUAL_SIZES = ["256x256", "512x512", "1024x1024", "auto"];
let models = [];
export const sources = [];

/** Adds files to the sources; tells of those that are no pictures. */
export function addFiles(files) {
  const { taken, left } = sourcesOf(files);
  add(...taken);
  if (left.length) toast(`${left.join(", ")}: not a picture the Studio can read.`);
}

export function add(...more) {
  sources.push(...more);
  showSources();
}

/** Puts one source in the place of all others. */
export function replaceSources(source) {
  sources.splice(0, sources.length, source);
  showSources();
}

/** Leaves nothing of who was here to whoever comes next. */
export function clearDesk() {
  $("desk").reset();
  sources.splice(0);
  showSources();
  showModels([]);
}

function remove(source) {
  const place = sources.indexOf(source);
  sources.splice(place, 1);
  showSources();
  ($("sources").querySelectorAll("button")[Math.min(place, sources.length - 1)] ?? $("files")).focus();
}

function showSources() {
  $("sources").replaceChildren(...sources.map((source) => make("li", {}, thumbnail(source), remover(source))));
  $("drop").classList.toggle("filled", sources.length > 0);
  $("desk-error").textContent = "";
  showCount();
}

const remover = (source) => button("✕", () => remove(source), { class: "remove", "aria-label": `Remove ${source.name}` });

/** What the form says, without what is left to the service. */
export function choices() {
  const chosen = Object.fromEntries(new FormData($("desk")));
  return Object.fromEntries(Object.entries(chosen).map(([name, value]) => [name, String(value).trim()]).filter(([, value]) => value));
}

/** The number of variations if it is one that can be asked for, else null. */
export const count = () => (/^([1-9]|10)$/.test($("n").value) ? Number($("n").value) : null);

function showCount() {
  const n = count();
  const many = sources.length > 1 ? `Make ${n} of each, ${n * sources.length} in all` : `Make ${pictures(n)}`;
  $("make").textContent = n ? many : "Make variations";
  $("fewer").disabled = n === 1;
  $("more").disabled = n === 10;
  const named = ["model", "size", "quality", "style", "output_format"].filter((name) => $(name).value).map((name) => $(name).selectedOptions[0].text);
  $("finer-summary").textContent = named.join(", ");
}

export function showModels(listed) {
  models = listed;
  const name = (model) => (model.shutdown_date ? `${model.id} (until ${model.shutdown_date})` : model.id);
  const chosen = $("model").value;
  $("model").replaceChildren(
    make("option", { value: "" }, "The usual one"),
    ...models.map((model) => make("option", { value: model.id, selected: model.id === chosen }, name(model))),
  );
  showModel();
}

function showModel() {
  const model = models.find(({ id }) => id === $("model").value);
  const sizes = model?.image?.sizes?.length ? model.image.sizes : USUAL_SIZES;
  const chosen = $("size").value;
  $("size").replaceChildren(
    make("option", { value: "" }, "Usual"),
    ...sizes.map((size) => make("option", { value: size, selected: size === chosen }, sizeName(size))),
  );
  const unsure = model?.image?.variations === "unknown" ? "Nobody knows yet whether this one makes variations; trying tells." : "";
  const atOnce = model?.image?.images_per_call;
  const slow = atOnce && atOnce < (count() ?? 1) ? `Makes ${atOnce} at a time, so more take longer.` : "";
  $("model-note").textContent = [model?.image?.warning, unsure, slow].filter(Boolean).join(" ");
  $("model-note").classList.toggle("warning", Boolean(model?.image?.warning));
  showCount();
}

function step(by) {
  $("n").value = Math.min(10, Math.max(1, (count() ?? 1) + by));
  showModel();
}

/** Makes drop, paste and the file dialog bring pictures, wherever on the page. */
function takePictures() {
  let depth = 0;
  const curtain = (shown) => ($("curtain").hidden = !shown);
  const holdsFiles = (event) => !$("work").hidden && [...event.dataTransfer.types].includes("Files");
  addEventListener("dragenter", (event) => holdsFiles(event) && (event.preventDefault(), (depth += 1), curtain(true)));
  addEventListener("dragover", (event) => event.preventDefault()); // or the browser would leave for the picture
  addEventListener("dragleave", (event) => holdsFiles(event) && (depth -= 1) <= 0 && curtain((depth = 0)));
  addEventListener("drop", (event) => {
    event.preventDefault();
    if (!holdsFiles(event)) return;
    depth = 0;
    curtain(false);
    addFiles(event.dataTransfer.files);
  });
  addEventListener("paste", (event) => {
    if ($("work").hidden || !event.clipboardData.files.length) return;
    event.preventDefault();
    addFiles(event.clipboardData.files);
  });
  $("files").addEventListener("change", () => {
    addFiles($("files").files);
    $("files").value = ""; // so that the same file can be chosen again
  });
}

export function startDesk() {
  takePictures();
  $("fewer").addEventListener("click", () => step(-1));
  $("more").addEventListener("click", () => step(1));
  $("desk").addEventListener("input", showModel);
  $("prompt").addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.metaKey || event.ctrlKey)) $("desk").requestSubmit();
  });
  $("start").addEventListener("click", () => $("files").click());
  showModels([]);
}
