// Where the labels of the hero chart stand: no box touches another, and where there is a choice, a
// label covers as few points as possible. Pure: boxes in, boxes out.

"use strict";

((Hero) => {
  // Free pixels around a label.
  const ROOM = 3;
  const CELL = 6;
  const MOST_COVERED = 4;

  // How many pixels of a picture are covered, cell by cell, so that a box costs four look-ups.
  function coverage(width, height) {
    const columns = Math.ceil(width / CELL) + 1;
    const rows = Math.ceil(height / CELL) + 1;
    const cells = new Float32Array(columns * rows);
    const sums = new Float32Array((columns + 1) * (rows + 1));
    const clamp = (cell, most) => Math.max(0, Math.min(most, cell));
    return {
      add(x, y, weight) {
        const column = Math.floor(x / CELL);
        const row = Math.floor(y / CELL);
        if (column < 0 || row < 0 || column >= columns || row >= rows) return;
        cells[row * columns + column] += weight;
      },
      // Call it once, after the last `add`.
      close() {
        for (let row = 0; row < rows; row += 1) {
          let sum = 0;
          for (let column = 0; column < columns; column += 1) {
            sum += cells[row * columns + column];
            sums[(row + 1) * (columns + 1) + column + 1] = sums[row * (columns + 1) + column + 1] + sum;
          }
        }
      },
      of(box) {
        const left = clamp(Math.floor(box.x / CELL), columns);
        const right = clamp(Math.floor((box.x + box.width) / CELL) + 1, columns);
        const top = clamp(Math.floor(box.y / CELL), rows);
        const bottom = clamp(Math.floor((box.y + box.height) / CELL) + 1, rows);
        const at = (row, column) => sums[row * (columns + 1) + column];
        return at(bottom, right) - at(top, right) - at(bottom, left) + at(top, left);
      },
    };
  }

  function touches(one, other) {
    return (
      one.x < other.x + other.width + ROOM &&
      other.x < one.x + one.width + ROOM &&
      one.y < other.y + other.height + ROOM - 2 &&
      other.y < one.y + one.height + ROOM - 2
    );
  }

  function inside(box, bounds) {
    return (
      box.x >= bounds.x &&
      box.y >= bounds.y &&
      box.x + box.width <= bounds.x + bounds.width &&
      box.y + box.height <= bounds.y + bounds.height
    );
  }

  // Return the box of lines, the first of whose baselines begins, is centred or ends at x, y.
  function boxOf(lines, { x, y, anchor = "start" }, measure) {
    const sizes = lines.map(measure);
    const width = Math.max(...sizes.map((size) => size.width));
    const shift = { start: 0, middle: width / 2, end: width }[anchor];
    const pitch = sizes[0].ascent + sizes[0].descent;
    return { x: x - shift, y: y - sizes[0].ascent, width, height: pitch * lines.length };
  }

  // Place labels, the first ones first. Each has `tiers` of choices {lines, x, y, anchor}, of which the
  // first tier says most; perhaps `bounds`, within which its box must lie, and the `widest` it may be.
  // A label without a free place is left out. `measure(text)` gives {width, ascent, descent}. Returns
  // the labels with `place` and `box`.
  function place(labels, { measure, covered }) {
    const boxes = [];
    const placed = [];
    for (const label of labels) {
      let chosen = null;
      for (const tier of label.tiers) {
        for (const choice of tier) {
          const box = boxOf(choice.lines, choice, measure);
          if (label.bounds && !inside(box, label.bounds)) continue;
          if (box.width > (label.widest ?? Infinity) || boxes.some((other) => touches(box, other))) continue;
          const cost = covered.of(box);
          if (!chosen || cost < chosen.cost - 0.5) chosen = { choice, box, cost };
        }
        // A text that covers many points is worth less than a shorter one that covers few.
        if (chosen && chosen.cost <= MOST_COVERED) break;
      }
      if (!chosen) continue;
      boxes.push(chosen.box);
      placed.push({ ...label, place: chosen.choice, box: chosen.box });
    }
    return placed;
  }

  Object.assign(Hero, { coverage, boxOf, place, touches });
})((window.XeeNetHero ??= {}));
