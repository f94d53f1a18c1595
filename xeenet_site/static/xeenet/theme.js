// The theme and its switch. Loaded before the first paint, so that no page flashes in another theme.
// admin-theme.js tells the admin; the class "dark-mode" is what Swagger UI knows of the dark.

"use strict";

const xeenetTheme = {
  choices: ["system", "light", "dark"],

  stored() {
    try {
      const name = localStorage.getItem("theme");
      return xeenetTheme.choices.includes(name) ? name : "system";
    } catch {
      return "system"; // storage is forbidden: the page follows the system's theme
    }
  },

  current: () => document.documentElement.dataset.theme || "system",

  isDark() {
    const name = xeenetTheme.current();
    return name === "dark" || (name === "system" && matchMedia("(prefers-color-scheme: dark)").matches);
  },

  show(name) {
    const page = document.documentElement;
    if (name === "system") delete page.dataset.theme;
    else page.dataset.theme = name;
    page.classList.toggle("dark-mode", xeenetTheme.isDark());
  },

  set(name) {
    xeenetTheme.show(name);
    try {
      localStorage.setItem("theme", name);
    } catch {
      // Storage is forbidden: the choice applies to this page only.
    }
    document.dispatchEvent(new CustomEvent("xeenet:theme"));
  },
};

xeenetTheme.show(xeenetTheme.stored());
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  xeenetTheme.show(xeenetTheme.current());
});

// --- The switch in the header, and the choice in the settings ------------------------------------

function labelThemeSwitch() {
  for (const button of document.querySelectorAll("[data-theme-switch]")) {
    const label = `Theme: ${xeenetTheme.current()}`;
    button.querySelector(".label").textContent = label;
    button.title = label;
    button.hidden = false;
  }
  for (const choices of document.querySelectorAll("[data-theme-choices]")) {
    choices.disabled = false;
    choices.querySelector(`[value=${xeenetTheme.current()}]`).checked = true;
  }
}

document.addEventListener("click", (event) => {
  if (!event.target.closest("[data-theme-switch]")) return;
  xeenetTheme.set(xeenetTheme.choices[(xeenetTheme.choices.indexOf(xeenetTheme.current()) + 1) % xeenetTheme.choices.length]);
});

document.addEventListener("change", (event) => {
  if (event.target.closest("[data-theme-choices]")) xeenetTheme.set(event.target.value);
});

document.addEventListener("xeenet:theme", labelThemeSwitch);

// Another tab has changed the theme.
addEventListener("storage", (event) => {
  if (event.key !== "theme") return;
  xeenetTheme.show(xeenetTheme.stored());
  document.dispatchEvent(new CustomEvent("xeenet:theme"));
});

document.addEventListener("DOMContentLoaded", labelThemeSwitch);
