// The worker's page: it asks the worker what it is doing, and draws the answer.
import { byId, campaign, curve, link, list, make, ring, show, write } from "./draw.js";
import { drawRules } from "./rules.js";
import { Closed, Refused, begin, get, post } from "./talk.js";

const BUSY = 1000; // how often it asks while a task runs …
const CALM = 2000; // … while none does …
const HIDDEN = 30000; // … and while nobody can see the page
const PLAN = 150000; // a plan may try the present torch
const KEPT_LINES = 200;

let linesSeen = -1;
let last = null; // the state that is drawn
let answeredAt = new Date();
let timer = 0;
let isAsking = false;

function drawHead(state) {
  write(byId("name"), state.name);
  write(byId("about"), state.about.join(" · "));
  write(byId("age"), state.age);
  write(byId("version"), `XeeNet worker ${state.version}`);
  document.title = `${state.headline[0]} · ${state.name}`;
  byId("state").dataset.tone = state.tone;
  byId("state").dataset.state = state.state;
  const [first, rest] = byId("headline").children;
  write(first, state.headline[0]);
  write(rest, state.headline[1]);
  const alone = state.tasks.length === 1 ? state.tasks[0] : null;
  write(byId("figures"), alone ? [`task ${alone.number}`, ...alone.figures].join(" · ") : "");
  const training = state.tasks.filter((task) => task.is_training);
  ring(byId("ring"), state.state, training.length ? training[0].share : undefined);
  const { word = "", why = "" } = state.results;
  const badge = byId("badge");
  badge.dataset.word = word;
  write(badge, word);
  badge.title = why;
  show(badge, word);
  write(byId("badge-why"), why);
  show(byId("badge-why"), word === "SIMULATED");
}

/** What the head says of a task that is alone is not said again. */
function drawTask(task, place, tasks) {
  const item = make("li", {});
  if (tasks.length > 1) {
    item.append(campaign(task.campaign, task.address), make("span", { class: "soft" }, `  ${task.number}`));
    if (task.is_training) {
      const words = `How far task ${task.number} is`;
      item.append(make("progress", { max: 1, value: task.share, "aria-label": words }));
    }
    item.append(make("p", {}, task.figures.join(" · ")));
  }
  if (task.params) item.append(make("p", { class: "soft" }, task.params));
  if (task.curve.length > 2) {
    const words = `${task.metric} of this run so far, now ${task.newest}`;
    item.append(curve(task.curve, words), make("p", { class: "soft" }, words));
  }
  if (tasks.length === 1 && task.address) {
    item.append(link(task.address, "Open the campaign"));
  }
  return item;
}

function drawSetup({ setup, lacks }) {
  show(byId("setup"), setup.text || setup.runs);
  write(byId("setup-text"), setup.text ?? "");
  byId("setup-text").className = setup.tone ?? "";
  const bar = byId("setup-share");
  show(bar, setup.runs);
  if (setup.share === null) bar.removeAttribute("value");
  else if (setup.share !== undefined) bar.value = setup.share;
  show(byId("lacks"), lacks);
  write(byId("lacks-why"), lacks);
}

function drawGiven([name, text]) {
  return make("div", {}, make("dt", {}, name), make("dd", {}, text));
}

function drawLog({ count, lines }) {
  const log = byId("log");
  const fresh = lines.slice(Math.max(0, lines.length - (count - Math.max(0, linesSeen))));
  if (count <= linesSeen || !fresh.length) return;
  linesSeen = count;
  const isAtEnd = log.scrollTop + log.clientHeight >= log.scrollHeight - 4;
  const all = [...(log.textContent ? log.textContent.split("\n") : []), ...fresh];
  log.textContent = all.slice(-KEPT_LINES).join("\n");
  if (isAtEnd) log.scrollTop = log.scrollHeight;
}

function drawButtons(state) {
  const { can, tasks } = state;
  const [pause, resume, drain, stop] = ["pause", "resume", "drain", "stop"].map(byId);
  const hadFocus = [pause, resume].includes(document.activeElement);
  show(pause, !can.resume);
  show(resume, can.resume);
  pause.disabled = !can.pause;
  drain.disabled = !can.drain;
  stop.disabled = !can.stop;
  if (hadFocus) (can.resume ? resume : pause).focus();
  show(drain, tasks.length);
  write(drain, tasks.length > 1 ? "Finish these, then stop" : "Finish this one, then stop");
  write(stop, tasks.length ? "Stop now …" : "Stop …");
  write(byId("stop-lost"), state.lost_by_stop);
}

