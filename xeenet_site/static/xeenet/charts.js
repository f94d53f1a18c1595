// Draws every chart of the pages with one look. The server sends {data, layout} as JSON beside each
// .chart element; a colour there is the name of a CSS variable ("var(--accent)"), so light and dark
// come from the style sheet alone.

"use strict";

// Plotly knows no CSS variables: set the colour on an element and read what the browser made of it.
function resolver() {
  const probe = document.body.appendChild(document.createElement("span"));
  const known = new Map();
  const resolve = (value) => {
    if (typeof value === "string" && value.startsWith("var(")) {
      if (!known.has(value)) {
        probe.style.color = value;
        known.set(value, getComputedStyle(probe).color);
      }
      return known.get(value);
    }
    if (Array.isArray(value)) return value.map(resolve);
    if (value !== null && typeof value === "object") {
      return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, resolve(inner)]));
    }
    return value;
  };
  return { resolve, done: () => probe.remove() };
}

const axis = {
  color: "var(--text-soft)",
  gridcolor: "var(--line)",
  linecolor: "var(--line)",
  zeroline: false,
  automargin: true,
  title: { standoff: 8, font: { size: 12 } },
};

function merged(base, own) {
  const result = { ...base };
  for (const [key, value] of Object.entries(own ?? {})) {
    const both = value !== null && typeof value === "object" && !Array.isArray(value) && base[key];
    result[key] = both ? merged(base[key], value) : value;
  }
  return result;
}

function themed(figure) {
  // Dragging zooms charts that ask for it, but only with a mouse: a finger must scroll the page.
  const fixedrange = !(figure.layout.meta?.zooms && matchMedia("(pointer: fine)").matches);
  const layout = {
    ...figure.layout,
    xaxis: merged({ ...axis, fixedrange }, figure.layout.xaxis),
    yaxis: merged({ ...axis, fixedrange }, figure.layout.yaxis),
    font: { family: getComputedStyle(document.body).fontFamily, size: 12, color: "var(--text)" },
    hoverlabel: {
      align: "left",
      bgcolor: "var(--surface)",
      bordercolor: "var(--line-strong)",
      font: { color: "var(--text)" },
    },
    paper_bgcolor: "transparent",
    plot_bgcolor: "transparent",
    margin: { l: 48, r: 16, t: 8, b: 40, ...figure.layout.margin },
    showlegend: false,
    hovermode: "closest",
    autosize: true,
  };
  const colours = resolver();
  const resolved = colours.resolve({ data: figure.data, layout });
  colours.done();
  return resolved;
}

// Points of curves that grow stand in pieces beside the figure (campaigns/charts/growing.py).
function whole(source, pieces) {
  const figure = JSON.parse(source.textContent);
  const byUid = new Map(figure.data.filter(({ uid }) => uid).map((trace) => [trace.uid, trace]));
  for (const piece of pieces) {
    const { uid, ...points } = JSON.parse(piece.textContent);
    const trace = byUid.get(uid);
    for (const [key, added] of Object.entries(points)) (trace[key] ??= []).push(...added);
  }
  return figure;
}

function draw(element, again = false) {
  const source = document.getElementById(element.dataset.figure);
  if (!source) return;
  const pieces = document.getElementById(`${source.id}-points`)?.children ?? [];
  const state = [source, ...pieces].map((part) => part.dataset.v ?? part.textContent).join();
  if (!again && element.drawn === state) return;
  element.drawn = state;
  const { data, layout } = themed(whole(source, pieces));
  Plotly.react(element, data, layout, { displayModeBar: false, responsive: true }).then(() => {
    if (element.opensPoints) return;
    element.opensPoints = true;
    element.on("plotly_click", ({ points }) => {
      const { customdata, data } = points[0];
      // The element has the address of what points open once, with a 0 at its end; the customdata
      // of each point begins with what takes its place (campaigns/charts/figures.py).
      if (!data.meta?.opens) return;
      location.assign(element.dataset.opens.replace(/0\/$/, `${customdata[0]}/`));
    });
  });
}

function drawAll(again) {
  for (const element of document.querySelectorAll(".chart[data-figure]")) draw(element, again);
}

for (const news of ["htmx:afterSettle", "xeenet:refreshed"]) {
  document.addEventListener(news, () => drawAll(false));
}
document.addEventListener("xeenet:theme", () => drawAll(true));
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => drawAll(true));
drawAll(false);
