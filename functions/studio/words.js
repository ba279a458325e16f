// What people read: of errors, states and numbers.

const ERRORS = {
  offline: "You seem to be offline. Check your connection, then try again; nothing is lost.",
  unauthorized: "This key does not open the Studio. Check that you copied all of it.",
  forbidden: "This key may not do that. Ask whoever gave it to you.",
  source_too_large: "This picture is too large here. Save a smaller copy and try that.",
  unsupported_image: "This file cannot be read as a picture. Save it again as PNG or JPEG and try that.",
  source_not_found: "The picture is not there any more. Drop it once more.",
  model_not_found: "This model is not offered any more. Pick another one under “Finer choices”.",
  job_not_found: "This job is gone; they are kept for a limited time only.",
  provider_refused: "The image service declined this picture or wording. Change the words or try another picture.",
  provider_denied: "The image service does not let the Studio in. Tell whoever runs it: the provider's key or quota.",
  provider_busy: "The image service is busy. Try again in a minute.",
  provider_down: "The image service has trouble right now. Try again in a few minutes.",
  provider_failed: "The image service broke down over this. Try again; if it persists, pick another model.",
  provider_unreachable: "The image service cannot be reached. Try again in a few minutes.",
  provider_timeout: "The image service took too long. Try fewer variations or a smaller size.",
  budget_exhausted: "Today's pictures are used up. They come back after midnight UTC.",
  rate_limited: "That was a lot at once. Wait a moment, then try again.",
  calls_stopped: "Making pictures is paused by whoever runs the Studio. Ask them, or come back later.",
  worker_died: "This one was too much for the Studio. Try a smaller picture.",
  storage_failed: "The Studio could not save something for a moment. Try again.",
  configuration_error: "The Studio is set up wrongly. Tell whoever runs it.",
  upload_refused: "The upload was refused. Drop the picture once more, and tell whoever runs the Studio if it persists.",
  pictures_unreadable: "Downloads are blocked on this address. Tell whoever runs the Studio to set CorsOrigin to it.",
};
// Here the API's own sentence says what to do, and names the field.
const ITS_OWN = new Set(["invalid_request", "provider_refused", "configuration_error", "calls_stopped"]);

/** A sentence for people, with the API's own behind it where that tells more. */
export function explain({ code, message, retryAfter }) {
  const said = ERRORS[code];
  const wait = code === "rate_limited" && retryAfter ? ` It takes ${seconds(retryAfter)}.` : "";
  if (!said) return message || "Something went wrong. Try again.";
  return ITS_OWN.has(code) && message ? `${said} (${message})` : said + wait;
}

export const STATES = {
  fetching: "Fetching",
  waiting: "In line",
  sending: "Sending",
  queued: "Waiting for its turn",
  running: "Making variations",
  succeeded: "Done",
  partial: "Partly done",
  failed: "Did not work",
};

export const seconds = (count) =>
  count < 60 ? `${Math.round(count)} s` : `${Math.floor(count / 60)} min ${String(Math.round(count % 60)).padStart(2, "0")} s`;

export const pictures = (count) => `${count} variation${count === 1 ? "" : "s"}`;

const SHAPES = { auto: "Let the model choose" };

/** “Square, 1024 × 1024” for 1024x1024. */
export function sizeName(size) {
  if (SHAPES[size]) return SHAPES[size];
  const [width, height] = size.split("x").map(Number);
  const shape = width === height ? "Square" : width > height ? "Landscape" : "Portrait";
  return `${shape}, ${width} × ${height}`;
}

const STRENGTHS = { subtle: "close", balanced: "balanced", strong: "bold" };

/** One line about a request. */
export function summary({ n, strength, size, model, quality, style }) {
  const parts = [n && pictures(Number(n)), STRENGTHS[strength], size && size.replace("x", " × "), quality, style, model];
  return parts.filter(Boolean).join(" · ");
}

export function when(epochSeconds) {
  const date = new Date(epochSeconds * 1000);
  const sameDay = date.toDateString() === new Date().toDateString();
  return date.toLocaleString([], sameDay ? { timeStyle: "short" } : { dateStyle: "medium", timeStyle: "short" });
}
