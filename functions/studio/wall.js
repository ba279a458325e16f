// The right side: a card for each job, with its source, what becomes of it, and its results.

import { $, announce, button, copy, make, toast } from "./elements.js";
import { save, thumbnail } from "./pictures.js";
import { curlCall, pythonCall } from "./snippets.js";
import { openViewer } from "./viewer.js";
import { STATES, explain, pictures, seconds, summary, when } from "./words.js";
import { zip } from "./zip.js";

const UNREADABLE = { code: "pictures_unreadable", message: "" };
const shown = new Map(); // job -> its card
let actions; // what the page does on a press of a card's buttons

export function startWall(given) {
  actions = given;
  setInterval(() => {
    for (const [job, card] of shown) if (!job.isEnded) card.tick();
  }, 1000);
}

export const isShown = (id) => [...shown.keys()].some((job) => job.id === id);

/** Puts a job on top of the wall, and follows it. */
export function show(job) {
  const card = new Card(job);
  shown.set(job, card);
  $("jobs").prepend(card.root);
  $("empty").hidden = true;
  job.addEventListener("change", () => card.update());
  return card;
}

export function clearWall() {
  for (const job of [...shown.keys()]) take(job);
}

function take(job) {
  job.stop();
  shown.get(job).root.remove();
  shown.delete(job);
  $("empty").hidden = shown.size > 0;
}

/** Takes a job off the wall; who did that goes on with the next. */
function putAway(job) {
  const next = shown.get(job).root.nextElementSibling;
  take(job);
  (next?.querySelector("h2") ?? $("wall")).focus();
}

class Card {
  constructor(job) {
    this.job = job;
    this.title = make("h2", { tabindex: "-1" }, job.title);
    this.words = make("p", { class: "hint" });
    this.status = make("span", { class: "state" });
    this.time = make("span", { class: "time" });
    this.bar = make("progress", { max: "1", "aria-label": "Upload", hidden: true });
    this.error = make("p", { class: "error" });
    this.buttons = make("div", { class: "buttons" });
    this.grid = make("ul", { class: "grid", "aria-label": "Variations" });
    this.notes = make("p", { class: "hint" });
    this.root = make("article", { class: "job", "aria-label": job.title }, this.#head(), this.bar, this.error, this.#beside(), this.notes);
    this.update();
  }

  #head() {
    const now = make("p", { class: "now" }, this.status, this.time);
    const label = `Put ${this.job.title} away`;
    const away = button("✕", () => putAway(this.job), { class: "quiet away", title: label, "aria-label": label });
    return make("header", {}, make("div", {}, this.title, this.words), now, away);
  }

  /** The source with what can be done, beside the results. */
  #beside() {
    const { source, choices } = this.job;
    const original = source && make("div", { class: "tile source" }, thumbnail(source), make("span", { class: "tag" }, "Original"));
    const prompt = Boolean(choices.prompt) && make("p", { class: "prompt" }, choices.prompt);
    const aside = make("div", { class: "aside" }, original, prompt, this.buttons);
    return make("div", { class: source ? "beside" : "beside alone" }, aside, this.grid);
  }

  tick() {
    const { source, startedAt } = this.job;
    this.time.textContent = source ? seconds(this.job.seconds) : when(startedAt / 1000);
  }

  update() {
    const { job } = this;
    const uploading = job.state === "sending" && job.progress !== null;
    const state = uploading ? `Uploading ${Math.round(job.progress * 100)} %` : STATES[job.state];
    this.root.dataset.state = job.state;
    this.bar.hidden = !uploading;
    if (uploading) this.bar.value = job.progress;
    this.status.textContent = state;
    this.error.textContent = job.error ? explain(job.error) : "";
    this.notes.textContent = (job.warnings ?? []).join(" ");
    this.words.textContent = summary({ ...job.choices, model: job.model ?? job.choices.model });
    this.root.setAttribute("aria-busy", String(!job.isEnded));
    this.tick();
    if (job.state === this.drawn) return;
    this.drawn = job.state;
    this.#draw();
    if (job.isEnded) this.#tell();
  }

  #tell() {
    const { job } = this;
    const made = job.results.length ? `${pictures(job.results.length)} of ${job.title} ready.` : `${job.title} did not work. ${this.error.textContent}`;
    announce(made);
  }

  #draw() {
    const { job } = this;
    const tiles = job.isEnded ? job.results.map((result) => this.#result(result)) : this.#skeletons();
    const isFocused = this.buttons.contains(document.activeElement);
    this.grid.dataset.count = tiles.length;
    this.grid.replaceChildren(...tiles);
    this.buttons.replaceChildren(...this.#actions());
    if (isFocused) this.title.focus(); // as the button is gone that was pressed
  }

  #skeletons() {
    const { source, choices } = this.job;
    const ghost = () => source && thumbnail(source, { class: "ghost", alt: "" });
    return Array.from({ length: Number(choices.n) || 1 }, () => make("li", { class: "tile skeleton", "aria-hidden": "true" }, ghost()));
  }

  #result(result) {
    const { job } = this;
    const image = make("img", { alt: `Variation ${result.number} of ${job.title}`, decoding: "async" });
    const open = make("button", { type: "button", class: "open", "aria-label": `Enlarge variation ${result.number}`, onclick: () => openViewer(job, result.number - 1, actions) }, image);
    const tile = make("li", { class: "tile skeleton" }, open, make("div", { class: "tools" }, ...tools(result)));
    image.addEventListener("load", () => tile.classList.remove("skeleton"), { once: true });
    image.addEventListener("error", () => tile.classList.replace("skeleton", "gone"), { once: true });
    result.ready.then((url) => (image.src = url));
    return tile;
  }

  #actions() {
    const { job } = this;
    if (!job.isEnded) return [];
    const all = job.results.length > 1 ? [button("Download all", () => downloadAll(job), { class: "secondary" })] : [];
    if (!job.source) return all;
    return [
      button(job.results.length ? "Once more" : "Try again", () => actions.again(job), { class: "secondary" }),
      ...all,
      button("Copy curl", () => copy(curlCall(job.choices, job.source.file), "The curl call")),
      button("Copy Python", () => copy(pythonCall(job.choices, job.source.file), "The Python call")),
    ];
  }
}

function tools(result) {
  const name = `variation ${result.number}`;
  const compare = result.job.source && button("Compare", () => openViewer(result.job, result.number - 1, actions, true), { class: "quiet compare", "aria-label": `Compare ${name} with the original` });
  return [
    ...(compare ? [compare] : []),
    button("More like this", () => actions.moreLike(result), { "aria-label": `More like this: ${name}` }),
    button("Download", () => download(result), { "aria-label": `Download ${name}` }),
  ];
}

export async function download(result) {
  await result.ready;
  if (!result.blob) return toast(explain(UNREADABLE));
  save(result.blob, result.filename);
}

async function downloadAll(job) {
  await Promise.all(job.results.map((result) => result.ready));
  const entries = job.results.filter(({ blob }) => blob).map((result) => ({ name: result.filename, blob: result.blob }));
  if (!entries.length) return toast(explain(UNREADABLE));
  save(await zip(entries), `${job.title.replace(/\.[^.]*$/, "")}-variations.zip`);
}
