// The card beside a point of the hero chart: what the page knows at once, the rest from the server,
// once for each task.

"use strict";

((Hero) => {
  // A pointer that only passes over asks for nothing.
  const REST_MILLISECONDS = 120;

  function cardOf(root) {
    const card = document.createElement("div");
    card.className = "hero-card";
    card.hidden = true;
    root.append(card);
    const known = new Map();
    let shown = null;
    let waiting = 0;

    function details(data, point) {
      if (!known.has(point.number)) {
        const request = fetch(Hero.addressOf(data.card, point)).then((answer) => {
          if (!answer.ok) throw new Error(`${answer.status}`);
          return answer.text();
        });
        // A failed request must not stay: the next hover asks again.
        request.catch(() => known.delete(point.number));
        known.set(point.number, request);
      }
      return known.get(point.number);
    }

    function line(name, text) {
      const made = document.createElement("p");
      made.className = name;
      made.textContent = text;
      return made;
    }

    function show(data, point, pixel, { isPinned = false, now = false } = {}) {
      clearTimeout(waiting);
      card.classList.toggle("pinned", isPinned);
      if (shown !== point) {
        shown = point;
        const more = document.createElement("div");
        card.replaceChildren(line("hero-value", valueText(data, point)), line("soft", whoText(point)), more);
        const fill = () =>
          details(data, point).then(
            (html) => {
              if (shown !== point) return;
              more.innerHTML = html;
              move(pixel);
            },
            () => {},
          );
        if (known.has(point.number) || now) fill();
        else waiting = setTimeout(fill, REST_MILLISECONDS);
      }
      card.hidden = false;
      move(pixel);
    }

    // Beside the point, to the side with more room.
    function move({ x, y }) {
      const { offsetWidth: width, offsetHeight: height } = card;
      const room = root.clientWidth;
      const left = x + 14 + width <= room ? x + 14 : x - 14 - width;
      card.style.left = `${Math.round(Math.max(0, Math.min(room - width, left)))}px`;
      card.style.top = `${Math.round(y + 14 + height <= root.clientHeight + 160 ? y + 14 : y - 14 - height)}px`;
    }

    function hide() {
      clearTimeout(waiting);
      shown = null;
      card.hidden = true;
    }

    return { show, hide };
  }

  function valueText(data, point) {
    if (point.value === null) return Hero.KINDS[point.kind];
    const text = point.value.toFixed(data.decimals);
    const extreme = Hero.records(data.points, data.maximised).at(-1);
    if (!point.counts || !extreme) return `${text} ${data.unit}`;
    const distance = point.value - extreme.value;
    if (distance === 0) return `${text} ${data.unit}, the ${data.extreme}`;
    const sign = distance > 0 ? "+" : "−";
    return `${text} ${data.unit}, ${sign}${Math.abs(distance).toFixed(data.decimals)} to the ${data.extreme}`;
  }

  function whoText(point) {
    const other = point.value !== null && point.kind !== "o" ? ` · ${Hero.KINDS[point.kind]}` : "";
    return [`task ${point.number}`, `arm ${point.arm}`, point.device].filter(Boolean).join(" · ") + other;
  }

  // The server sends addresses once, with 0 for the number of the task.
  const addressOf = (address, point) => address.replace(/\/0(?=\/[a-z]*\/?$)/, `/${point.number}`);

  // One sentence for a screen reader.
  function sentence(data, point) {
    return `${whoText(point)}: ${valueText(data, point)}`;
  }

  Object.assign(Hero, { addressOf, cardOf, sentence });
})((window.XeeNetHero ??= {}));
