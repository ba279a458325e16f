// Talks to the API this page comes from. The caller's key lives in this tab and goes nowhere else.

const KEY = "studio-key";
export const BASE = new URL(".", location.href); // …/v1/studio -> …/v1/

export const LARGE_BYTES = 4_400_000; // more does not fit into one request: README, "Call it over HTTPS"

/** What the API said no with: `code` is its own, or `offline`, or `upload_refused` of the bucket. */
export class Refusal extends Error {
  constructor(code, message, { status = 0, retryAfter = 0 } = {}) {
    super(message);
    Object.assign(this, { code, status, retryAfter });
  }
}

export const key = {
  get: () => sessionStorage.getItem(KEY) ?? "",
  keep: (text) => sessionStorage.setItem(KEY, text), // outlives a reload, and no tab
  forget: () => sessionStorage.removeItem(KEY),
};

/** Calls a route; `path` is relative to the API's base, such as `models`. Throws a Refusal. */
export async function call(path, { method = "GET", headers = {}, body, signal } = {}) {
  let answer;
  try {
    answer = await fetch(new URL(path, BASE), {
      method,
      body,
      signal,
      headers: { Authorization: `Bearer ${key.get()}`, ...headers },
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refusal("offline", "The connection is gone.");
  }
  const retryAfter = Number(answer.headers.get("Retry-After")) || 0;
  const read = await answer.json().catch(() => null);
  if (answer.ok && read) return { read, retryAfter };
  const error = read?.error ?? {};
  if (answer.status === 401) dispatchEvent(new CustomEvent("studio:unauthorized"));
  throw new Refusal(error.code ?? "internal_error", error.message ?? "", { status: answer.status, retryAfter });
}

export const listModels = async () => (await call("models")).read.data;

export async function listJobs(after) {
  const query = new URLSearchParams({ limit: "20", ...(after && { after }) });
  return (await call(`jobs?${query}`)).read;
}

export const getJob = (id, signal) => call(`jobs/${encodeURIComponent(id)}`, { signal });

/** Sends a source with its request in one go; answers as soon as the job is written down. */
export async function createVariations(file, choices, idempotencyKey, signal) {
  const form = new FormData();
  for (const [name, value] of Object.entries(choices)) form.append(name, value);
  form.append("image", file, file.name);
  const headers = { Prefer: "respond-async", "Idempotency-Key": idempotencyKey };
  return (await call("images/variations", { method: "POST", headers, body: form, signal })).read;
}

/** Sends a source of any size by a form of the uploads bucket; `onProgress` hears of its share, 0 to 1. */
export async function upload(file, choices, onProgress, signal) {
  const body = JSON.stringify({ ...choices, filename: plain(file.name), content_type: file.type });
  const headers = { "Content-Type": "application/json" };
  const { read } = await call("uploads", { method: "POST", headers, body, signal });
  await send(read, file, onProgress, signal);
  return read;
}

function send({ url, fields }, file, onProgress, signal) {
  const form = new FormData();
  for (const [name, value] of Object.entries(fields)) form.append(name, value);
  form.append("file", file); // the last field: S3 reads none behind it
  return new Promise((resolve, reject) => {
    const sending = new XMLHttpRequest(); // as fetch tells of no progress
    sending.upload.onprogress = (event) => event.lengthComputable && onProgress(event.loaded / event.total);
    sending.onerror = () => reject(new Refusal("offline", "The upload broke off."));
    sending.onabort = () => reject(new DOMException("Given up.", "AbortError"));
    sending.onload = () => {
      if (sending.status < 300) return resolve();
      const code = /<Code>EntityTooLarge</.test(sending.responseText) ? "source_too_large" : "upload_refused";
      reject(new Refusal(code, "", { status: sending.status }));
    };
    signal?.addEventListener("abort", () => sending.abort());
    sending.open("POST", url);
    sending.send(form);
  });
}

/** A name that the form takes: no slash, no control character, no ${, at most 200 characters. */
const plain = (name) => [...name.replace(/[/\p{Cc}\p{Cs}]|\$\{/gu, "_")].slice(-200).join("") || "picture";