function draw(state) {
  if (last !== null && state.order < last.order) return; // overtaken by a later answer
  last = state;
  answeredAt = new Date();
  show(byId("closed"), false);
  show(byId("page"), true);
  show(byId("away"), false);
  drawHead(state);
  list(byId("tasks"), state.tasks, drawTask);
  list(byId("then"), state.then, (text) => make("li", {}, text));
  const apart = state.state === "trouble" ? [] : state.troubles; // the headline has them
  list(byId("troubles"), apart, ({ text, tone }) => make("li", { class: tone }, text));
  drawSetup(state);
  list(byId("given"), state.given, drawGiven);
  drawLog(state.log);
  drawButtons(state);
  drawRules(state.rules, draw);
  if (byId("ran").open) drawRan();
}

let ranKey = "";
async function drawRan() {
  const key = JSON.stringify([last.given, last.about]);
  if (key === ranKey) return;
  ranKey = key;
  const { tasks, sight } = await get("/api/tasks");
  list(byId("sight"), sight, drawGiven);
  show(byId("ran-none"), !tasks.length);
  list(byId("ran-tasks"), tasks, (task) => {
    const item = make("li", {}, `${task.when}  ${task.number}  `, campaign(task.campaign, task.address));
    item.append(make("p", task.tone ? { class: task.tone } : {}, task.result));
    if (task.why) item.append(make("p", { class: "soft" }, task.why));
    if (task.said) item.append(make("p", { class: "soft" }, task.said));
    return item;
  });
}

/** The last that is known, with what it means that nothing new comes. */
function drawAway() {
  for (const id of ["pause", "resume", "drain", "stop"]) byId(id).disabled = true;
  if (last.state === "draining" || last.state === "stopped") {
    drawHead({ ...last, state: "stopped", tone: "soft", headline: ["Stopped", ". Start it again with xeenet-worker."], tasks: [] });
    byId("tasks").replaceChildren();
    return;
  }
  const since = answeredAt.toLocaleTimeString();
  write(byId("away"), `No answer since ${since}. It has ended, or serves this page no more: xeenet-worker open.`);
  show(byId("away"), true);
}

function close(error) {
  const own = error instanceof Closed ? error.message : "The worker does not answer.";
  write(byId("closed-why"), own);
  show(byId("page"), false);
  show(byId("closed"), true);
}

function later() {
  clearTimeout(timer);
  const pace = last?.tasks.length ? BUSY : CALM;
  timer = setTimeout(ask, document.hidden ? HIDDEN : pace);
}

async function ask() {
  if (isAsking) return;
  isAsking = true;
  try {
    draw(await get(`/api/state?log=${linesSeen}`));
  } catch (error) {
    if (error instanceof Closed || last === null) {
      close(error);
      return;
    }
    drawAway();
  } finally {
    isAsking = false;
  }
  later();
}

/** Tell the worker to do something, and draw the state after it. */
async function act(path, value) {
  write(byId("note"), "");
  try {
    draw(await post(path, value));
  } catch (error) {
    if (error instanceof Closed) close(error);
    else write(byId("note"), error instanceof Refused ? error.message : "The worker does not answer.");
  }
  later();
}

function pause(value) {
  byId("pause-dialog").close();
  act("/api/pause", value);
}

/** Show what a set-up would fetch and where, before anything is fetched. */
async function planSetup() {
  const [lines, yes] = [byId("setup-lines"), byId("setup-yes")];
  yes.disabled = true;
  write(lines, "Looks at this machine …");
  byId("setup-dialog").showModal();
  try {
    const plan = await post("/api/setup/plan", {}, PLAN);
    write(lines, plan.lines.join("\n"));
    yes.disabled = !plan.may_start;
  } catch (error) {
    write(lines, error instanceof Refused ? error.message : "The worker does not answer.");
  }
}

function listen() {
  byId("setup-plan").addEventListener("click", planSetup);
  byId("setup-yes").addEventListener("click", () => {
    byId("setup-dialog").close();
    act("/api/setup");
  });
  byId("pause").addEventListener("click", () => byId("pause-dialog").showModal());
  byId("stop").addEventListener("click", () => byId("stop-dialog").showModal());
  byId("resume").addEventListener("click", () => act("/api/resume"));
  byId("drain").addEventListener("click", () => act("/api/drain"));
  byId("stop-yes").addEventListener("click", () => {
    byId("stop-dialog").close();
    act("/api/stop");
  });
  for (const button of document.querySelectorAll("[data-seconds]")) {
    const { seconds } = button.dataset;
    button.addEventListener("click", () => pause({ seconds: seconds ? Number(seconds) : null }));
  }
  byId("pause-until").addEventListener("click", () => {
    if (byId("until").reportValidity()) pause({ until: byId("until").value });
  });
  for (const button of document.querySelectorAll("[data-close]")) {
    button.addEventListener("click", () => button.closest("dialog").close());
  }
  byId("ran").addEventListener("toggle", () => byId("ran").open && last && drawRan());
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden && last !== null) ask();
  });
  addEventListener("hashchange", start);
}

async function start() {
  try {
    await begin();
  } catch (error) {
    if (last === null) close(error);
    return;
  }
  ask();
}

listen();
start();
