// Draws the hero chart as SVG: its frame, its marks as few long paths, its labels. Colours come from
// hero.css by class. No state: everything it needs is in the chart that it is given.

"use strict";

((Hero) => {
  const SVG = "http://www.w3.org/2000/svg";
  const LANE = 12;
  const GAP = 6;
  const AXIS = 20;
  const RADIUS = 2.6;
  const NARROW = 560;
  // The median may move by this share of the range before the range follows.
  const STICKY = 0.1;
  // Room for labels on the side of the better values.
  const ROOM_BEST = 20;
  const ROOM_WORST = 4;

  function element(name, attributes = {}, parent = null, text = "") {
    const made = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    if (text) made.textContent = text;
    if (parent) parent.append(made);
    return made;
  }

  // --- Shapes: paths around 0, 0 --------------------------------------------------------------------

  const r = RADIUS;
  const number = (value) => Math.round(value * 10) / 10;
  const at = (x, y) => `M${number(x)} ${number(y)}`;
  // One for each kind of device; further kinds begin again.
  const SHAPES = [
    (x, y, k = 1) => `${at(x - r * k, y)}a${r * k} ${r * k} 0 1 0 ${2 * r * k} 0a${r * k} ${r * k} 0 1 0 ${-2 * r * k} 0`,
    (x, y, k = 1) => `${at(x - 2.3 * k, y - 2.3 * k)}h${4.6 * k}v${4.6 * k}h${-4.6 * k}z`,
    (x, y, k = 1) => `${at(x, y - 3.2 * k)}l${3.2 * k} ${5.6 * k}h${-6.4 * k}z`,
    (x, y, k = 1) => `${at(x, y - 3.6 * k)}l${3.6 * k} ${3.6 * k}l${-3.6 * k} ${3.6 * k}l${-3.6 * k} ${-3.6 * k}z`,
    (x, y, k = 1) => `${at(x, y + 3.2 * k)}l${3.2 * k} ${-5.6 * k}h${-6.4 * k}z`,
  ];
  const TICK = (x, y) => `${at(x, y - 4)}v8`;
  const LANE_SHAPES = {
    x: (x, y) => `${at(x - 3, y - 3)}l6 6M${number(x + 3)} ${number(y - 3)}l-6 6`,
    n: (x, y) => `${at(x - 3.2, y)}a3.2 3.2 0 1 0 6.4 0a3.2 3.2 0 1 0 -6.4 0M${number(x + 3.4)} ${number(y - 4)}l-6.8 8`,
    l: (x, y) => `${at(x, y - 4)}l4 4l-4 4l-4 -4z`,
    s: (x, y) => `${at(x - 4, y)}c1.3 -4 2.7 -4 4 0s2.7 4 4 0`,
    i: (x, y) => `${at(x - 3.2, y)}a3.2 3.2 0 1 0 6.4 0a3.2 3.2 0 1 0 -6.4 0`,
  };

  // --- Layout --------------------------------------------------------------------------------------

  // Return where everything lies: the plot, its lanes, and the functions from data to pixels.
  function layout(chart, measure) {
    const { data, width, height, zoom } = chart;
    const counted = data.points.filter((point) => point.counts).map((point) => point.value);
    const valued = counted.length ? counted : data.points.filter((p) => p.value !== null).map((p) => p.value);
    const full = keptRange(chart, Hero.valueRange(valued, data));
    const range = zoom.y ?? full;
    const isWorse = (value) => (data.maximised ? value < range.worst : value > range.worst);
    const hasWorse = Boolean(range) && data.points.some((point) => point.value !== null && isWorse(point.value));
    const hasLane = data.points.some((point) => point.value === null);
    const below = AXIS + (hasLane ? LANE + GAP : 0);
    const above = (data.maximised || !hasWorse ? 0 : LANE + GAP) + 6;
    const plot = { top: above, bottom: height - below - (data.maximised && hasWorse ? LANE + GAP : 0) };
    const worseY = data.maximised ? plot.bottom + GAP + LANE / 2 : LANE / 2 + 1;
    const laneY = height - AXIS - LANE / 2;

    let ticks = [];
    let toY = () => (plot.top + plot.bottom) / 2;
    if (range) {
      const best = data.maximised ? plot.top + ROOM_BEST : plot.bottom - ROOM_BEST;
      const worst = data.maximised ? plot.bottom - ROOM_WORST : plot.top + ROOM_WORST;
      const perUnit = (worst - best) / (range.worst - range.best);
      toY = (value) => best + (value - range.best) * perUnit;
      const valueAt = (y) => range.best + (y - best) / perUnit;
      const ends = [valueAt(plot.top), valueAt(plot.bottom)].sort((a, b) => a - b);
      ticks = Hero.valueTicks(ends[0], ends[1], Math.max(2, Math.floor((plot.bottom - plot.top) / 22)));
      plot.valueAt = valueAt;
    }
    const names = [...ticks.map((tick) => tick.text), hasLane ? "no value" : "", hasWorse ? "worse" : ""];
    plot.left = 8 + Math.ceil(Math.max(20, ...names.map((name) => measure(name).width)));
    const gutter = gutterLines(chart, { range, plot, toY }).map((line) => measure(line).width);
    plot.right = width - Math.ceil(Math.min(0.4 * width, Math.max(0, ...gutter) + (gutter.length ? 22 : 8)));

    const axis = xAxis(chart);
    const low = zoom.x?.[0] ?? axis.low;
    const high = zoom.x?.[1] ?? axis.high;
    const perX = (plot.right - plot.left) / (high - low || 1);
    const toX = (place) => plot.left + (place - low) * perX;
    const xAt = (x) => low + (x - plot.left) / perX;
    return {
      ...{ plot, range, full, isWorse, hasWorse, hasLane, worseY, laneY, toY, ticks },
      ...{ axis, low, high, toX, xAt, axisY: height - AXIS + 14 },
    };
  }

  // Keep the range of values while it still fits, so that an append moves nothing.
  function keptRange(chart, range) {
    const { kept, data } = chart;
    if (kept.range && range) {
      const most = STICKY * Math.abs(range.worst - range.best);
      const isBeyond = data.maximised ? range.best > kept.range.best : range.best < kept.range.best;
      const moved = ["best", "worst"].map((end) => Math.abs(range[end] - kept.range[end]));
      if (!isBeyond && Math.max(...moved) <= most) return kept.range;
    }
    kept.range = range;
    return range;
  }

  // The same for the end of the x axis.
  function keptHigh(chart, end, room) {
    const { kept, mode } = chart;
    const old = kept.high?.mode === mode ? kept.high.value : null;
    if (old === null || end > old || old > end + 3 * room) kept.high = { mode, value: end + room };
    return kept.high.value;
  }

  function gutterLines(chart, view) {
    return [...labelLines(chart), ...anchorsInside(chart.data, view).map(([name, value]) => anchorText(name, value))];
  }

  // Return the lines beside the value of the board's first arm; on a phone they are shorter.
  function labelLines({ data: { label }, width }) {
    if (!label) return [];
    const { text, half_text: half, who } = label;
    if (width < NARROW) return [text, ...(half ? [half] : []), ...who.split(", ")];
    return [half ? `${text} ${half}` : text, who];
  }

  function anchorsInside(data, { range, plot, toY }) {
    if (!range) return [];
    return data.anchors.filter(([, value]) => toY(value) >= plot.top && toY(value) <= plot.bottom);
  }

  const anchorText = (name, value) => `${name} ${value.toFixed(2)}`;

  // Return the x axis of the chosen kind: the place of a point, of an instant, and the ticks.
  function xAxis(chart) {
    const { data, mode } = chart;
    const { points } = data;
    const last = points.at(-1);
    const ends = { order: last.order, spent: last.spent, clock: last.at }[mode];
    // Room, so that the next results need no other scale.
    const room = (extent) => Math.max(extent * 0.03, mode === "order" ? 1 : 0.001);
    if (mode === "clock") {
      const gaps = Hero.longGaps(points.map((point) => point.at));
      const cut = Hero.withoutGaps(gaps);
      const low = cut.place(points[0].at);
      const high = cut.place(ends);
      return {
        ...{ gaps, of: (point) => cut.place(point.at), ofTime: cut.place },
        ...{ low: low - room(high - low), high: keptHigh(chart, high, room(high - low)) },
        ticks: (from, to, most) => Hero.clockTicks(from, to, most, data.since, cut),
      };
    }
    const key = mode === "order" ? "order" : "spent";
    const ticksOf = mode === "order" ? Hero.orderTicks : Hero.durationTicks;
    const ofTime = (time) => {
      const before = points.findLastIndex((point) => point.at <= time);
      if (before < 0) return (points[0][key] + Math.max(0, points[0][key] - 1)) / 2;
      const following = points[before + 1] ?? { [key]: points[before][key] + room(ends) };
      return (points[before][key] + following[key]) / 2;
    };
    return { gaps: [], of: (point) => point[key], ofTime, low: 0, high: keptHigh(chart, ends, room(ends)), ticks: ticksOf };
  }

  // --- Marks ---------------------------------------------------------------------------------------

  // Return the pixel of a point, null if the zoom leaves it out.
  function pixelOf(point, view, data) {
    const place = view.axis.of(point);
    if (place < view.low || place > view.high) return null;
    const x = view.toX(place);
    if (point.value === null) return { x, y: view.laneY };
    if (!view.range || view.isWorse(point.value)) return { x, y: view.worseY, isTick: true };
    const y = view.toY(point.value);
    return y > view.plot.bottom || y < view.plot.top ? null : { x, y };
  }

  // Draw points into a group: one path for each class of marks, however many points it has.
  function drawMarks(points, chart, group) {
    const paths = new Map();
    const add = (name, d) => {
      if (!paths.has(name)) paths.set(name, []);
      paths.get(name).push(d);
    };
    for (const point of points) {
      const pixel = pixelOf(point, chart.view, chart.data);
      chart.pixels.push(pixel);
      if (!pixel) continue;
      const other = point.counts ? "" : " other";
      if (point.value === null) add(`mark ${point.kind}`, LANE_SHAPES[point.kind](pixel.x, pixel.y));
      else if (pixel.isTick) add(`tick${other}`, TICK(pixel.x, pixel.y));
      else add(`dot${other}`, shapeOf(point, chart.data)(pixel.x, pixel.y));
    }
    for (const [name, shapes] of paths) {
      element("path", { class: name, d: shapes.join(""), "data-points": shapes.length }, group);
    }
  }

  function shapeOf(point, { devices }) {
    return SHAPES[Math.max(0, devices.indexOf(point.device)) % SHAPES.length];
  }

  // Return the corners of the running best: [x, y] of each new best, and the end.
  function stepOf(chart) {
    const { data, view } = chart;
    if (!data.ordered || !view.range) return [];
    const corners = Hero.records(data.points, data.maximised).map((point) => ({
      point,
      x: view.toX(view.axis.of(point)),
      y: view.toY(point.value),
    }));
    return corners;
  }

  function drawStep(chart, group) {
    const { view, data } = chart;
    const corners = stepOf(chart);
    if (!corners.length) return corners;
    const end = Math.min(view.toX(view.axis.of(data.points.at(-1))), view.plot.right);
    // The end of the last step is drawn a little longer than its point, so that it is seen.
    const until = Math.max(end, Math.min(corners.at(-1).x + 4, view.plot.right));
    const limit = (y) => number(Math.max(-2000, Math.min(4000, y)));
    if (data.band) {
      const half = Math.abs(view.toY(view.range.best + data.band) - view.toY(view.range.best));
      const boxes = corners.map(({ x, y }, row) => {
        const to = corners[row + 1]?.x ?? until;
        return `M${number(x)} ${limit(y - half)}H${number(to)}V${limit(y + half)}H${number(x)}z`;
      });
      element("path", { class: "band", d: boxes.join("") }, group);
    }
    const line = corners.map(({ x, y }, row) => (row ? `H${number(x)}V${limit(y)}` : `M${number(x)} ${limit(y)}`));
    element("path", { class: "step", d: `${line.join("")}H${number(until)}` }, group);
    return corners;
  }

  Object.assign(Hero, {
    element,
    layout,
    labelLines,
    anchorsInside,
    anchorText,
    pixelOf,
    drawMarks,
    drawStep,
    shapeOf,
    SHAPES,
    LANE_SHAPES,
    MARK_LANE: LANE,
  });
})((window.XeeNetHero ??= {}));
