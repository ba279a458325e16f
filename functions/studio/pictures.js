// Pictures on this side: sources that people bring, and results that are loaded once and kept while they are shown.

import { make } from "./elements.js";

const KINDS = { png: "png", jpg: "jpeg", jpeg: "jpeg", jfif: "jpeg", webp: "webp", gif: "gif", avif: "avif", heic: "heic", heif: "heic" };
const SUFFIXES = { "image/png": "png", "image/jpeg": "jpg", "image/webp": "webp" };

/** A picture that somebody brought: a file with a name, a type that the API knows, and a URL to show it by. */
export class Source {
  constructor(file, name = file.name) {
    const suffix = name.split(".").pop().toLowerCase();
    const known = Object.values(KINDS).map((kind) => `image/${kind}`);
    const type = known.includes(file.type) ? file.type : KINDS[suffix] ? `image/${KINDS[suffix]}` : "";
    this.file = type === file.type && name === file.name ? file : new File([file], name, { type });
    this.url = URL.createObjectURL(this.file);
  }

  get name() {
    return this.file.name;
  }

  get isPicture() {
    return Boolean(this.file.type) && this.file.size > 0;
  }
}

/** Sources out of a drop, a paste or a file dialog, and the names of what is no picture. */
export function sourcesOf(files) {
  const sources = [...files].map((file, place) => new Source(file, file.name || `pasted-${place + 1}.png`));
  return { taken: sources.filter((one) => one.isPicture), left: sources.filter((one) => !one.isPicture).map((one) => one.name) };
}

/** A small picture of a source; of one that this browser cannot show, its kind. */
export function thumbnail(source, properties = {}) {
  const image = make("img", { src: source.url, alt: source.name, ...properties });
  const kind = () => make("span", { class: "kind", title: source.name }, source.name.split(".").pop().toUpperCase());
  image.addEventListener("error", () => image.replaceWith(kind()), { once: true });
  return image;
}

class Result {
  constructor(job, url, number) {
    Object.assign(this, { job, url, number, blob: null, shown: null });
    this.ready = this.#load();
  }

  get stem() {
    return `${this.job.title.replace(/\.[^.]*$/, "")}-variation-${this.number}`;
  }

  get filename() {
    return `${this.stem}.${SUFFIXES[this.blob?.type] ?? "png"}`;
  }

  /** Resolves to a URL an <img> can show. Its bytes are kept, as the URL of a result lives for an hour. */
  async #load() {
    this.blob = (await fetchPicture(this.url)) ?? (await this.#anew());
    this.shown = this.blob ? URL.createObjectURL(this.blob) : this.url; // where reading is not allowed, showing is
    return this.shown;
  }

  async #anew() {
    try {
      await this.job.refresh();
    } catch {
      return null;
    }
    return fetchPicture(this.url);
  }

  asSource() {
    return new Source(this.blob, this.filename);
  }

  release() {
    if (this.blob) URL.revokeObjectURL(this.shown);
  }
}

export const loadResult = (job, url, number) => new Result(job, url, number);

async function fetchPicture(url) {
  try {
    const answer = await fetch(url, { referrerPolicy: "no-referrer" });
    return answer.ok ? await answer.blob() : null;
  } catch {
    return null;
  }
}

/** Hands a file to the browser's downloads. */
export function save(blob, filename) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = filename;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}
