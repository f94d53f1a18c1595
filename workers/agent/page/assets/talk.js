// How the page talks with its worker. The ticket of the address opens the page once; the token that
// it is exchanged for lives in this tab alone, and travels in a header, never in a cookie.

const TOKEN = "xeenet-worker-token";
const PATIENCE = 10000; // milliseconds
let sent = 0;

/** The worker does not know this tab: a new address is needed. */
export class Closed extends Error {}
/** The worker answered why it does not do that. */
export class Refused extends Error {}

async function send(path, body, patience = PATIENCE) {
  const options = { cache: "no-store", credentials: "omit", signal: AbortSignal.timeout(patience) };
  options.headers = {};
  const token = sessionStorage.getItem(TOKEN);
  if (token) options.headers.Authorization = `Bearer ${token}`;
  if (body !== undefined) {
    options.method = "POST";
    options.headers["Content-Type"] = "application/json";
    options.body = JSON.stringify(body);
  }
  const order = (sent += 1);
  const reply = await fetch(path, options);
  const value = await reply.json();
  if (reply.status === 401 || reply.status === 403) throw new Closed(value.problem);
  if (!reply.ok) throw new Refused(value.problem);
  return { ...value, order };
}

/** Exchange the ticket in the address, if there is one, and take it out of the address. */
export async function begin() {
  const ticket = location.hash.slice(1);
  if (!ticket) {
    if (!sessionStorage.getItem(TOKEN)) throw new Closed("This page needs an address of its own.");
    return;
  }
  history.replaceState(null, "", location.pathname);
  try {
    const { token } = await send("/api/session", { ticket });
    sessionStorage.setItem(TOKEN, token);
  } catch (error) {
    // A copy of an address in a tab that is open already changes nothing there.
    if (!(error instanceof Closed) || !sessionStorage.getItem(TOKEN)) throw error;
  }
}

export const get = (path) => send(path);
export const post = (path, value = {}, patience = PATIENCE) => send(path, value, patience);
