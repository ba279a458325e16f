// Puts the page together: who is in, what happens on which press.

import { key, listModels } from "./api.js";
import { choices, clearDesk, count, replaceSources, showModels, sources, startDesk } from "./desk.js";
import { $, announce, copy, hush, toast } from "./elements.js";
import { clearHistory, showHistory, startHistory } from "./history.js";
import { Job, isSending } from "./jobs.js";
import { curlCall, pythonCall } from "./snippets.js";
import { startTheme } from "./theme.js";
import { startViewer } from "./viewer.js";
import { clearWall, download, isShown, show, startWall } from "./wall.js";
import { explain } from "./words.js";

const NO_KEY = new Set([401, 403]);

function begin(source, chosen) {
  const job = new Job(source, chosen);
  show(job);
  return job.run();
}

function makeVariations(event) {
  event.preventDefault();
  const problem = !sources.length ? "Drop or choose a picture first." : !count() ? "Say how many: 1 to 10." : "";
  $("desk-error").textContent = problem;
  if (problem) return (sources.length ? $("n") : $("files")).focus();
  const chosen = choices();
  for (const source of [...sources].reverse()) begin(source, chosen);
  announce(`On its way: ${$("make").textContent}.`);
  if (matchMedia("(max-width: 60rem)").matches) $("jobs").scrollIntoView({ block: "start" });
}

const actions = {
  download,
  /** Asks once more for what a job was asked for; one that never came to anything is sent again. */
  again: (job) => (job.results.length ? begin(job.source, job.choices) : job.again()),
  /** Makes a result the next source. */
  async moreLike(result) {
    await result.ready;
    if (!result.blob) return toast(explain({ code: "pictures_unreadable" }));
    replaceSources(result.asSource());
    toast(`Variation ${result.number} is your picture now. Change a word, or press “${$("make").textContent}”.`);
    $("desk").scrollIntoView({ block: "start" });
    $("make").focus({ preventScroll: true });
  },
};

function openEarlier(record) {
  if (isShown(record.id)) return toast("That one is on the page already.");
  const job = Job.listed(record);
  const card = show(job);
  card.title.focus();
  return job.run();
}

function copyCall(write, what) {
  return () => copy(write(choices(), sources[0]?.file ?? { name: "picture.png", size: 0 }), what);
}

/** Shows the desk to whoever has a key that the API takes; else says what is wrong with it. */
async function comeIn(atDesk = () => {}) {
  try {
    showModels(await listModels());
  } catch (error) {
    if (NO_KEY.has(error.status)) return goOut(explain(error));
    if (error.code === "offline" && $("work").hidden) return showDoor(explain(error));
    toast(explain(error)); // the key is good; the provider is not well, and may be when a picture is sent
  }
  showDesk();
  atDesk(); // before the list of jobs is here, or the focus would be taken from wherever it has gone by then
  return showHistory();
}

function showDesk() {
  $("sign-in").hidden = true;
  $("work").hidden = $("sign-out").hidden = $("skip").hidden = false;
  $("key").value = "";
}

function goOut(message = "") {
  key.forget();
  clearWall();
  clearDesk();
  clearHistory();
  $("viewer").close();
  hush();
  showDoor(message);
}

function showDoor(message = "") {
  $("work").hidden = $("sign-out").hidden = $("skip").hidden = true;
  $("sign-in").hidden = false;
  $("key-error").textContent = message;
  $("key").focus();
}

async function signIn(event) {
  event.preventDefault();
  const typed = $("key").value.trim();
  $("key-error").textContent = typed ? "" : "Type or paste your key.";
  if (!typed) return $("key").focus();
  if (!/^[\x21-\x7e]+$/.test(typed)) return ($("key-error").textContent = explain({ code: "unauthorized" }));
  key.keep(typed);
  const press = event.submitter ?? $("key-form").querySelector("[type=submit]");
  press.disabled = true;
  press.textContent = "One moment …"; // it takes as long as the provider needs to say what models it has
  await comeIn(() => $("work").focus());
  press.disabled = false;
  press.textContent = "Sign in";
}

function showKey() {
  const visible = $("key").type === "password";
  $("key").type = visible ? "text" : "password";
  $("show-key").setAttribute("aria-pressed", String(visible));
  $("show-key").textContent = visible ? "Hide" : "Show";
}

function watchConnection() {
  const tell = () => ($("connection").textContent = navigator.onLine ? "" : "Offline. The Studio goes on when you are back.");
  addEventListener("online", tell);
  addEventListener("offline", tell);
  tell();
}

startTheme();
startDesk();
startViewer();
startWall(actions);
startHistory(openEarlier);
watchConnection();
$("key-form").addEventListener("submit", signIn);
$("show-key").addEventListener("click", showKey);
$("desk").addEventListener("submit", makeVariations);
$("sign-out").addEventListener("click", () => goOut());
$("copy-curl").addEventListener("click", copyCall(curlCall, "The curl call"));
$("copy-python").addEventListener("click", copyCall(pythonCall, "The Python call"));
addEventListener("studio:unauthorized", () => !$("work").hidden && goOut("Your key does not work any more. Sign in again."));
addEventListener("beforeunload", (event) => isSending() && event.preventDefault());
if (key.get()) showDesk(), comeIn();
else showDoor();
