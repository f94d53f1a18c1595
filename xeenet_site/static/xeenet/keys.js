// Single keys: "/" to the search field, j and k through rows, "?" for help. Enter opens the focused row
// by itself, as it is a link. A switch in the help and on the settings page turns them off (WCAG 2.1.4).

"use strict";

(() => {
  function areOff() {
    try {
      return localStorage.getItem("keys") === "off";
    } catch {
      // Storage is forbidden: the keys stay on.
      return false;
    }
  }

  function isTyping(target) {
    return target.closest?.("input:not([type=checkbox], [type=radio], [type=button], [type=submit]), textarea, select, [contenteditable]") !== null;
  }

  function isVisible(element) {
    return element.getClientRects().length > 0;
  }

  function focusSearch() {
    const fields = document.querySelectorAll("main input[type=search]");
    const field = [...fields].find(isVisible);
    field?.focus();
    field?.select();
    return field !== undefined;
  }

  // Moves the focus to the link of the next row; before the first press, to the first row.
  function step(by) {
    const links = [...document.querySelectorAll("main .row-link")].filter(isVisible);
    if (!links.length) return false;
    const row = document.activeElement?.closest("tr");
    const here = row ? links.findIndex((link) => row.contains(link)) : -1;
    const next = here < 0 ? (by > 0 ? 0 : links.length - 1) : Math.min(links.length - 1, Math.max(0, here + by));
    links[next].focus();
    links[next].closest("tr")?.scrollIntoView({ block: "nearest" });
    return true;
  }

  const actions = {
    "/": focusSearch,
    // The open panel steps by itself, and then cancels the event.
    j: () => !document.dispatchEvent(new CustomEvent("xeenet:step", { detail: 1, cancelable: true })) || step(1),
    k: () => !document.dispatchEvent(new CustomEvent("xeenet:step", { detail: -1, cancelable: true })) || step(-1),
    "?": () => {
      document.getElementById("keys-dialog").showModal();
      return true;
    },
  };

  document.addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
    if (!Object.hasOwn(actions, event.key) || areOff() || isTyping(event.target)) return;
    if (document.querySelector("dialog[open]:not(#side)")) return;
    if (actions[event.key]()) event.preventDefault();
  });

  for (const box of document.querySelectorAll("[data-keys-switch]")) {
    box.disabled = false;
    box.checked = !areOff();
    box.addEventListener("change", () => {
      try {
        localStorage.setItem("keys", box.checked ? "on" : "off");
      } catch {
        // Storage is forbidden: the choice cannot be kept.
      }
    });
  }
  document.getElementById("keys-button").hidden = false;
})();
