// The hero chart of a campaign's page: reads its data from the page, draws it, and lets people hover,
// choose, zoom and walk through its points. New points come as the event "xeenet:points".

"use strict";

((Hero) => {
  const MODES = { order: "order", spent: "worker time", clock: "clock, UTC" };
  const NEAR = 16;
  const DRAG = 6;
  const HEIGHT = 224;
  // Twice as many points as the server sends are a reason to let it thin them out again.
  const MOST_POINTS = 4000;
  const { element } = Hero;

  let chart = null;

  // --- Set up --------------------------------------------------------------------------------------

  function begin(root) {
    const svg = element("svg", { class: "hero-plot", "aria-hidden": "true" }, null);
    const clip = element("clipPath", { id: "hero-clip" }, svg);
    const layers = {};
    for (const name of ["frame", "under", "marks", "over", "labels", "focus"]) {
      layers[name] = element("g", { class: name }, svg);
    }
    layers.clip = element("rect", {}, clip);
    for (const name of ["under", "over"]) layers[name].setAttribute("clip-path", "url(#hero-clip)");
    root.prepend(svg);
    root.classList.add("drawn");
    const foot = root.appendChild(document.createElement("div"));
    foot.className = "hero-foot";
    const spoken = root.appendChild(document.createElement("p"));
    spoken.className = "visually-hidden";
    spoken.setAttribute("aria-live", "polite");
    root.tabIndex = 0;
    root.setAttribute("role", "application");
    root.setAttribute("aria-label", "Chart of all results. Arrow keys move over the points, Enter opens one.");
    root.setAttribute("aria-describedby", "hero-sentence");
    const made = {
      ...{ root, svg, layers, foot, spoken, card: Hero.cardOf(root), measure: measurer(root) },
      ...{ mode: storedMode(), zoom: { x: null, y: null }, pixels: [], kept: {}, focus: -1, chosen: null },
    };
    listen(made);
    // Labels were measured in another font as long as ours was on its way.
    document.fonts.addEventListener("loadingdone", () => {
      made.measure = measurer(root);
      if (made.data) draw(made);
    });
    new ResizeObserver(() => {
      if (!made.data || root.clientWidth === made.width) return;
      made.width = root.clientWidth;
      draw(made);
    }).observe(root);
    return made;
  }

  function storedMode() {
    try {
      const mode = localStorage.getItem("hero-x");
      return mode in MODES ? mode : "order";
    } catch {
      return "order";
    }
  }

  // Return the function that measures a text as the boldest label would be drawn. A canvas would not
  // do: it knows no tabular numbers, which are wider.
  function measurer(root) {
    root.querySelector(".hero-measure")?.remove();
    const probe = element("text", { class: "label strong" });
    root.append(element("svg", { class: "hero-measure", "aria-hidden": "true" }));
    root.lastChild.append(probe);
    const known = new Map();
    return (text) => {
      // All digits are equally wide: few new texts need the layout that a measurement costs.
      const shape = text.replace(/\d/g, "0");
      if (!known.has(shape)) {
        probe.textContent = shape;
        const { y, width, height } = probe.getBBox();
        known.set(shape, { width: Math.ceil(width), ascent: Math.ceil(-y), descent: Math.ceil(y + height) });
      }
      return known.get(shape);
    };
  }

  // --- Draw ----------------------------------------------------------------------------------------

  function draw(chart) {
    const { root, svg, layers, data } = chart;
    // Later the observer knows it: to ask here would cost a layout of the page.
    chart.width ||= root.clientWidth;
    chart.height = HEIGHT;
    svg.setAttribute("width", chart.width);
    svg.setAttribute("height", chart.height);
    svg.setAttribute("viewBox", `0 0 ${chart.width} ${chart.height}`);
    const view = (chart.view = Hero.layout(chart, chart.measure));
    const { left, right, top, bottom } = view.plot;
    for (const [key, value] of Object.entries({ x: left, y: top, width: Math.max(0, right - left), height: bottom - top })) {
      layers.clip.setAttribute(key, value);
    }
    for (const name of ["frame", "under", "marks", "over", "labels"]) layers[name].replaceChildren();
    chart.pixels = [];
    Hero.drawFrame(chart, layers.frame);
    Hero.drawAnchors(chart, layers.frame);
    Hero.drawEvents(chart, layers.frame);
    Hero.drawMarks(data.points, chart, layers.marks);
    drawLine(chart);
    drawFoot(chart);
    drawFocus(chart);
  }

  // What changes with every append: the running best, and the labels.
  function drawLine(chart) {
    const { layers } = chart;
    layers.under.replaceChildren();
    layers.labels.replaceChildren();
    const corners = Hero.drawStep(chart, layers.under);
    Hero.drawValue(chart, layers.labels);
    Hero.drawLabels(chart, corners, layers.labels);
  }

  function drawFoot(chart) {
    const { foot, data, mode, zoom } = chart;
    const shown = JSON.stringify([data.devices, mode, Boolean(zoom.x || zoom.y)]);
    if (foot.dataset.shown === shown) return;
    const focused = foot.contains(document.activeElement) ? document.activeElement.dataset.mode : null;
    foot.dataset.shown = shown;
    const legend = document.createElement("span");
    legend.className = "hero-legend";
    if (data.devices.length > 1) {
      for (const device of data.devices) {
        const key = document.createElement("span");
        const icon = element("svg", { viewBox: "-5 -5 10 10", "aria-hidden": "true" });
        element("path", { class: "dot", d: Hero.shapeOf({ device }, data)(0, 0) }, icon);
        key.append(icon, device);
        legend.append(key);
      }
    }
    const choices = document.createElement("span");
    choices.className = "hero-modes";
    choices.setAttribute("role", "group");
    choices.setAttribute("aria-label", "Horizontal axis");
    for (const [name, words] of Object.entries(MODES)) choices.append(button(words, name === mode, { mode: name }));
    const reset = button("Reset zoom", null, { reset: "" });
    reset.hidden = !zoom.x && !zoom.y;
    foot.replaceChildren(legend, reset, choices);
    if (focused) foot.querySelector(`[data-mode=${focused}]`)?.focus();
  }

  function button(words, isPressed, dataset) {
    const made = document.createElement("button");
    made.type = "button";
    made.textContent = words;
    if (isPressed !== null) made.setAttribute("aria-pressed", isPressed);
    Object.assign(made.dataset, dataset);
    return made;
  }

  // --- Focus: the arm under the pointer, chosen, or walked to ------------------------------------------

  function drawFocus(chart) {
    const { layers, data, pixels } = chart;
    layers.focus.replaceChildren();
    const focused = data.points[chart.focus];
    const arm = focused?.arm ?? chart.chosen;
    if (arm === null || arm === undefined) return;
    const seeds = [];
    data.points.forEach((point, row) => {
      if (point.arm === arm && pixels[row]) seeds.push({ point, pixel: pixels[row] });
    });
    const joined = seeds.filter(({ point, pixel }) => point.value !== null && !pixel.isTick);
    const line = joined.map(({ pixel }, row) => `${row ? "L" : "M"}${pixel.x} ${pixel.y}`).join("");
    if (joined.length > 1) element("path", { class: "seeds", d: line }, layers.focus);
    for (const { point, pixel } of seeds) {
      const d = Hero.shapeOf(point, data)(pixel.x, pixel.y, 1.5);
      element("path", { class: "seed", d }, layers.focus);
    }
    const pixel = focused && pixels[chart.focus];
    if (pixel) element("circle", { class: "ring", cx: pixel.x, cy: pixel.y, r: 7 }, layers.focus);
  }

  function focus(chart, row, options) {
    const point = chart.data.points[row];
    const pixel = chart.pixels[row];
    chart.focus = point && pixel ? row : -1;
    drawFocus(chart);
    if (chart.focus < 0) chart.card.hide();
    else chart.card.show(chart.data, point, pixel, options);
  }

  function nearest({ pixels }, x, y) {
    let best = -1;
    let closest = NEAR ** 2;
    pixels.forEach((pixel, row) => {
      if (!pixel) return;
      const distance = (pixel.x - x) ** 2 + (pixel.y - y) ** 2;
      if (distance <= closest) [best, closest] = [row, distance];
    });
    return best;
  }

  // --- Pointer -------------------------------------------------------------------------------------

  function listen(chart) {
    const { svg, root, foot, layers } = chart;
    let drag = null;
    const spot = (event) => {
      const box = svg.getBoundingClientRect();
      return { x: event.clientX - box.left, y: event.clientY - box.top };
    };
    svg.addEventListener("pointerdown", (event) => {
      // A finger must scroll the page; only a mouse zooms.
      if (event.pointerType !== "mouse" || event.button) return;
      drag = { from: spot(event), box: null };
      svg.setPointerCapture(event.pointerId);
    });
    svg.addEventListener("pointermove", (event) => {
      if (event.pointerType !== "mouse") return;
      const at = spot(event);
      if (!drag) return focus(chart, nearest(chart, at.x, at.y));
      if (Math.hypot(at.x - drag.from.x, at.y - drag.from.y) < DRAG && !drag.box) return;
      drag.box ??= element("rect", { class: "zoom-box" }, layers.labels);
      const area = dragged(chart, drag.from, at);
      for (const key of ["x", "y", "width", "height"]) drag.box.setAttribute(key, area[key]);
      chart.card.hide();
    });
    svg.addEventListener("pointerup", (event) => {
      if (!drag) return;
      const { box, from } = drag;
      drag = null;
      box?.remove();
      if (box) zoomTo(chart, dragged(chart, from, spot(event)));
    });
    svg.addEventListener("pointerleave", () => drag || focus(chart, -1));
    svg.addEventListener("click", (event) => {
      const at = spot(event);
      const row = nearest(chart, at.x, at.y);
      const isTouch = event.pointerType === "touch" || event.pointerType === "pen";
      if (row < 0) return isTouch ? focus(chart, -1) : undefined;
      // A finger has no hover: the first tap shows the card, whose link opens the task.
      if (isTouch) return focus(chart, row, { isPinned: true, now: true });
      if (!chart.zoomed) open(chart, row);
    });
    svg.addEventListener("dblclick", () => reset(chart));
    root.addEventListener("keydown", (event) => walk(chart, event));
    root.addEventListener("blur", () => root.contains(document.activeElement) || focus(chart, -1));
    foot.addEventListener("click", (event) => {
      const pressed = event.target.closest("button");
      if (!pressed) return;
      if ("reset" in pressed.dataset) return reset(chart);
      setMode(chart, pressed.dataset.mode);
    });
  }

  // Return the rectangle of a drag: as high as the plot, unless it is clearly meant to cut that, too.
  function dragged({ view }, from, to) {
    const { left, right, top, bottom } = view.plot;
    const within = (value, low, high) => Math.max(low, Math.min(high, value));
    const [x1, x2] = [from.x, to.x].map((x) => within(x, left, right)).sort((a, b) => a - b);
    const [y1, y2] = [from.y, to.y].map((y) => within(y, top, bottom)).sort((a, b) => a - b);
    const isFlat = y2 - y1 < 24 || !view.range;
    return { x: x1, width: x2 - x1, y: isFlat ? top : y1, height: isFlat ? bottom - top : y2 - y1, isFlat };
  }

  function zoomTo(chart, { x, width, y, height, isFlat }) {
    const { view, data, zoom } = chart;
    // The click that follows the end of a drag opens nothing.
    chart.zoomed = true;
    setTimeout(() => (chart.zoomed = false));
    if (width < DRAG) return;
    const xs = [view.xAt(x), view.xAt(x + width)];
    const ends = [view.plot.valueAt?.(y), view.plot.valueAt?.(y + height)];
    const [worst, best] = data.maximised ? [ends[1], ends[0]] : ends;
    chart.zoom = { x: xs, y: isFlat ? zoom.y : { best, worst } };
    chart.root.dataset.after = chart.data.total;
    draw(chart);
  }

  function reset(chart) {
    chart.zoom = { x: null, y: null };
    draw(chart);
  }

  function setMode(chart, mode) {
    chart.mode = mode;
    // A part of one axis is no part of another.
    chart.zoom = { x: null, y: chart.zoom.y };
    try {
      localStorage.setItem("hero-x", mode);
    } catch {
      // Storage is forbidden: the choice applies to this page only.
    }
    draw(chart);
  }

  // --- Open, walk ------------------------------------------------------------------------------------

  // Offer the task to whoever shows it beside the page; go to its own page if nobody does.
  function open(chart, row) {
    const point = chart.data.points[row];
    chart.chosen = point.arm;
    drawFocus(chart);
    const url = Hero.addressOf(chart.data.task, point);
    const detail = { arm: point.arm, task: point.number, url };
    const event = new CustomEvent("xeenet:open", { detail, bubbles: true, cancelable: true });
    if (chart.root.dispatchEvent(event)) location.assign(url);
  }

  const STEPS = { ArrowRight: 1, ArrowLeft: -1, Home: "first", End: "last", ArrowUp: "up", ArrowDown: "down" };

  function walk(chart, event) {
    if (event.target !== chart.root || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "Enter" && chart.focus >= 0) open(chart, chart.focus);
    else if (event.key === "Escape") {
      chart.chosen = null;
      focus(chart, -1);
      reset(chart);
    } else if (event.key in STEPS) {
      const row = stepTo(chart, STEPS[event.key]);
      if (row < 0) return event.preventDefault();
      focus(chart, row, { now: true });
      chart.spoken.textContent = Hero.sentence(chart.data, chart.data.points[row]);
    } else return;
    event.preventDefault();
    event.stopPropagation();
  }

  // Return the row of the next point: left and right in order, up and down by where they are drawn.
  function stepTo({ pixels, focus: from }, step) {
    const rows = pixels.flatMap((pixel, row) => (pixel ? [row] : []));
    if (!rows.length) return -1;
    if (step === "first" || step === "last") return step === "first" ? rows[0] : rows.at(-1);
    if (from < 0) return rows.at(-1);
    if (step === 1) return rows.find((row) => row > from) ?? from;
    if (step === -1) return rows.findLast((row) => row < from) ?? from;
    const place = (row) => [pixels[row].y, row];
    const sign = step === "up" ? -1 : 1;
    const isBeyond = (row) => {
      const [y, order] = place(row);
      const [ownY, own] = place(from);
      return sign * (y - ownY) > 0 || (y === ownY && sign * (order - own) > 0);
    };
    const beyond = rows.filter(isBeyond);
    beyond.sort((first, second) => sign * (pixels[first].y - pixels[second].y || first - second));
    return beyond[0] ?? from;
  }

  // --- Data ------------------------------------------------------------------------------------------

  function read() {
    const root = document.getElementById("hero");
    const source = document.getElementById("hero-data");
    if (!root || !source) return;
    const label = document.getElementById("hero-label")?.textContent ?? "null";
    if (chart?.root !== root) chart = begin(root);
    const text = `${source.textContent}${label}`;
    if (chart.text === text) return;
    chart.text = text;
    renew({ ...JSON.parse(source.textContent), label: JSON.parse(label) });
  }

  function renew(data) {
    const focused = chart.data?.points[chart.focus]?.number;
    chart.data = Hero.model(data);
    chart.focus = chart.data.points.findIndex((point) => point.number === focused);
    draw(chart);
  }

  // Append what the server says is new. Only new marks are drawn, unless a scale must change.
  function append(chunk) {
    if (!chart?.data) return;
    const before = frame(chart, chart.view);
    const { added, stale } = Hero.join(chart.data, chunk);
    chart.root.dataset.after = chart.data.total;
    if (frame(chart, Hero.layout(chart, chart.measure)) === before) {
      Hero.drawMarks(added, chart, chart.layers.marks);
      drawLine(chart);
    } else draw(chart);
    if (stale || chart.data.points.length > MOST_POINTS) readAgain();
  }

  // Return what of a chart must be drawn anew when it changes: everything but marks, line and labels.
  function frame({ data }, { plot, range, low, high, hasLane, hasWorse, axis }) {
    const parts = [plot, range, low, high, hasLane, hasWorse, axis.gaps, data.events, data.devices];
    return JSON.stringify(parts);
  }

  async function readAgain() {
    const { search } = location;
    const answer = await fetch(chart.data.more + search.replace(/([?&])after=[^&]*/, "$1"));
    const data = answer.ok ? await answer.json() : null;
    if (data) renew({ ...data, label: chart.data.label });
  }

  document.addEventListener("htmx:afterSettle", read);
  // The first result brings the chart.
  document.addEventListener("xeenet:refreshed", read);
  document.addEventListener("xeenet:points", ({ detail }) => append(detail));
  read();
})((window.XeeNetHero ??= {}));
