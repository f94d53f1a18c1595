// Menus (details.menu): Escape and a click elsewhere close them, the arrow keys move inside. Without
// this script they still open and close by click, Enter and Space.

"use strict";

function closeMenus(except) {
  for (const menu of document.querySelectorAll("details.menu[open]")) {
    if (menu !== except) menu.open = false;
  }
}

document.addEventListener("click", (event) => {
  const menu = event.target.closest("details.menu");
  closeMenus(menu);
  // A choice ends the menu: it must not stay open behind a dialog, or over what the link brings.
  if (menu && event.target.closest("[data-opens], a")) menu.open = false;
});

document.addEventListener("keydown", (event) => {
  const menu = event.target.closest?.("details.menu");
  if (event.key === "Escape") {
    const open = menu?.open ? menu : document.querySelector("details.menu[open]");
    if (!open) return;
    open.open = false;
    if (menu) menu.querySelector("summary").focus();
    return;
  }
  if (!menu || !["ArrowDown", "ArrowUp"].includes(event.key)) return;
  event.preventDefault();
  menu.open = true;
  const items = [...menu.querySelectorAll(".menu-items :is(a, button)")];
  const at = items.indexOf(document.activeElement);
  const step = event.key === "ArrowDown" ? 1 : -1;
  items[at < 0 && step < 0 ? items.length - 1 : (at + step + items.length) % items.length]?.focus();
});
