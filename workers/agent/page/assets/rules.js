// The owner's rules as sliders, hours and ticks. The worker decides what is allowed; the page sends
// what was set, and shows what came of it.
import { byId, list, make, show, write } from "./draw.js";
import { hours } from "./hours.js";
import { Refused, post } from "./talk.js";

const SETTLE = 300; // between the last move of a slider and the request
const gib = (mib) => `${(mib / 1024).toFixed(1).replace(/\.0$/, "")} GB`;
const controls = [];
let machine = null;
let onState = () => {};
let queue = Promise.resolve();

/** A row with a name, something to set, and what that means. */
class Control {
  constructor(place, word, name) {
    this.word = word;
    this.value = make("span", { class: "value" });
    this.why = make("p", { class: "why" });
    this.problem = make("p", { class: "problem", role: "alert" });
    this.row = make("div", { "data-rule": word });
    this.name = name;
    this.isBusy = false; // the person is at it, or the worker has not answered yet
    this.isSent = false;
    byId(place).append(this.row);
    controls.push(this);
    // Whoever moves something there and back has changed nothing.
    for (const end of ["focusout", "pointerup"]) {
      this.row.addEventListener(end, () => setTimeout(() => (this.isBusy = this.isSent)));
    }
  }

  label(input) {
    const id = `rule-${this.word}`;
    input.id = id;
    return make("label", { for: id, class: "name" }, this.name);
  }

  /** Send a value once the person has come to rest. */
  send(text) {
    this.isBusy = this.isSent = true;
    clearTimeout(this.timer);
    this.timer = setTimeout(() => {
      queue = queue.then(() => this.store(text));
    }, SETTLE);
  }

  async store(text) {
    let state = null;
    write(this.problem, "");
    try {
      state = await post("/api/rules", { rules: { [this.word]: text } });
    } catch (error) {
      write(this.problem, error instanceof Refused ? error.message : "The worker does not answer.");
    }
    this.isBusy = this.isSent = false;
    if (state !== null) onState(state);
    else this.draw(this.stored, this.isOutranked); // back to what holds
  }

  update(text, outranked) {
    this.stored = text;
    this.isOutranked = Boolean(outranked);
    write(this.why, outranked ?? "");
    if (!this.isBusy) this.draw(text, this.isOutranked);
  }
}

class Slider extends Control {
  /** `off`: the place of the slider that means no rule. */
  constructor(place, word, name, { range, words, off, read = Number, write: spell = String }) {
    super(place, word, name);
    const [least, most, step] = range;
    this.input = make("input", { type: "range", min: least, max: most, step });
    this.words = words;
    this.off = off;
    this.read = read;
    const spelled = () => (Number(this.input.value) === off ? "off" : spell(Number(this.input.value)));
    this.input.addEventListener("input", () => {
      this.isBusy = true;
      this.say(Number(this.input.value) === off ? null : Number(this.input.value));
    });
    this.input.addEventListener("change", () => this.send(spelled()));
    this.row.className = "slider";
    this.row.append(this.label(this.input), this.input, this.value, this.why, this.problem);
    this.isFixed = least >= most;
  }

  say(number) {
    const text = this.words(number);
    write(this.value, text);
    this.input.setAttribute("aria-valuetext", text);
  }

  draw(text, isOutranked) {
    const number = text === "off" ? null : this.read(text);
    this.input.value = number ?? this.off;
    this.input.disabled = isOutranked || this.isFixed;
    this.say(number);
  }
}

class Tick extends Control {
  constructor(place, word, name, words) {
    super(place, word, name);
    this.input = make("input", { type: "checkbox" });
    const label = this.label(this.input);
    label.className = "tick";
    label.prepend(this.input);
    this.words = words;
    this.input.addEventListener("change", () => this.send(this.input.checked ? "pause" : "work"));
    this.row.append(label, this.value, this.why, this.problem);
  }

  draw(text, isOutranked) {
    this.input.checked = text === "pause";
    this.input.disabled = isOutranked;
    write(this.value, this.words());
  }
}

class Choice extends Control {
  constructor(place, word, name, options) {
    super(place, word, name);
    this.input = make("select", {});
    this.input.append(...options.map(([value, text]) => make("option", { value }, text)));
    this.input.addEventListener("change", () => this.send(this.input.value));
    this.row.append(this.label(this.input), this.input, this.why, this.problem);
  }

  draw(text, isOutranked) {
    this.input.value = text;
    this.input.disabled = isOutranked;
  }
}

