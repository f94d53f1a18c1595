// The switch of the theme in the site's header, and the choice of it in the settings.

"use strict";

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

labelThemeSwitch();
