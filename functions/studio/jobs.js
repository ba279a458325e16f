// One job: a source and a request on their way to results. It sends, watches, and tells whoever listens of each change.

import { LARGE_BYTES, Refusal, createVariations, getJob, upload } from "./api.js";
import { loadResult } from "./pictures.js";

const SLOWEST_LOOK = 10; // seconds
const LINES = 3; // sources that are sent at the same time
const MOST_TRIES = 4;
const PASSING = new Set([502, 503, 504]); // of the gateway, as nothing else is waited for here
const ENDED = new Set(["succeeded", "partial", "failed"]);

let sending = 0;
const line = [];

/** Tells whether leaving the page now would lose something. */
export const isSending = () => sending > 0;

/** Runs `work` when one of LINES is free; who is done hands the place to the next. */
async function inLine(work) {
  if (sending < LINES) sending += 1;
  else await new Promise((resolve) => line.push(resolve));
  try {
    return await work();
  } finally {
    const next = line.shift();
    if (next) next();
    else sending -= 1;
  }
}

const newKey = () => [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");

const pause = (seconds) => new Promise((resolve) => setTimeout(resolve, seconds * 1000));

/** Resolves at once on a page that is looked at and online, else when it is again. */
const awake = () =>
  new Promise((resolve) => {
    const look = () => {
      if (document.hidden || !navigator.onLine) return;
      document.removeEventListener("visibilitychange", look);
      removeEventListener("online", look);
      resolve();
    };
    document.addEventListener("visibilitychange", look);
    addEventListener("online", look);
    look();
  });

export class Job extends EventTarget {
  /** A new job; each has an Idempotency-Key of its own, so that the same request again makes new pictures. */
  constructor(source, choices) {
    super();
    Object.assign(this, { source, choices, id: null, state: "waiting", progress: null, results: [], error: null });
    this.idempotencyKey = newKey();
    this.startedAt = Date.now();
    this.endedAt = null;
    this.stopping = new AbortController();
  }

  /** A job of the list of jobs, whose source is not at hand. */
  static listed(record) {
    const job = new Job(null, { n: record.n, size: record.size, model: record.model, prompt: record.prompt });
    return Object.assign(job, { id: record.id, state: "fetching", startedAt: record.created * 1000, name: record.filename });
  }

  get isEnded() {
    return ENDED.has(this.state);
  }

  get title() {
    return this.source?.name ?? this.name ?? "Earlier picture";
  }

  get seconds() {
    return Math.max(0, ((this.endedAt ?? Date.now()) - this.startedAt) / 1000);
  }

  /** Sends the job unless that is done, and watches it to its end. Never throws. */
  async run() {
    const { signal } = this.stopping;
    try {
      if (!this.id) await inLine(() => this.#send(signal));
      await this.#watch(signal);
    } catch (error) {
      if (signal.aborted) return;
      this.#change({ state: "failed", error: error instanceof Refusal ? error : new Refusal("internal_error", "") });
    }
  }

  /** Tries again what failed: the same request where it never arrived, a new job where one has ended. */
  again() {
    if (this.id) this.idempotencyKey = newKey();
    this.#change({ id: null, state: "waiting", error: null, results: [], startedAt: Date.now(), endedAt: null });
    return this.run();
  }

  stop() {
    this.stopping.abort();
    for (const result of this.results) result.release();
  }

  /** Fresh URLs for results whose old ones have expired. */
  async refresh() {
    const { read } = await getJob(this.id);
    read.data.forEach(({ url }, place) => this.results[place] && (this.results[place].url = url));
  }

  async #send(signal) {
    for (let tries = 1; ; tries += 1) {
      signal.throwIfAborted();
      this.#change({ state: "sending", startedAt: Date.now() });
      try {
        const told = await this.#submit(signal);
        return this.#change({ id: told.job_id, state: "queued", progress: null });
      } catch (error) {
        if (tries === MOST_TRIES || !(error.code === "rate_limited" || PASSING.has(error.status))) throw error;
        this.#change({ state: "waiting" });
        await pause(error.retryAfter || 2 * tries); // the same key, so nothing is made twice
      }
    }
  }

  #submit(signal) {
    const { file } = this.source;
    if (file.size <= LARGE_BYTES) return createVariations(file, this.choices, this.idempotencyKey, signal);
    this.#change({ progress: 0 });
    return upload(file, this.choices, (share) => this.#change({ progress: share }), signal);
  }

  async #watch(signal) {
    for (let look = 0; ; look += 1) {
      await awake();
      signal.throwIfAborted();
      let wait = 1;
      try {
        const { read, retryAfter } = await getJob(this.id, signal);
        if (ENDED.has(read.status)) return await this.#end(read);
        if (read.status !== this.state) this.#change({ state: read.status });
        wait = retryAfter || 2;
      } catch (error) {
        const passing = error.code === "offline" || error.status === 429 || error.status >= 500;
        if (signal.aborted || !passing) throw error;
        wait = error.retryAfter || 2;
      }
      await pause(Math.min(Math.max(wait, wait * 1.15 ** look * 0.5), SLOWEST_LOOK));
    }
  }

  async #end(read) {
    this.results = read.data.map(({ url }, place) => loadResult(this, url, place + 1));
    const error = read.error && new Refusal(read.error.code, read.error.message);
    const model = read.model ?? this.choices.model;
    this.#change({ state: read.status, error, model, warnings: read.warnings ?? [], endedAt: this.endedAt ?? Date.now() });
  }

  #change(values) {
    Object.assign(this, values);
    this.dispatchEvent(new Event("change"));
  }
}
