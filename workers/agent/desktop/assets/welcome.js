// The first start: the server of what was pasted is tried while the person reads; then the worker
// joins, and its own page takes the place of this one.
import { byId, show, write } from "./draw.js";
import { Closed, Refused, begin, get, post } from "./talk.js";

const QUIET = 350; // after the last key before the server is tried
const LOOK = 700;

let tried = null; // what was found for the text that is there now
let timer = 0;
let order = 0;
let isEnrolled = false; // then this page says why the worker has ended

function pasted() {
  return { text: byId("text").value, server: byId("server").value };
}

function say(tone, first, rest = "") {
  byId("test").dataset.tone = tone;
  write(byId("test-first"), first);
  write(byId("test-rest"), rest);
}

function draw() {
  const hasText = byId("text").value.trim() !== "";
  const isReady = tried?.server && tried.has_token;
  byId("join").disabled = !isReady;
  write(byId("join"), isReady ? `Join ${tried.host}` : "Join");
  show(byId("server-row"), hasText && tried !== null && (!tried.host || byId("server").value));
  if (!hasText) return say("", "", "The server is tried here as soon as it is known.");
  if (tried === null) return say("", "Looks for the server …");
  if (!tried.host) return say("", "", "This does not name the server. Type its address above.");
  if (tried.problem) return say("red", `No XeeNet server answers at ${tried.host}.`, tried.problem);
  const fast = `${tried.host} answers in ${tried.milliseconds} ms.`;
  if (!tried.has_token) return say("amber", fast, "The invitation is missing: it begins with xe_.");
  if (!tried.is_encrypted) return say("amber", fast, "The way there is not encrypted: whoever is between can read along.");
  return say("good", fast, "Nothing of the invitation was sent for that.");
}

async function look() {
  const mine = (order += 1);
  const { text, server } = pasted();
  tried = null;
  draw();
  if (!text.trim()) return;
  let answer;
  try {
    answer = await post("/api/check", { text, server });
  } catch (error) {
    if (error instanceof Closed) return close(error);
    answer = { host: "", server: "", has_token: false };
  }
  if (mine !== order) return; // the text is another one by now
  tried = answer;
  draw();
}

function typed() {
  clearTimeout(timer);
  timer = setTimeout(look, QUIET);
}

async function join(event) {
  event.preventDefault();
  if (!tried?.server) return;
  byId("join").disabled = true;
  write(byId("problem"), "");
  try {
    // The address that was tried is the one that is joined.
    follow(await post("/api/join", { text: pasted().text, server: tried.server, name: byId("name").value }));
  } catch (error) {
    if (error instanceof Closed) return close(error);
    const words = error instanceof Refused ? error.message : "The worker did not answer. Try again.";
    write(byId("problem"), words);
    byId("join").disabled = false;
  }
}

async function again() {
  try {
    follow(await post("/api/again"));
  } catch (error) {
    if (error instanceof Closed) return close(error);
    write(byId("again-why"), error instanceof Refused ? error.message : "It did not answer. Try again.");
  }
}

function follow({ step, text, address }) {
  const isJoining = step === "joining" || step === "joined";
  show(byId("form"), !isJoining && !isEnrolled);
  show(byId("again"), !isJoining && isEnrolled);
  show(byId("joining"), isJoining);
  if (step === "failed") write(byId(isEnrolled ? "again-why" : "problem"), text);
  if (!isJoining) return draw();
  write(byId("joining-text"), text);
  if (step === "joined") return location.replace(address);
  setTimeout(async () => {
    try {
      follow(await get("/api/progress"));
    } catch (error) {
      if (error instanceof Closed) return close(error);
      follow({ step, text, address });
    }
  }, LOOK);
}

function close(error) {
  show(byId("page"), false);
  show(byId("closed"), true);
  write(byId("closed-why"), error.message);
}

try {
  await begin();
  const state = await get("/api/begin");
  byId("name").value = state.name;
  isEnrolled = state.is_enrolled;
  if (isEnrolled) write(byId("title"), "The worker has ended");
  show(byId("lead"), !isEnrolled);
  byId("again-button").addEventListener("click", again);
  show(byId("page"), true);
  byId("text").focus();
  byId("text").addEventListener("input", typed);
  byId("server").addEventListener("input", typed);
  byId("form").addEventListener("submit", join);
  follow(state);
} catch (error) {
  close(error instanceof Closed ? error : new Closed("The worker’s program has ended."));
}
