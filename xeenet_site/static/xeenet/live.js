// Refreshes pages by what changed of them (xeenet_site/web/live.py): parts, rows, points of a chart.
// Elements stay the same ones, so focus, scroll, selection, ticks and what is typed stay, too. Each
// [data-live] asks for itself: the page, and the panel beside it.
//
// It says "xeenet:points" with what the chart is to append, and "xeenet:refreshed" after each answer
// that was used, with the time at which it was asked for. "xeenet:refresh" lets all ask at once.

"use strict";

(() => {
  const MOST_HASHES = 480;
  const TIMEOUT = 20_000;
  const HTMX = /\shx-/;
  // How often to look whether one asks, as they come and go.
  const LOOK_SECONDS = 3;
  // When each asks next, by the clock of performance.now().
  const due = new WeakMap();
  let timer = 0;
  let isRunning = false;
  let isWanted = false;

  const roots = () => [...document.querySelectorAll("[data-live]")];

  // --- Asking --------------------------------------------------------------------------------------

  function held(root) {
    const hashes = [root, ...root.querySelectorAll("[data-v]")].map((part) => part.dataset.v);
    const after = root.dataset.after ?? root.querySelector("[data-after]")?.dataset.after ?? "-";
    return `${root.dataset.live} ${after} ${hashes.length > MOST_HASHES ? "" : hashes.join("")}`;
  }

  async function refresh(root) {
    if (wouldDisturb()) return;
    const asked = performance.now();
    try {
      const answer = await fetch(root.dataset.liveUrl, {
        headers: { "X-XeeNet-Live": held(root) },
        cache: "no-store",
        signal: AbortSignal.timeout(TIMEOUT),
      });
      const login = answer.headers.get("HX-Redirect");
      if (login) return location.assign(login);
      if (!answer.ok) throw new Error(`the server answered ${answer.status}`);
      const news = answer.status === 204 ? {} : await answer.json();
      document.body.classList.remove("connection-lost");
      // Meanwhile the reader may have begun something, or have gone to another part of the page.
      if (!root.isConnected || !("live" in root.dataset) || wouldDisturb()) return;
      if (news.reload) return isTyping() ? undefined : location.reload();
      // First the chart: it measures texts, which is cheap while the page around it is laid out.
      if (news.points) document.dispatchEvent(new CustomEvent("xeenet:points", { detail: news.points }));
      apply(root, news, new Date(answer.headers.get("Date") ?? Date.now()));
      document.dispatchEvent(new CustomEvent("xeenet:refreshed", { detail: { asked, root } }));
    } catch {
      document.body.classList.add("connection-lost");
    }
  }

  // A page of an older version waits until nothing can be lost.
  function isTyping() {
    return [...document.querySelectorAll("textarea, input:not([type=checkbox], [type=hidden])")].some(
      (field) => field.value !== field.defaultValue,
    );
  }

  const putOff = (root) => due.set(root, performance.now() + 1000 * root.dataset.liveSeconds);

  function dueAt(root) {
    if (!due.has(root)) putOff(root);
    return due.get(root);
  }

  // Let those ask whose time has come, or all.
  async function look(areAll) {
    clearTimeout(timer);
    isRunning = true;
    do {
      const now = isWanted || areAll ? Infinity : performance.now();
      isWanted = false;
      const asking = roots().filter((root) => dueAt(root) <= now);
      await Promise.all(asking.map(refresh));
      asking.forEach(putOff);
    } while (isWanted);
    isRunning = false;
    wait();
  }

  function wait() {
    const now = performance.now();
    const next = Math.min(now + 1000 * LOOK_SECONDS, ...roots().map(dueAt));
    timer = setTimeout(look, Math.max(0, next - now), false);
  }

  // --- Applying ------------------------------------------------------------------------------------

  function apply(root, { parts = {}, rows = {}, after }, now) {
    if (after) root.dataset.after = after;
    const focused = document.activeElement;
    const made = new Map();
    for (const [id, fresh] of parsed(parts)) {
      const part = document.getElementById(id);
      if (part) morph(part, fresh);
      else made.set(id, fresh);
    }
    for (const [id, { v, order }] of Object.entries(rows)) {
      const container = document.getElementById(id);
      container.dataset.v = v;
      arrange(container, order, made);
    }
    for (const [id, html] of Object.entries(parts)) {
      const part = document.getElementById(id);
      // It searches long: fifty rows without an attribute of its own would take most of the time.
      if (part && (HTMX.test(html) || part.closest("[hx-boost]"))) htmx.process(part);
    }
    // Moving an element takes the focus from it.
    if (focused !== document.activeElement && focused.isConnected) focused.focus({ preventScroll: true });
    tellTimes(root, now);
  }

  // Return the elements of the parts, by id. Those of one kind are parsed together: fifty cells of a
  // table one by one take several times as long.
  function parsed(parts) {
    const byTag = new Map();
    for (const [id, html] of Object.entries(parts)) {
      const tag = /^<[\w-]+/.exec(html)[0];
      if (!byTag.has(tag)) byTag.set(tag, { ids: [], texts: [] });
      byTag.get(tag).ids.push(id);
      byTag.get(tag).texts.push(html);
    }
    return [...byTag.values()].flatMap(({ ids, texts }) => {
      const holder = document.createElement("template");
      holder.innerHTML = texts.join("");
      const elements = [...holder.content.children];
      return ids.map((id, row) => [id, elements[row]]);
    });
  }

  // Put the rows into their order, with as few moves as new and gone ones need.
  function arrange(container, order, made) {
    const wanted = new Set(order);
    for (const row of [...container.children]) if (!wanted.has(row.id)) row.remove();
    let next = container.firstElementChild;
    for (const id of order) {
      const row = made.get(id) ?? document.getElementById(id);
      if (row === next) next = next.nextElementSibling;
      else if (row) container.insertBefore(row, next);
    }
  }

  // Make an element like a fresh one without replacing it.
  function morph(old, fresh) {
    if (old.isEqualNode(fresh)) return;
    if (old.nodeType !== Node.ELEMENT_NODE) {
      if (old.nodeValue !== fresh.nodeValue) old.nodeValue = fresh.nodeValue;
      return;
    }
    // The chart lives on; its script reads what is new.
    if (old.hasAttribute("hx-preserve")) return;
    for (const { name, value } of fresh.attributes) {
      if (name !== "open" && old.getAttribute(name) !== value) old.setAttribute(name, value);
    }
    for (const { name } of [...old.attributes]) {
      // People open details; only scripts set styles.
      if (!fresh.hasAttribute(name) && name !== "open" && name !== "style") old.removeAttribute(name);
    }
    morphChildren(old, fresh);
  }

  function morphChildren(old, fresh) {
    const byId = new Map([...old.children].filter(({ id }) => id).map((child) => [child.id, child]));
    let next = old.firstChild;
    for (const node of [...fresh.childNodes]) {
      const twin = node.id ? byId.get(node.id) : next && !next.id ? next : null;
      if (twin?.nodeName !== node.nodeName) {
        old.insertBefore(node, next);
        continue;
      }
      if (twin === next) next = next.nextSibling;
      else old.insertBefore(twin, next);
      morph(twin, node);
    }
    while (next) {
      const gone = next;
      next = next.nextSibling;
      gone.remove();
    }
  }

  // --- Times ---------------------------------------------------------------------------------------

  // As `ago` of xeenet_site/web/formats.py writes it: such a text is no change of its part.
  function ago(when, now) {
    const seconds = (now - when) / 1000;
    if (Math.abs(seconds) < 2) return "now";
    const units = [["d", 86_400], ["h", 3600], ["m", 60], ["s", 1]];
    const [unit, length] = units.find((pair) => Math.abs(seconds) >= pair[1]);
    const amount = `${Math.floor(Math.abs(seconds) / length)} ${unit}`;
    return seconds > 0 ? `${amount} ago` : `in ${amount}`;
  }

  function tellTimes(root, now) {
    for (const time of root.querySelectorAll("time:not([data-clock])")) {
      const words = ago(new Date(time.dateTime), now);
      if (time.textContent !== words) time.textContent = words;
    }
    const clock = now.toISOString().slice(11, 19);
    for (const mark of root.querySelectorAll(".live-at")) mark.textContent = clock;
  }

  function atOnce() {
    if (isRunning) isWanted = true;
    else look(true);
  }

  document.addEventListener("visibilitychange", () => document.hidden || atOnce());
  document.addEventListener("xeenet:refresh", atOnce);
  wait();
})();
