// Light or dark: as the system has it, until somebody chooses.

import { $ } from "./elements.js";

const PLACE = "studio-theme";
const system = matchMedia("(prefers-color-scheme: dark)");

const isDark = () => (document.documentElement.dataset.theme ?? (system.matches ? "dark" : "light")) === "dark";

function label() {
  $("theme").setAttribute("aria-pressed", String(isDark()));
}

export function startTheme() {
  const chosen = localStorage.getItem(PLACE);
  if (chosen) document.documentElement.dataset.theme = chosen;
  label();
  system.addEventListener("change", label);
  $("theme").addEventListener("click", () => {
    const next = isDark() ? "light" : "dark";
    document.documentElement.dataset.theme = next;
    localStorage.setItem(PLACE, next);
    label();
  });
}
