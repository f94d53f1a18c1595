// Loaded before the first paint, so that no page flashes in another theme. theme-switch.js has the
// switch, and admin-theme.js tells the admin. The class is what Swagger UI knows of the dark.

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
