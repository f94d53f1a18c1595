// Scales of the hero chart: which values it shows, where time is cut, which ticks it has. Pure.

"use strict";

((Hero) => {
  // Below so many values the median would hide half of very little.
  const FEW = 12;
  // A gap of more than so many median gaps is cut out of the clock, and drawn as one of this length. To
  // cut less than this share of all would gain nothing.
  const LONG_GAP = 5;
  const LEAST_SHARE = 0.03;
  // The smallest range of values, in units of their last decimal and of the noise.
  const LEAST_UNITS = 20;
  const LEAST_NOISES = 4;

  function median(sorted) {
    const middle = sorted.length >> 1;
    return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
  }

  // Return {best, worst}: the values between which results are drawn as points. All others are worse,
  // and stand in their lane. null without any value.
  function valueRange(values, { maximised, decimals, band }) {
    if (!values.length) return null;
    const sign = maximised ? -1 : 1;
    const sorted = values.map((value) => sign * value).sort((first, second) => first - second);
    const best = sorted[0];
    const middle = median(sorted);
    let worst = middle;
    if (sorted.length < FEW) worst = Math.min(sorted.at(-1), best + 4 * (middle - best));
    const least = Math.max(LEAST_UNITS * 10 ** -decimals, LEAST_NOISES * (band ?? 0));
    worst = Math.max(worst, best + least);
    return { best: sign * best, worst: sign * worst };
  }

  // Return the gaps between rising times that are cut: [{from, to}].
  function longGaps(times) {
    const gaps = [];
    for (let row = 1; row < times.length; row += 1) gaps.push(times[row] - times[row - 1]);
    const positive = gaps.filter((gap) => gap > 0).sort((first, second) => first - second);
    if (positive.length < 3) return [];
    const most = LONG_GAP * median(positive);
    const least = Math.max(most, LEAST_SHARE * (times.at(-1) - times[0]));
    return gaps.flatMap((gap, row) => (gap > least ? [{ from: times[row], to: times[row + 1], keep: most }] : []));
  }

  // Return the function from a time to its place on an axis without these gaps, and its inverse.
  function withoutGaps(gaps) {
    const place = (time) => {
      let cut = 0;
      for (const { from, to, keep } of gaps) {
        if (time >= to) cut += to - from - keep;
        else if (time > from) return from - cut + ((time - from) / (to - from)) * keep;
      }
      return time - cut;
    };
    const timeAt = (position) => {
      let cut = 0;
      for (const { from, to, keep } of gaps) {
        const start = from - cut;
        if (position < start) break;
        if (position < start + keep) return from + ((position - start) / keep) * (to - from);
        cut += to - from - keep;
      }
      return position + cut;
    };
    return { place, timeAt };
  }

  // Say why a gap is there, from the pauses and the spans without a worker, if one covers most of it.
  function reasonOf(gap, { events, idle }) {
    const covers = (from, to) => Math.min(to, gap.to) - Math.max(from, gap.from) > (gap.to - gap.from) / 2;
    const paused = events.some(([at, words, seconds]) => words === "paused" && covers(at, at + (seconds ?? Infinity)));
    if (paused) return "paused";
    return idle.some(([from, to]) => covers(from, to)) ? "no worker" : "";
  }

  // --- Ticks ---------------------------------------------------------------------------------------

  function niceStep(span, most) {
    const rough = span / Math.max(1, most);
    const power = 10 ** Math.floor(Math.log10(rough));
    return power * [1, 2, 5, 10].find((factor) => factor * power >= rough * 0.999);
  }

  function multiples(low, high, step) {
    const ticks = [];
    for (let number = Math.ceil(low / step - 1e-9); number * step <= high + step * 1e-9; number += 1) {
      ticks.push(number * step);
      if (ticks.length > 100) break;
    }
    return ticks;
  }

  function valueTicks(low, high, most) {
    const step = niceStep(high - low, most);
    const decimals = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
    return multiples(low, high, step).map((value) => ({ value, text: value.toFixed(Math.min(decimals, 12)) }));
  }

  function orderTicks(low, high, most) {
    const step = Math.max(1, niceStep(high - low, most));
    return multiples(Math.max(0, low), high, step).map((value) => ({ value, text: grouped(value) }));
  }

  function grouped(number) {
    return String(Math.round(number)).replace(/\B(?=(\d{3})+$)/g, "\u202f");
  }

  const SECONDS = [1, 2, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 7200, 21600, 43200, 86400];

  function secondStep(span, most) {
    const rough = span / Math.max(1, most);
    return SECONDS.find((step) => step >= rough) ?? 86400 * niceStep(span / 86400, most);
  }

  function durationTicks(low, high, most) {
    const step = secondStep(high - low, most);
    return multiples(Math.max(0, low), high, step).map((value) => ({
      value,
      text: value === 0 ? "0" : Hero.brief(value),
    }));
  }

  // Ticks of a clock from which gaps are cut: at whole times (UTC) between the cuts.
  function clockTicks(low, high, most, since, { place, timeAt }) {
    const step = secondStep(high - low, most);
    const first = timeAt(low) + since;
    const last = timeAt(high) + since;
    const days = last - first > 86400;
    const ticks = [];
    // Of a campaign of many days with cuts, most steps lie in the gaps; so walk along the axis.
    let next = Math.ceil(first / step) * step;
    while (next <= last && ticks.length < 100) {
      ticks.push({ value: place(next - since), text: clockText(next, step, days && next % 86400 === 0) });
      const along = timeAt(place(next - since) + step * 0.999) + since;
      next = Math.max(next + step, Math.ceil(along / step) * step);
    }
    return ticks;
  }

  function clockText(seconds, step, isDay) {
    const date = new Date(seconds * 1000);
    const text = date.toISOString();
    if (isDay || step >= 86400) return `${date.getUTCDate()} ${MONTHS[date.getUTCMonth()]}`;
    return step < 60 ? text.slice(11, 19) : text.slice(11, 16);
  }

  const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

  Object.assign(Hero, {
    valueRange,
    longGaps,
    withoutGaps,
    reasonOf,
    valueTicks,
    orderTicks,
    durationTicks,
    clockTicks,
    grouped,
  });
})((window.XeeNetHero ??= {}));
