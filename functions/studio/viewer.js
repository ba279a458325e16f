// A result in large, beside its neighbours, and against its source by a slider.

import { $ } from "./elements.js";

let job;
let place = 0;
let comparing = false;
let actions;

/** Shows the result at a place of a job's results, beside its source if that is wanted. */
export function openViewer(wanted, number, given, beside = false) {
  [job, place, actions] = [wanted, number, given];
  comparing = beside && canCompare();
  $("viewer-at").value = 50;
  showResult();
  $("viewer").showModal();
  if (comparing) $("viewer-at").focus();
}

const canCompare = () => Boolean(job.source);

async function showResult() {
  const result = job.results[place];
  $("viewer-title").textContent = `${job.title} · ${place + 1} of ${job.results.length}`;
  $("viewer-before").disabled = place === 0;
  $("viewer-after").disabled = place === job.results.length - 1;
  $("viewer-compare").hidden = !canCompare();
  showComparison();
  const url = await result.ready;
  if (result !== job.results[place]) return; // somebody turned on meanwhile
  $("viewer-result").src = url;
  $("viewer-result").alt = `Variation ${result.number} of ${job.title}`;
  if (job.source) $("viewer-source").src = job.source.url;
}

function showComparison() {
  $("viewer-compare").setAttribute("aria-pressed", String(comparing));
  $("viewer-source").hidden = $("slider").hidden = !comparing;
  $("frame").classList.toggle("comparing", comparing);
  setEdge();
}

function setEdge() {
  const at = $("viewer-at");
  $("frame").style.setProperty("--at", `${at.value}%`);
  at.setAttribute("aria-valuetext", `${at.value} percent original`);
}

function turn(by) {
  const next = place + by;
  if (next < 0 || next >= job.results.length) return;
  place = next;
  showResult();
}

function compare() {
  comparing = !comparing && canCompare();
  $("viewer-at").value = 50;
  showComparison();
  if (comparing) $("viewer-at").focus();
}

/** Lets a finger or the mouse draw the edge itself. */
function dragEdge() {
  const frame = $("frame");
  const follow = (event) => {
    const { left, width } = frame.getBoundingClientRect();
    $("viewer-at").value = Math.round(((event.clientX - left) / width) * 100);
    setEdge();
  };
  frame.addEventListener("pointerdown", (event) => {
    if (!comparing) return;
    event.preventDefault();
    frame.setPointerCapture(event.pointerId);
    follow(event);
  });
  frame.addEventListener("pointermove", (event) => frame.hasPointerCapture(event.pointerId) && follow(event));
}

function forget() {
  for (const image of [$("viewer-result"), $("viewer-source")]) image.removeAttribute("src");
  $("viewer-title").textContent = $("viewer-result").alt = "";
}

export function startViewer() {
  const viewer = $("viewer");
  dragEdge();
  $("viewer-at").addEventListener("input", setEdge);
  $("viewer-before").addEventListener("click", () => turn(-1));
  $("viewer-after").addEventListener("click", () => turn(1));
  $("viewer-compare").addEventListener("click", compare);
  $("viewer-close").addEventListener("click", () => viewer.close());
  $("viewer-download").addEventListener("click", () => actions.download(job.results[place]));
  $("viewer-again").addEventListener("click", () => {
    viewer.close();
    actions.moreLike(job.results[place]);
  });
  viewer.addEventListener("click", (event) => event.target === viewer && viewer.close()); // beside the picture
  viewer.addEventListener("close", forget);
  viewer.addEventListener("keydown", (event) => {
    if (event.target === $("viewer-at")) return; // there the arrows move the edge
    if (event.key === "ArrowLeft") turn(-1);
    if (event.key === "ArrowRight") turn(1);
    if (event.key === "c" && !event.metaKey && !event.ctrlKey) compare();
  });
}
