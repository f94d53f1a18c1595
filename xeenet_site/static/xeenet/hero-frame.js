// The frame of the hero chart: grid, axes, lanes, events and anchors, and all of its labels, which are
// placed together so that none touches another.

"use strict";

((Hero) => {
  const { element } = Hero;
  // Parts of a change that a label names at most, and its share of the plot's width, or its pixels.
  // What a label loses that a step line crosses: more than by a few points.
  const ACROSS = 6;
  const MOST_PARTS = 3;
  const WIDEST = 0.42;
  const LEAST_WIDEST = 140;
  // Lines below each other at the top of the plot for what happened.
  const EVENT_ROWS = 3;

  function drawFrame(chart, group) {
    const { view } = chart;
    const { plot } = view;
    const line = (name, x1, y1, x2, y2) => element("path", { class: name, d: `M${x1} ${y1}L${x2} ${y2}` }, group);
    for (const tick of view.ticks) {
      const y = Math.round(view.toY(tick.value)) + 0.5;
      if (y > plot.top && y < plot.bottom) line("grid", plot.left, y, plot.right, y);
    }
    line("axis", plot.left, Math.round(plot.bottom) + 0.5, plot.right, Math.round(plot.bottom) + 0.5);
    if (view.hasWorse && !chart.data.maximised) line("grid", plot.left, plot.top + 0.5, plot.right, plot.top + 0.5);
  }

  // Return the labels of the chart in the order in which they take their places.
  function labelsOf(chart, corners) {
    return [
      ...axisLabels(chart),
      ...emptyLabel(chart),
      ...endLabel(chart),
      ...changeLabels(chart, corners),
      ...anchorLabels(chart),
      ...gapLabels(chart),
      ...eventLabels(chart),
    ];
  }

  function axisLabels({ view, width }) {
    const { plot } = view;
    const middle = 4;
    const left = (name, text, y) => ({ name, tiers: [[{ lines: [text], x: plot.left - 8, y: y + middle, anchor: "end" }]] });
    const labels = [];
    if (view.hasLane) labels.push(left("lane-name", "no value", view.laneY));
    if (view.hasWorse) labels.push(left("lane-name", "worse", view.worseY));
    for (const tick of view.ticks) {
      const y = view.toY(tick.value);
      if (y >= plot.top && y <= plot.bottom) labels.push(left("tick-label", tick.text, y));
    }
    const most = Math.max(2, Math.floor((plot.right - plot.left) / 80));
    for (const tick of view.axis.ticks(view.low, view.high, most)) {
      const x = view.toX(tick.value);
      if (x < plot.left - 1 || x > plot.right + 1) continue;
      const tiers = [[{ lines: [tick.text], x, y: view.axisY, anchor: "middle" }]];
      labels.push({ name: "tick-label", tiers, bounds: { x: 0, y: 0, width, height: Infinity } });
    }
    return labels;
  }

  function emptyLabel({ view }) {
    if (view.range) return [];
    const { left, right, top, bottom } = view.plot;
    const choice = { lines: ["No result has a value"], x: (left + right) / 2, y: (top + bottom) / 2 + 4, anchor: "middle" };
    return [{ name: "event-label", tiers: [[choice]] }];
  }

  // The value of the board's first arm, with its interval: at the right end, on the axis of values.
  function endLabel(chart) {
    const { data, view, width, height } = chart;
    const lines = Hero.labelLines(chart);
    if (!lines.length || !view.range) return [];
    const x = view.plot.right + 16;
    const y = Math.max(view.plot.top + 8, Math.min(view.plot.bottom - 2, view.toY(data.label.value)));
    const bounds = { x: 0, y: 0, width: width + 2, height };
    const choices = [-10, 0, -18, 6, -26, 14, -40, 28].map((shift) => ({ lines, x, y: y + 4 + shift, anchor: "start" }));
    return [{ name: "end-label", tiers: choices.map((choice) => [choice]), bounds, strong: 1 }];
  }

  // What each new best changed: below its step, where no point can be, or else beside it; of a step
  // that soon goes on to the next, behind its end.
  function changeLabels({ data, view }, corners) {
    const { plot } = view;
    const down = data.maximised ? -1 : 1;
    const labels = [];
    for (const [row, { point, x, y }] of [...corners.entries()].reverse()) {
      const next = corners[row + 1];
      const parts = data.changes[point.number];
      if (!parts || y < plot.top || y > plot.bottom || x < plot.left || x > plot.right) continue;
      const tiers = [];
      const beneath = y + (down > 0 ? 14 : -6);
      const over = y + (down > 0 ? -6 : 14);
      for (let count = Math.min(parts.length, MOST_PARTS); count >= Math.min(1, parts.length); count -= 1) {
        const lines = [changeText(parts.slice(0, count))];
        tiers.push([
          { lines, x: x + 2, y: beneath, anchor: "start" },
          { lines, x: x - 4, y: beneath, anchor: "end" },
          { lines, x: x + 5, y: over, anchor: "start" },
          ...(next ? [{ lines, x: next.x + 6, y: y + 4, anchor: "start" }] : []),
        ]);
      }
      const width = plot.right - plot.left;
      labels.push({
        ...{ name: "change-label", tiers, title: changeText(parts), widest: Math.max(LEAST_WIDEST, WIDEST * width) },
        bounds: { x: plot.left + 2, y: plot.top + 1, width: width - 4, height: plot.bottom - plot.top - 2 },
      });
    }
    return labels;
  }

  // Nothing changed: the same arm ran again, and was luckier.
  const changeText = (parts) => (parts.length ? `+ ${parts.join(", ")}` : "another seed");

  function anchorLabels(chart) {
    const { data, view, width, height } = chart;
    const x = view.plot.right + 16;
    return Hero.anchorsInside(data, view).map(([name, value]) => {
      const y = view.toY(value) + 4;
      const lines = [Hero.anchorText(name, value)];
      const shifts = [0, ...Array.from({ length: 8 }, (_, row) => [-8 * (row + 1), 8 * (row + 1)]).flat()];
      const tiers = shifts.map((shift) => [{ lines, x, y: y + shift, anchor: "start", from: y }]);
      return { name: "anchor-label", tiers, bounds: { x: 0, y: 0, width: width + 2, height } };
    });
  }

  function rowsAtTop(plot) {
    return Array.from({ length: EVENT_ROWS }, (_, row) => plot.top + 13 + 16 * row);
  }

  function gapLabels({ data, view }) {
    const { plot } = view;
    return view.axis.gaps.flatMap((gap) => {
      const x = (view.toX(view.axis.ofTime(gap.from)) + view.toX(view.axis.ofTime(gap.to))) / 2;
      if (x < plot.left || x > plot.right) return [];
      const long = Hero.brief(gap.to - gap.from);
      const reason = Hero.reasonOf(gap, data);
      const texts = reason ? [`${long}, ${reason}`, long] : [long];
      const rows = rowsAtTop(plot);
      const tiers = texts.map((text) => rows.map((y) => ({ lines: [text], x, y, anchor: "middle" })));
      return [{ name: "event-label", tiers, bounds: within(plot) }];
    });
  }

  function within(plot) {
    return { x: plot.left + 2, y: plot.top, width: plot.right - plot.left - 4, height: plot.bottom - plot.top };
  }

  function eventLabels({ data, view }) {
    const { plot } = view;
    return eventsIn(data, view).map(({ x, words, seconds }) => {
      const text = seconds === null ? words : `${words} ${Hero.brief(seconds)}`;
      const choices = rowsAtTop(plot).flatMap((y) => [
        { lines: [text], x: x + 4, y, anchor: "start" },
        { lines: [text], x: x - 4, y, anchor: "end" },
      ]);
      return { name: "event-label", tiers: [choices], bounds: within(plot) };
    });
  }

  // Return the events inside the plot, the newest first; a pause that the clock leaves out is its gap.
  function eventsIn(data, view) {
    const isCut = (at) => view.axis.gaps.some(({ from, to }) => at >= from && at < to);
    return data.events
      .map(([at, words, seconds]) => ({ at, words, seconds, x: view.toX(view.axis.ofTime(at)) }))
      .filter(({ at, x, words }) => x >= view.plot.left && x <= view.plot.right && !(words === "paused" && isCut(at)))
      .reverse();
  }

  function drawEvents({ data, view }, group) {
    const { top, bottom } = view.plot;
    const hairline = (x, name) => element("path", { class: name, d: `M${Math.round(x) + 0.5} ${top}V${bottom}` }, group);
    for (const { x, words, seconds, at } of eventsIn(data, view)) {
      const drawn = hairline(x, "event");
      element("title", {}, drawn, seconds === null ? words : `${words} ${Hero.duration(seconds)}`);
      const until = seconds === null ? x : view.toX(view.axis.ofTime(at + seconds));
      if (until - x > 6 && until <= view.plot.right) hairline(until, "event");
    }
    for (const gap of view.axis.gaps) {
      const from = view.toX(view.axis.ofTime(gap.from));
      const to = view.toX(view.axis.ofTime(gap.to));
      if (from < view.plot.left || to > view.plot.right) continue;
      const x = (from + to) / 2;
      element("path", { class: "cut", d: `M${x - 4} ${bottom + 5}l4 -10M${x} ${bottom + 5}l4 -10` }, group);
    }
  }

  function drawAnchors(chart, group) {
    const { data, view } = chart;
    for (const [, value] of Hero.anchorsInside(data, view)) {
      const y = Math.round(view.toY(value)) + 0.5;
      element("path", { class: "anchor", d: `M${view.plot.left} ${y}H${view.plot.right + 4}` }, group);
    }
  }

  function drawValue({ data, view }, group) {
    const { label } = data;
    if (!label || !view.range) return;
    const y = view.toY(label.value);
    if (y < view.plot.top || y > view.plot.bottom) return;
    const x = view.plot.right + 6;
    if (label.half) {
      const ends = [view.toY(label.value - label.half), view.toY(label.value + label.half)];
      const [from, to] = ends.map((end) => Math.max(view.plot.top, Math.min(view.plot.bottom, end)));
      element("path", { class: "whisker", d: `M${x} ${from}V${to}` }, group);
    }
    element("circle", { class: "value", cx: x, cy: y, r: 4 }, group);
  }

  // Place and draw all labels. The points of the chart are what they should not cover.
  function drawLabels(chart, corners, group) {
    const { view, width, height, measure } = chart;
    const covered = Hero.coverage(width, height);
    for (const pixel of chart.pixels) if (pixel) covered.add(pixel.x, pixel.y, 1);
    for (const [row, { x, y }] of corners.entries()) {
      const to = corners[row + 1] ?? { x: view.plot.right, y };
      for (let along = x; along < to.x; along += 6) covered.add(along, y, 1.5);
      for (let along = Math.min(y, to.y); along < Math.max(y, to.y); along += 6) covered.add(to.x, along, ACROSS);
    }
    for (const { x } of eventsIn(chart.data, view)) {
      for (let y = view.plot.top; y < view.plot.bottom; y += 6) covered.add(x, y, 0.6);
    }
    covered.close();
    const labels = labelsOf(chart, corners);
    for (const { name, place, title, strong = 0 } of Hero.place(labels, { measure, covered })) {
      // A label that had to move away is joined to its line.
      if (place.from && Math.abs(place.y - place.from) > 4) {
        const d = `M${place.x - 12} ${place.from - 4}L${place.x - 2} ${place.y - 4}`;
        element("path", { class: "anchor", d }, group);
      }
      const pitch = measure(place.lines[0]).ascent + measure(place.lines[0]).descent;
      for (const [row, text] of place.lines.entries()) {
        const kind = row < strong ? `label ${name} strong` : `label ${name}`;
        const [x, y] = [Math.round(place.x), Math.round(place.y + row * pitch)];
        const drawn = element("text", { class: kind, x, y, "text-anchor": place.anchor }, group, text);
        if (title && title !== text) element("title", {}, drawn, title);
      }
    }
  }

  Object.assign(Hero, { drawFrame, drawEvents, drawAnchors, drawValue, drawLabels });
})((window.XeeNetHero ??= {}));
