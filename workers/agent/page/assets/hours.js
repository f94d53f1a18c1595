// The hours at which the worker may work, as 24 cells: one stop for Tab, arrows to move, space to set.
import { make } from "./draw.js";

const MINUTES = 24 * 60;
const two = (hour) => String(hour).padStart(2, "0");

/** Return the [start, end) minutes of windows like "22:00-07:00,12:00-13:00". */
function windows(text) {
  if (text === "always") return [[0, MINUTES]];
  return text.split(",").flatMap((part) => {
    const [start, end] = part.split("-").map((clock) => {
      const [hour, minute] = clock.split(":").map(Number);
      return 60 * hour + minute;
    });
    return start < end ? [[start, end]] : [[start, MINUTES], [0, end]];
  });
}

/** Return for each hour how much of it is allowed: "true", "false" or "mixed". */
export function cells(text) {
  const ranges = windows(text);
  return Array.from({ length: 24 }, (_, hour) => {
    const open = ranges.reduce((sum, [start, end]) => {
      return sum + Math.max(0, Math.min(end, 60 * hour + 60) - Math.max(start, 60 * hour));
    }, 0);
    return open >= 60 ? "true" : open > 0 ? "mixed" : "false";
  });
}

/** Return the windows of 24 answers; one over midnight stays one. */
export function written(isOn) {
  if (isOn.every(Boolean)) return "always";
  const first = isOn.indexOf(false);
  const parts = [];
  let start = null;
  for (let step = 1; step <= 24; step += 1) {
    const hour = (first + step) % 24;
    if (isOn[hour] && start === null) start = hour;
    if (!isOn[hour] && start !== null) {
      parts.push(`${two(start)}:00-${two(hour === 0 ? 24 : hour)}:00`);
      start = null;
    }
  }
  // No hour at all: the worker refuses that, and says why.
  return parts.join(",") || "00:00-00:00";
}

/** The cells; `change` gets the windows when the person has set some. */
export function hours(change) {
  const node = make("div", { class: "hours", role: "group", "aria-label": "Hours of the day" });
  const buttons = Array.from({ length: 24 }, (_, hour) => {
    const name = `${two(hour)}:00 to ${two(hour + 1)}:00`;
    const button = make("button", { type: "button", "aria-label": name, "aria-pressed": "false" }, String(hour));
    button.tabIndex = hour === 0 ? 0 : -1;
    button.addEventListener("click", () => {
      button.setAttribute("aria-pressed", String(button.getAttribute("aria-pressed") !== "true"));
      focusOn(hour);
      change(written(buttons.map((cell) => cell.getAttribute("aria-pressed") !== "false")));
    });
    return button;
  });
  function focusOn(hour) {
    for (const [place, button] of buttons.entries()) button.tabIndex = place === hour ? 0 : -1;
    buttons[hour].focus();
  }
  node.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -12, ArrowDown: 12 }[event.key];
    if (step === undefined) return;
    event.preventDefault();
    focusOn((buttons.indexOf(document.activeElement) + step + 24) % 24);
  });
  node.append(...buttons);
  return {
    node,
    set(text, isDisabled) {
      const now = new Date().getHours();
      for (const [hour, pressed] of cells(text).entries()) {
        buttons[hour].setAttribute("aria-pressed", pressed);
        buttons[hour].classList.toggle("now", hour === now);
        buttons[hour].disabled = isDisabled;
      }
    },
  };
}
