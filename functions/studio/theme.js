// Light or dark: as the system has it, until somebody chooses.

import { $ } from "./elements.js";

const PLACE = "studio-theme";
const system = matchMedia("(prefers-color-scheme: dark)");

const isDark = () => (document.documentElement.dataset.theme ?? (system.matches ? "dark" : "light")) === "dark";

function label() {
  $("theme").setAttribute("aria-pressed", String(isDark()));
}

function remembered() {
  try {
    return localStorage.getItem(PLACE);
  } catch {
    return null; // where a browser keeps nothing, the choice holds for this page
  }
}

function remember(theme) {
  try {
    localStorage.setItem(PLACE, theme);
  } catch {
    // as above
  }
}

export function startTheme() {
  const chosen = remembered();
  if (chosen) document.documentElement.dataset.theme = chosen;
  label();
  system.addEventListener("change", label);
  $("theme").addEventListener("click", () => {
    const next = isDark() ? "light" : "dark";
    document.documentElement.dataset.theme = next;
    remember(next);
    label();
  });
}
