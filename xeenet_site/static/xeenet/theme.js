// Loaded before the first paint, so that no page flashes in another theme. theme-switch.js has the
// switch. Swagger UI has a class of its own for the dark, and the admin a key of its own: both
// follow ours.

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