class NumberBox extends Control {
  constructor(place, word, name, range) {
    super(place, word, name);
    this.input = make("input", { type: "number", min: range[0], max: range[1], inputmode: "numeric" });
    this.input.addEventListener("input", () => (this.isBusy = true));
    this.input.addEventListener("change", () => this.send(this.input.value));
    this.row.append(this.label(this.input), this.input, this.why, this.problem);
  }

  draw(text, isOutranked) {
    this.input.value = text;
    this.input.disabled = isOutranked;
  }
}

class Hours extends Control {
  constructor(place) {
    super(place, "hours", "Hours");
    this.cells = hours((text) => {
      this.input.value = text;
      this.send(text);
    });
    this.input = make("input", { type: "text", spellcheck: "false", autocomplete: "off" });
    this.input.addEventListener("input", () => (this.isBusy = true));
    this.input.addEventListener("change", () => this.send(this.input.value));
    this.row.append(this.label(this.input), this.input, this.cells.node, this.why, this.problem);
  }

  draw(text, isOutranked) {
    this.input.value = text;
    this.input.disabled = isOutranked;
    this.cells.set(text, isOutranked);
  }
}

function build(rules) {
  const { cores, memory_mib: memory, least_mib: least, slots } = machine;
  const main = "rules-main";
  const more = "rules-more";
  const of = (count) => `${count} of ${cores} ${cores === 1 ? "thread" : "threads"}`;
  new Slider(main, "threads", "Processor", {
    range: [1, cores, 1], off: cores,
    words: (count) => (count === null ? `all ${cores}, if free` : of(count)),
  });
  new Slider(main, "present", "While you are here", {
    range: [0, cores, 1], off: cores, read: (text) => (text === "pause" ? 0 : Number(text)),
    write: (count) => (count === 0 ? "pause" : String(count)),
    words: (count) => (count === null ? "as when you are away" : count === 0 ? "nothing" : of(count)),
  });
  new Slider(main, "memory", "Memory of a task", {
    range: [Math.max(least, 512), Math.floor(memory / 512) * 512, 512], off: Math.floor(memory / 512) * 512,
    words: (mib) => (mib === null ? `90 % of ${gib(memory)}` : `${gib(mib)} of ${gib(memory)}`),
  });
  new Hours(main);
  new Tick(main, "battery", "Only on mains power", () => (rules.has_battery ? "" : "no battery is known here"));
  new Tick(main, "metered", "Not on a metered network", () => "");
  new Slider(more, "slots", "Tasks at a time", {
    range: [1, slots, 1], off: 1, words: (count) => String(count ?? 1),
  });
  new Slider(more, "load", "Stand back when others use", {
    range: [0.5, cores + 0.5, 0.5], off: cores + 0.5,
    words: (count) => (count === null ? "no rule" : `more than ${count} of ${cores} cores`),
  });
  new Slider(more, "free-memory", "Memory that stays free", {
    range: [0, Math.floor(memory / 512) * 512, 512], off: 0,
    words: (mib) => (mib === null ? "no rule" : gib(mib)),
  });
  new Slider(more, "temperature", "Hottest processor", {
    range: [40, 101, 1], off: 101, words: (heat) => (heat === null ? "no rule" : `${heat} °C`),
  });
  new NumberBox(more, "idle", "Minutes without a key until you are away", [0, 1440]);
  new Choice(more, "priority", "Beside your programs", [
    ["off", "low, as without a rule"], ["normal", "normal"], ["low", "low"], ["idle", "idle: only what nobody wants"],
  ]);
}

/** Draw the rules of a state; `changed` gets the state after each change. */
export function drawRules(rules, changed) {
  onState = changed;
  if (machine === null) {
    machine = rules.machine;
    build(rules);
    byId("rules-reset").addEventListener("click", async () => onState(await post("/api/rules/reset")));
  }
  const isBroken = rules.problem !== "";
  write(byId("rules-problem"), rules.problem);
  show(byId("rules-problem"), isBroken);
  show(byId("rules-reset"), isBroken);
  show(byId("rules-all"), !isBroken);
  const { now } = rules;
  for (const control of controls) {
    const outranked = rules.outranked[control.word];
    control.update(outranked ? now[control.word] : rules.values[control.word], outranked);
  }
  const why = now.why_threads ? ` (${now.why_threads})` : "";
  const threads = `${now.threads} ${now.threads === "1" ? "thread" : "threads"}${why}`;
  write(byId("rules-now"), `The next task gets ${threads} and ${gib(Number(now.memory))}.`);
  list(byId("rules-notes"), rules.notes, (note) => make("li", {}, note));
}
