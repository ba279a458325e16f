// Makes and finds elements. Text always goes in as text, so nothing that comes from outside can be markup.

export const $ = (id) => document.getElementById(id);

/** `make("p", {class: "hint", onclick: f}, "text", child)`; what is null, false or empty is left out. */
export function make(name, properties = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (value === null || value === undefined || value === false) continue;
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else made.setAttribute(key, value === true ? "" : value);
  }
  made.append(...children.filter((child) => child !== null && child !== false && child !== "")); // but not undefined
  return made;
}

export const button = (text, onclick, properties = {}) =>
  make("button", { type: "button", class: "quiet", onclick, ...properties }, text);

let hiding;
/** Tells something in passing, to eyes and screen readers; over an open dialog, beside which nothing is heard. */
export function toast(text) {
  const place = $("toast");
  clearTimeout(hiding);
  (document.querySelector("dialog[open]") ?? document.body).append(place);
  place.textContent = text;
  place.hidden = false;
  hiding = setTimeout(() => (place.hidden = true), 5000);
}

let forgetting;
/** Tells screen readers what eyes see by themselves, once. */
export function announce(text) {
  clearTimeout(forgetting);
  $("news").textContent = text;
  forgetting = setTimeout(() => ($("news").textContent = ""), 10_000);
}

/** Takes back whatever was told. */
export function hush() {
  $("news").textContent = $("toast").textContent = "";
  $("toast").hidden = true;
}

/** Puts a text on the clipboard; where that is not allowed, says so. */
export async function copy(text, what) {
  try {
    await navigator.clipboard.writeText(text);
    toast(`${what} is on your clipboard.`);
  } catch {
    toast("This browser does not let the Studio use the clipboard.");
  }
}
