// Small helpers that draw. Whatever came from a server or a script becomes text, never markup.

const SVG = "http://www.w3.org/2000/svg";

export const byId = (id) => document.getElementById(id);

/** Make an element; its children are nodes or texts. */
export function make(name, attributes = {}, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  node.append(...children);
  return node;
}

/** Set a text, only when it is another one: readers of screens are told of each change. */
export function write(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

export function show(node, isShown) {
  node.hidden = !isShown;
}

/** Make the children of a list anew when its values have changed. */
export function list(node, values, build) {
  const key = JSON.stringify(values);
  if (node.drawn === key) return;
  node.drawn = key;
  node.replaceChildren(...values.map(build));
}

/** A link to a page of the server, in a tab of its own. */
export function link(address, child) {
  return make("a", { href: address, target: "_blank", rel: "noopener noreferrer" }, child);
}

/** A campaign's name, with a link to its page if there is one. */
export function campaign(name, address) {
  const title = make("strong", {}, name);
  return address ? link(address, title) : title;
}

const MARKS = {
  idle: "M18 11a7 7 0 1 0 .01 0ZM18 14a4 4 0 1 1 -.01 0Z",
  paused: "M12 10h4v16h-4ZM20 10h4v16h-4Z",
  trouble: "M18 9l10 18h-20Z",
  stopped: "M11 11h14v14h-14Z",
  other: "M18 11a7 7 0 1 0 .01 0Z",
};

/** Draw the ring of a share from 0 to 1; without one the mark of the state. */
export function ring(svg, state, share) {
  const [track, done, mark] = svg.children;
  const isRing = share !== undefined;
  track.style.display = done.style.display = isRing ? "" : "none";
  done.setAttribute("stroke-dasharray", `${100 * (share ?? 0)} 100`);
  done.style.strokeDasharray = `${100 * (share ?? 0)} 100`;
  mark.setAttribute("d", isRing ? "" : MARKS[state] ?? MARKS.other);
}

/** Draw a learning curve of [seconds, value] points; nothing with less than three. */
export function curve(points, words) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("class", "curve");
  svg.setAttribute("viewBox", "0 0 100 100");
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-label", words);
  const last = points.at(-1)[0] || 1;
  const values = points.map(([, value]) => value);
  const low = Math.min(...values);
  const span = Math.max(...values) - low || 1;
  const places = points.map(
    ([seconds, value]) => `${((100 * seconds) / last).toFixed(2)} ${(96 - (92 * (value - low)) / span).toFixed(2)}`,
  );
  const ground = document.createElementNS(SVG, "line");
  for (const [name, value] of [["x1", 0], ["x2", 100], ["y1", 100], ["y2", 100]]) {
    ground.setAttribute(name, value);
  }
  const line = document.createElementNS(SVG, "path");
  line.setAttribute("d", `M${places.join("L")}`);
  svg.append(ground, line);
  return svg;
}
