// The hero chart's data: columns of small numbers from the server (campaigns/charts/hero_columns.py)
// become points, and appended ones join them. No document, no pixels.

"use strict";

((Hero) => {
  function summed(differences) {
    let sum = 0;
    return differences.map((difference) => (sum += difference));
  }

  // Return the points of a chunk. `at` and `spent` are seconds, `value` is null without one
  // that was measured and is believed: such points have no place on the axis of values.
  function decode(chunk, decimals) {
    const columns = chunk.points;
    if (!columns) return [];
    const scale = 10 ** decimals;
    const number = summed(columns.number);
    const at = summed(columns.at);
    const spent = summed(columns.spent);
    const order =
      typeof columns.order === "number" ? number.map((_, row) => columns.order + row) : summed(columns.order);
    return number.map((task, row) => {
      const kind = columns.kind[row];
      const counted = columns.value[row];
      const letter = columns.device[row];
      return {
        number: task,
        arm: task + columns.arm[row],
        order: order[row],
        at: at[row] * chunk.step,
        spent: spent[row] * chunk.step,
        value: counted === null ? null : counted / scale,
        kind,
        counts: kind === "o",
        device: letter === "-" ? "" : columns.devices[letter.charCodeAt(0) - 97],
      };
    });
  }

  // Mark the points that were better than all before them, and return these.
  function records(points, maximised) {
    let best = null;
    return points.filter((point) => {
      if (!point.counts) return false;
      if (best !== null && (maximised ? point.value <= best : point.value >= best)) return false;
      best = point.value;
      return true;
    });
  }

  function model(data) {
    const points = decode(data, data.decimals);
    const devices = [];
    const made = { ...data, points, devices, byNumber: new Map() };
    for (const point of points) note(made, point);
    return made;
  }

  function note(data, point) {
    data.byNumber.set(point.number, point);
    if (point.device && !data.devices.includes(point.device)) data.devices.push(point.device);
  }

  // Let a chunk join the points. Return the new ones, and whether known ones were changed (a task
  // that had failed has a result now) or some are missing, so that the chart must be read again.
  function join(data, chunk) {
    const last = data.points.at(-1);
    if (!chunk.points) return { added: [], stale: chunk.total < data.total };
    const known = last ? last.order : 0;
    const added = [];
    let stale = chunk.from > known + 1;
    let spentBefore = 0;
    let spent = last ? last.spent : 0;
    let order = known;
    for (const point of decode(chunk, data.decimals)) {
      const own = point.spent - spentBefore;
      spentBefore = point.spent;
      const old = data.byNumber.get(point.number);
      if (old) {
        stale ||= old.kind !== point.kind || old.value !== point.value;
        continue;
      }
      // A run that ended earlier and was committed later joins at the end, too.
      spent += own;
      order += 1;
      Object.assign(point, { spent, order, at: Math.max(point.at, data.points.at(-1)?.at ?? 0) });
      data.points.push(point);
      note(data, point);
      added.push(point);
    }
    stale ||= order !== chunk.total;
    data.total = chunk.total;
    Object.assign(data.changes, chunk.changes);
    if ("band" in chunk) data.band = chunk.band;
    if (chunk.label) data.label = chunk.label;
    data.events = mergedBy(data.events, chunk.events ?? [], ([at, words]) => `${at} ${words}`);
    data.idle = mergedBy(data.idle, chunk.idle ?? [], ([from]) => `${from}`);
    return { added, stale };
  }

  function mergedBy(rows, more, keyOf) {
    const all = new Map(rows.map((row) => [keyOf(row), row]));
    for (const row of more) all.set(keyOf(row), row);
    return [...all.values()].sort((first, second) => first[0] - second[0]);
  }

  // --- Words ---------------------------------------------------------------------------------------

  const KINDS = {
    o: "",
    c: "of another class, not in this order",
    s: "simulated, not ranked",
    x: "failed",
    l: "worker lost",
    n: "no value: diverged, or the budget was too small",
    i: "implausible, not counted",
  };

  // As `duration` of xeenet_site/web/formats writes it, and briefer for labels.
  function duration(seconds) {
    if (seconds < 1) return `${Number(seconds.toPrecision(2))} s`;
    if (Math.round(seconds * 10) / 10 < 60) return `${Math.round(seconds * 10) / 10} s`;
    const whole = Math.round(seconds);
    const two = (number) => String(number).padStart(2, "0");
    if (whole < 3600) return `${Math.floor(whole / 60)} m ${two(whole % 60)} s`;
    if (whole < 86400) return `${Math.floor(whole / 3600)} h ${two(Math.floor((whole % 3600) / 60))} m`;
    return `${Math.floor(whole / 86400)} d ${Math.floor((whole % 86400) / 3600)} h`;
  }

  // In the largest unit, and from an hour on in two: for labels.
  function brief(seconds) {
    if (seconds < 3540) return seconds < 59.5 ? `${Math.round(seconds)} s` : `${Math.round(seconds / 60)} m`;
    return duration(60 * Math.round(seconds / 60)).replace(/ 00 m$| 0 h$/, "");
  }

  Object.assign(Hero, { decode, records, model, join, duration, brief, KINDS });
})((window.XeeNetHero ??= {}));
