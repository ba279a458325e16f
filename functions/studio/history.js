// The caller's earlier jobs, where the API lists them.

import { listJobs } from "./api.js";
import { $, make } from "./elements.js";
import { STATES, pictures, when } from "./words.js";

let last = null;
let open;

/** Reads the list from its beginning, or goes on with it. An API without such a list shows none. */
async function read(after) {
  let page;
  try {
    page = await listJobs(after);
  } catch (error) {
    $("history").hidden = error.status === 404 || !after;
    $("history-more").textContent = "Try again";
    return;
  }
  last = page.last_id;
  $("history-list").append(...page.data.map(row));
  $("history").hidden = !$("history-list").children.length;
  $("history-more").textContent = "Show more";
  $("history-more").hidden = !page.has_more;
}

export function showHistory() {
  clearHistory();
  return read(null);
}

export function clearHistory() {
  $("history-list").replaceChildren();
  $("history").hidden = true;
}

function row(record) {
  const what = [record.n && pictures(record.n), record.model, record.prompt].filter(Boolean).join(" · ");
  const press = make(
    "button",
    { type: "button", onclick: () => open(record) },
    make("strong", {}, record.filename || "Picture"),
    make("span", { class: "what" }, what),
    make("span", { class: "state" }, STATES[record.status]),
    make("time", { datetime: new Date(record.created * 1000).toISOString() }, when(record.created)),
  );
  return make("li", { "data-state": record.status }, press);
}

export function startHistory(onOpen) {
  open = onOpen;
  $("history-more").addEventListener("click", () => read(last));
}
