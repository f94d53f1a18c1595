// Behaviour beyond HTML and htmx: clock times, copy buttons, dialogs, when a refresh would disturb.

"use strict";

// --- Clock times ---------------------------------------------------------------------------------

// Made once: a formatter costs more than all the times that it writes.
const HOUR_AND_MINUTE = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", hour12: false });
const DAY_OF_WEEK = new Intl.DateTimeFormat("en-GB", { weekday: "short", day: "numeric", month: "short" });

// The server knows no time zones: it writes UTC, and says so. Readers have a zone of their own.
function localiseClocks() {
  const today = new Date().toDateString();
  for (const time of document.querySelectorAll("time[data-clock]")) {
    const when = new Date(time.dateTime);
    const clock = HOUR_AND_MINUTE.format(when);
    const words = when.toDateString() === today ? clock : `${DAY_OF_WEEK.format(when)} ${clock}`;
    if (time.textContent !== words) time.textContent = words;
  }
}

localiseClocks();
for (const news of ["htmx:afterSwap", "xeenet:refreshed"]) document.addEventListener(news, localiseClocks);

// --- Clicks --------------------------------------------------------------------------------------

async function copyText(button) {
  const text = document.getElementById(button.dataset.copy).textContent;
  const label = button.textContent;
  try {
    await navigator.clipboard.writeText(text);
    button.textContent = "Copied";
  } catch {
    // Browsers refuse the clipboard without HTTPS: select the text instead.
    getSelection().selectAllChildren(document.getElementById(button.dataset.copy));
    button.textContent = "Selected: press Ctrl+C";
  }
  setTimeout(() => (button.textContent = label), 1500);
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (!button) return;
  if (button.dataset.copy) copyText(button);
  // Without this script the dialog of a button is a popover, which the browser shows by itself.
  if (button.dataset.opens || "closes" in button.dataset) event.preventDefault();
  if (button.dataset.opens) document.getElementById(button.dataset.opens).showModal();
  if ("closes" in button.dataset) button.closest("dialog").close();
});

document.addEventListener("change", (event) => {
  if ("submits" in event.target.dataset) event.target.form.requestSubmit();
});

// --- Refreshes that do not disturb ---------------------------------------------------------------

// Skip a refresh (live.js) while the page is hidden, a dialog is open, text is selected or a button is
// held down, and while the response to a click is pending: it would change what the click is about.
function wouldDisturb() {
  const selected = getSelection();
  const around = selected.anchorNode instanceof Element ? selected.anchorNode : selected.anchorNode?.parentElement;
  const selecting = !selected.isCollapsed && Boolean(around?.closest("[data-live]"));
  const busy = document.querySelector("dialog[open]:not(#side), [data-live] :active, .htmx-request");
  return document.hidden || busy !== null || selecting;
}

// htmx restores focus by id. We restore open details, scroll positions and ticked rows.
let kept = { open: new Set(), closed: new Set(), scroll: new Map(), picked: new Set() };

document.addEventListener("htmx:beforeSwap", (event) => {
  if (event.defaultPrevented) return;
  const target = event.detail.target;
  kept = { open: new Set(), closed: new Set(), scroll: new Map(), picked: new Set() };
  for (const box of target.querySelectorAll(".pick:checked")) kept.picked.add(box.id);
  for (const details of target.querySelectorAll("details[id]")) {
    (details.open ? kept.open : kept.closed).add(details.id);
  }
  for (const frame of target.querySelectorAll(".table-frame[id], pre[id]")) {
    kept.scroll.set(frame.id, [frame.scrollLeft, frame.scrollTop]);
  }
});

document.addEventListener("htmx:afterSwap", () => {
  for (const id of kept.open) document.getElementById(id)?.setAttribute("open", "");
  for (const id of kept.closed) document.getElementById(id)?.removeAttribute("open");
  for (const id of kept.picked) {
    const box = document.getElementById(id);
    if (box) box.checked = true;
  }
  for (const [id, [left, top]] of kept.scroll) document.getElementById(id)?.scrollTo(left, top);
});

for (const failure of ["htmx:sendError", "htmx:responseError", "htmx:timeout"]) {
  document.addEventListener(failure, () => document.body.classList.add("connection-lost"));
}
document.addEventListener("htmx:afterSwap", () => document.body.classList.remove("connection-lost"));
