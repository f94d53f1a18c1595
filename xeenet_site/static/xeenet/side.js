// The side panel: opens arms and tasks beside their list, keeps them in the address, and keeps a note
// that is being typed. A page whose address opens one has only its frame, so that the page is there
// sooner; without this script the server renders the panel into it (?whole).
//
// Others open it with new CustomEvent("xeenet:open", { detail: { arm: 17 }, cancelable: true }), or with
// `task`, whose event may name its arm, too; it cancels the event when it opens. It says
// "xeenet:opened" with { key }, "" when it is closed.

"use strict";

(() => {
  const phone = matchMedia("(max-width: 640px)");
  let loading = null;
  // Where the reader came from, when no row is: the focus goes back to it.
  let opener = null;

  const panel = () => document.getElementById("side");
  const openKey = () => panel()?.dataset.open || "";

  function address(key) {
    const url = new URL(location.href);
    url.hash = "";
    if (key) url.searchParams.set("open", key);
    else url.searchParams.delete("open");
    return url.href;
  }

  // The page behind the panel. Its content is of this address, whatever the panel shows.
  let page = address("");

  // --- Opening and closing -------------------------------------------------------------------------

  async function load(key) {
    loading?.abort();
    loading = new AbortController();
    const url = new URL(panel().dataset.url, location.href);
    url.searchParams.set("open", key);
    const answer = await fetch(url, { headers: { "HX-Request": "true" }, signal: loading.signal });
    const login = answer.headers.get("HX-Redirect");
    if (login) location.assign(login);
    // 404 has a panel, too: there is no such arm.
    if (!answer.ok && answer.status !== 404) throw new Error(`the server answered ${answer.status}`);
    return answer.text();
  }

  async function open(key, { from = null, history: way = "push", focus = true } = {}) {
    const side = panel();
    if (!side) return;
    opener = from ?? opener;
    let html;
    try {
      html = await load(key);
    } catch (error) {
      if (error.name === "AbortError") return;
      document.body.classList.add("connection-lost");
      // Its link is another try.
      delete side.dataset.awaits;
      if (openKey() !== key) location.assign(address(key));
      return;
    }
    side.innerHTML = html;
    side.dataset.open = key;
    delete side.dataset.awaits;
    htmx.process(side);
    show(side);
    restoreDraft();
    if (way === "push") history.pushState({ side: true }, "", address(key));
    if (way === "replace") history.replaceState(history.state, "", address(key));
    if (focus) document.getElementById("side-title")?.focus({ preventScroll: true });
    told();
  }

  function show(side) {
    const isModal = side.matches(":modal");
    if (side.open && isModal === phone.matches) return;
    if (side.open) side.close();
    if (phone.matches) side.showModal();
    else side.show();
  }

  function close({ history: way = "push" } = {}) {
    const side = panel();
    if (!side || !openKey()) return;
    loading?.abort();
    const back = rowOf(openKey()) ?? (opener?.isConnected ? opener : document.getElementById(opener?.id));
    side.dataset.open = "";
    side.close();
    side.replaceChildren();
    if (way === "push") history.pushState({ side: true }, "", address(""));
    back?.focus({ preventScroll: true });
    opener = null;
    told();
  }

  function told() {
    mark();
    offerRace();
    document.dispatchEvent(new CustomEvent("xeenet:opened", { detail: { key: openKey() } }));
  }

  // --- The list behind it --------------------------------------------------------------------------

  function rowOf(key) {
    return document.querySelector(`main a[data-open="${CSS.escape(key)}"]`);
  }

  function mark() {
    for (const row of document.querySelectorAll("main tr.is-open")) row.classList.remove("is-open");
    if (openKey()) rowOf(openKey())?.closest("tr")?.classList.add("is-open");
  }

  // Goes to the next entry of the list behind the panel, else to the one that the server names.
  function step(by) {
    const here = rowOf(openKey());
    if (here) {
      const list = here.closest("table") || document.querySelector("main");
      const links = [...list.querySelectorAll("a[data-open]")].filter((link) => link.getClientRects().length);
      const next = links[links.indexOf(here) + by];
      if (!next) return;
      next.closest("tr")?.scrollIntoView({ block: "nearest" });
      open(next.dataset.open, { from: next, history: "replace" });
      return;
    }
    const link = document.getElementById(by > 0 ? "side-after" : "side-before");
    const key = link && new URL(link.href).searchParams.get("open");
    if (key) open(key, { history: "replace" });
  }

  // --- Racing what is ticked -----------------------------------------------------------------------

  function ticked() {
    return [...document.querySelectorAll("main .pick[name=arms]:checked")].map((box) => box.value);
  }

  function offerRace() {
    const button = document.getElementById("side-race");
    if (!button) return;
    const own = button.form.querySelector("[name=arms]:not([data-rival])").value;
    const others = ticked().filter((arm) => arm !== own);
    button.textContent = others.length ? `${button.dataset.many} ${others.length + 1}` : button.dataset.one;
  }

  // --- A note being typed --------------------------------------------------------------------------

  const draftName = () => {
    const text = document.getElementById("side-note-text");
    return text && `note ${new URL(text.form.action).pathname}`;
  };

  function keepDraft(text) {
    try {
      if (text.value === text.defaultValue) sessionStorage.removeItem(draftName());
      else sessionStorage.setItem(draftName(), text.value);
    } catch {
      // Storage is forbidden: the text is only in the field.
    }
  }

  function restoreDraft() {
    const text = document.getElementById("side-note-text");
    if (!text) return;
    let draft = null;
    try {
      draft = sessionStorage.getItem(draftName());
    } catch {
      return;
    }
    if (draft === null || draft === text.value) return;
    text.value = draft;
    const status = text.form.querySelector("[role=status]");
    status.textContent = "Not saved yet: as you left it.";
  }

  // --- Events --------------------------------------------------------------------------------------

  document.addEventListener("click", (event) => {
    if (event.button || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey || event.defaultPrevented) return;
    if (!panel()) return;
    const link = event.target.closest("a");
    if (!link) return;
    if (link.dataset.open) {
      event.preventDefault();
      open(link.dataset.open, { from: link.closest("main") ? link : null });
    } else if ("sideClose" in link.dataset) {
      event.preventDefault();
      close();
    } else if (link.dataset.step) {
      event.preventDefault();
      step(Number(link.dataset.step));
    }
  });

  // A click beside the sheet closes it, like a dialog of the system.
  document.addEventListener("click", (event) => {
    if (event.target === panel() && event.target.matches(":modal")) close();
  });

  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || event.defaultPrevented || !openKey()) return;
    if (document.querySelector("dialog[open]:not(#side)")) return;
    event.preventDefault();
    // In a field the first press only leaves the field, so that it never costs what was typed.
    if (event.target.matches?.("#side textarea, #side input")) document.getElementById("side-title").focus();
    else close();
  });
  // The browser's own way to close a sheet, such as the back gesture.
  document.addEventListener("cancel", (event) => {
    if (event.target !== panel()) return;
    event.preventDefault();
    close();
  }, true);

  document.addEventListener("xeenet:step", (event) => {
    if (!openKey()) return;
    event.preventDefault();
    step(event.detail);
  });

  document.addEventListener("xeenet:open", (event) => {
    const { arm, task } = event.detail;
    const key = task != null ? `task-${task}` : arm != null ? `arm-${arm}` : "";
    if (!key || !panel()) return;
    event.preventDefault();
    open(key, { from: document.activeElement?.closest("main *") });
  });

  document.addEventListener("input", (event) => {
    if (event.target.id === "side-note-text") keepDraft(event.target);
  });
  document.addEventListener("change", (event) => {
    if (event.target.matches(".pick[name=arms]")) offerRace();
  });

  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (!panel()?.contains(form)) return;
    // Back to the page behind the panel, with its filters.
    const next = form.querySelector("[name=next]");
    if (next) next.value = address(openKey()).slice(location.origin.length);
    if (form.id === "side-race-form") {
      const own = form.querySelector("[name=arms]:not([data-rival])").value;
      const others = ticked().filter((arm) => arm !== own);
      if (others.length) form.querySelector("[data-rival]").remove();
      for (const arm of others) {
        const field = document.createElement("input");
        Object.assign(field, { type: "hidden", name: "arms", value: arm });
        form.append(field);
      }
    }
  }, true);

  // A refresh of the page renders its rows anew.
  document.addEventListener("xeenet:refreshed", mark);
  // htmx gives a new row the attributes of the old one of its id until it settles.
  document.addEventListener("htmx:afterSettle", mark);
  document.addEventListener("htmx:afterSwap", ({ target }) => {
    if (document.querySelector("#side-note[data-saved]") && (target.id === "side-note" || target === panel())) {
      const text = document.getElementById("side-note-text");
      try {
        sessionStorage.removeItem(draftName());
      } catch {
        // Storage is forbidden: there is no draft.
      }
      text?.form.querySelector("[role=status]")?.closest("section").removeAttribute("data-saved");
    }
  });

  // A filter or another order of the page behind: the panel stays, and so it stays in the address.
  document.addEventListener("htmx:pushedIntoHistory", () => {
    page = address("");
    if (openKey()) history.replaceState(history.state, "", address(openKey()));
  });

  addEventListener("popstate", (event) => {
    // htmx restores the whole page, with its panel.
    if (event.state?.htmx) return;
    if (address("") !== page) return location.reload();
    const key = new URL(location.href).searchParams.get("open") || "";
    if (key === openKey()) return;
    if (key) open(key, { history: "none" });
    else close({ history: "none" });
  });

  function adopt() {
    page = address("");
    if (!openKey()) return;
    show(panel());
    if ("awaits" in panel().dataset) {
      open(openKey(), { history: "none", focus: false });
      return;
    }
    restoreDraft();
    told();
  }
  document.addEventListener("htmx:historyRestore", adopt);
  phone.addEventListener("change", () => openKey() && show(panel()));
  document.addEventListener("DOMContentLoaded", adopt);
})();
