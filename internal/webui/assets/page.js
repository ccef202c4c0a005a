"use strict";

// The pages work without this script. It adds search while typing, automatic refresh,
// and copy buttons.

const main = document.getElementById("main");

// --- Updating the page --------------------------------------------------------

const keyOf = (node) => node.nodeType === 1 ? node.id || node.dataset?.key || "" : "";

// picked is the visitor's selection while the page is updated.
let picked = null;

// marking is set while a refresh updates the page: new rows are highlighted.
let marking = false;

// morph makes the element old equal to next. Equal nodes are not replaced, so that focus,
// selection, scroll position and typed text remain.
function morph(old, next) {
  if (old.isEqualNode(next) || old.localName === "time" && picked?.intersectsNode(old)) {
    return;
  }
  for (const { name } of [...old.attributes]) {
    if (!next.hasAttribute(name) && !(name === "open" && old.localName === "details")) {
      old.removeAttribute(name);
    }
  }
  for (const { name, value } of next.attributes) {
    if (old.getAttribute(name) !== value && !(name === "hidden" && old.matches(".copy"))) {
      old.setAttribute(name, value);
    }
  }
  if (old.localName === "select" && document.activeElement === old) {
    return;
  }
  morphChildren(old, next);
}

function morphChildren(old, next) {
  const keyed = new Map();
  for (const child of old.children) {
    if (keyOf(child)) {
      keyed.set(keyOf(child), child);
    }
  }
  const wanted = new Set([...next.children].map(keyOf));
  let at = old.firstChild;
  for (const child of [...next.childNodes]) {
    // Remove elements first, so that the others need not move.
    while (at && keyOf(at) && !wanted.has(keyOf(at))) {
      const gone = at;
      at = at.nextSibling;
      gone.remove();
    }
    const key = keyOf(child);
    const known = key ? keyed.get(key) : at && !keyOf(at) && at.nodeName === child.nodeName ? at : null;
    if (!known || known.nodeName !== child.nodeName) {
      const added = document.importNode(child, true);
      prepare(added);
      if (marking && added.localName === "tr") {
        added.classList.add("fresh");
      }
      old.insertBefore(added, at);
      continue;
    }
    if (known === at) {
      at = at.nextSibling;
    } else {
      old.insertBefore(known, at);
    }
    if (known.nodeType !== 1) {
      if (known.data !== child.data) {
        known.data = child.data;
      }
    } else {
      morph(known, child);
    }
  }
  while (at) {
    const gone = at;
    at = at.nextSibling;
    gone.remove();
  }
}

// show shows a page that was fetched. If that was for a search that is still being typed and
// not valid yet, the page stays as it is, with a hint.
function show(text, typed) {
  const page = new DOMParser().parseFromString(text, "text/html");
  const next = page.getElementById("main");
  if (!next) {
    throw new Error("not a page of the gateway");
  }
  const result = document.getElementById("search-result");
  if (typed && result && next.querySelector("#search-text[aria-invalid]")) {
    result.textContent = "Not a complete search yet";
    return;
  }
  const focused = document.activeElement;
  const selection = getSelection();
  picked = selection.rangeCount && !selection.isCollapsed ? selection.getRangeAt(0).cloneRange() : null;
  const { scrollX, scrollY } = window;
  document.title = page.title;
  next.querySelectorAll("time").forEach(tick);
  morph(main, next);
  for (const select of main.querySelectorAll("form[role=search] select")) {
    if (select !== focused) {
      select.value = select.querySelector("option[selected]")?.value ?? "";
    }
  }
  if (focused !== document.activeElement && focused.isConnected) {
    focused.focus({ preventScroll: true });
  }
  if (picked && selection.isCollapsed && picked.startContainer.isConnected && picked.endContainer.isConnected && !picked.collapsed) {
    selection.removeAllRanges();
    selection.addRange(picked);
  }
  if (window.scrollX !== scrollX || window.scrollY !== scrollY) {
    window.scrollTo({ left: scrollX, top: scrollY, behavior: "instant" });
  }
}

let asking = null; // the current request

// ask fetches a page of this kind and shows it. A new request cancels the previous one.
async function ask(url, { version, typed } = {}) {
  asking?.abort();
  const mine = asking = new AbortController();
  try {
    const answer = await fetch(url, {
      cache: "no-store",
      headers: version ? { "If-None-Match": version } : {},
      signal: mine.signal,
    });
    if (answer.status === 304) {
      fresh();
      return false;
    }
    if (!answer.ok && answer.status !== 404 && answer.status !== 503) {
      throw new Error(`status ${answer.status}`);
    }
    const text = await answer.text();
    if (asking !== mine) {
      return false;
    }
    show(text, typed);
    fresh();
    return true;
  } finally {
    if (asking === mine) {
      asking = null;
    }
  }
}

// --- Saying how old the page is --------------------------------------------------

let updated = new Date();

// fresh notes that the page shows what the gateway says now.
function fresh() {
  updated = new Date();
  main.removeAttribute("data-stale");
  document.getElementById("stale").hidden = true;
}

// stale says that the page could not be updated.
function stale(error) {
  const notice = document.getElementById("stale");
  const reason = error instanceof TypeError ? "the gateway cannot be reached" : `the gateway answers with ${error.message}`;
  const text = `Not updated since ${updated.toLocaleTimeString()}: ${reason}.`;
  main.dataset.stale = error.message;
  if (notice.textContent !== text) {
    notice.textContent = text; // announced once
  }
  notice.hidden = false;
}

// --- Refreshing ---------------------------------------------------------------

// A page refreshes only while it is visible. Without input it refreshes less and less
// often, and after an hour not at all until there is input again.
const soon = 1000 * (main.dataset.refresh ?? 0);
const rarest = 60_000;
const patience = 3_600_000;
let touched = Date.now();
let timer = 0;

function waitingTime() {
  const idle = Date.now() - touched;
  return Math.min(rarest, soon * (1 + Math.floor(idle / 120_000)));
}

function schedule() {
  clearTimeout(timer);
  if (soon && !document.hidden && Date.now() - touched < patience) {
    timer = setTimeout(refresh, waitingTime());
  }
}

async function refresh() {
  if (!asking) {
    const started = Date.now();
    try {
      marking = true;
      await ask(location.href, { version: main.dataset.version, typed: document.activeElement?.type === "search" });
    } catch (error) {
      if (error.name !== "AbortError") {
        stale(error); // asked again later
      }
    } finally {
      marking = false;
    }
    // Ask a slow gateway less often.
    await new Promise((done) => setTimeout(done, Math.min(rarest, 10 * (Date.now() - started))));
  }
  schedule();
}

if (soon) {
  for (const sign of ["pointerdown", "keydown", "wheel", "touchstart"]) {
    addEventListener(sign, () => {
      const away = Date.now() - touched >= 120_000;
      touched = Date.now();
      if (away) {
        schedule();
      }
    }, { passive: true });
  }
  document.addEventListener("visibilitychange", () => {
    clearTimeout(timer);
    if (!document.hidden) {
      touched = Date.now();
      refresh();
    }
  });
  schedule();
}

// --- Searching, sorting and paging without loading a new page -------------------

// viewOf returns what a view of this page depends on: its URL without the fragment.
const viewOf = (url) => url.pathname + url.search;

let view = viewOf(location);

// failed handles the failure to show another view: if the gateway answers, it says itself
// what is wrong.
function failed(error) {
  if (error instanceof TypeError) {
    stale(error);
  } else if (error.name !== "AbortError") {
    location.reload();
  }
}

// go shows another view of this page, given by its URL.
async function go(url, replace, typed) {
  marking = false;
  url.searchParams.delete("deleted");
  if (url.href !== location.href) {
    history[replace ? "replaceState" : "pushState"](null, "", url);
  }
  view = viewOf(location);
  try {
    await ask(url.href, { typed });
  } catch (error) {
    failed(error);
  }
}

function addressOf(form) {
  const url = new URL(form.action);
  url.search = "";
  for (const [name, value] of new FormData(form)) {
    if (value !== "") {
      url.searchParams.append(name, value);
    }
  }
  return url;
}

let typing = 0; // the timer of a search that is typed but not shown yet, or 0
let searching = false; // the last entry of the browser's history is a search that is being typed
document.addEventListener("input", (event) => {
  const form = event.target.closest("form[role=search]");
  if (form && event.target.type === "search") {
    clearTimeout(typing);
    typing = setTimeout(() => {
      typing = 0;
      go(addressOf(form), searching, true);
      searching = true;
    }, 150);
  }
});
document.addEventListener("focusout", (event) => {
  if (event.target.type === "search") {
    searching = false;
  }
});
document.addEventListener("change", (event) => {
  const form = event.target.closest("form[role=search]");
  if (form && event.target.localName === "select") {
    go(addressOf(form), false);
  }
});
document.addEventListener("submit", (event) => {
  if (event.target.matches("form[role=search]")) {
    event.preventDefault();
    clearTimeout(typing);
    typing = 0;
    go(addressOf(event.target), searching);
    searching = false;
  }
});
document.addEventListener("click", (event) => {
  const link = event.target.closest("a[data-live]");
  if (!link || event.button || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) {
    return;
  }
  event.preventDefault();
  const url = new URL(link.href);
  if (typing) { // the link is of the search before
    clearTimeout(typing);
    typing = 0;
    url.searchParams.set("search", document.getElementById("search-text").value);
  }
  const paging = link.closest(".paging") !== null;
  go(url, false).then(() => {
    if (paging || !link.isConnected) {
      scrollTo({ top: 0, behavior: "instant" });
      (document.getElementById("list") ?? main).focus({ preventScroll: true });
    }
  });
});
addEventListener("popstate", () => {
  if (view === viewOf(location)) {
    return; // only the fragment has changed, as by the skip link
  }
  view = viewOf(location);
  searching = false;
  clearTimeout(typing);
  typing = 0;
  ask(location.href).then(() => {
    const box = document.getElementById("search-text");
    if (box) {
      box.value = new URL(location.href).searchParams.get("search") ?? "";
    }
  }, failed);
});
if (new URL(location.href).searchParams.has("deleted")) {
  const url = new URL(location.href);
  url.searchParams.delete("deleted");
  history.replaceState(null, "", url);
  view = viewOf(location);
  main.removeAttribute("data-version");
}

// --- Help on searching -------------------------------------------------------------

const searchHelp = () => document.querySelector("#search-help[open]");

document.addEventListener("keydown", (event) => {
  const help = searchHelp();
  if (event.key === "Escape" && help) {
    help.open = false;
    help.querySelector("summary").focus();
  }
});
document.addEventListener("click", (event) => {
  const help = searchHelp();
  if (help && !help.contains(event.target)) {
    help.open = false;
  }
});

// --- Times ----------------------------------------------------------------------

// As formatAge in format.go.
function ageOf(seconds) {
  if (seconds < 0) return "in the future";
  if (seconds < 1) return "just now";
  if (seconds < 60) return `${Math.floor(seconds)} s ago`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 2 * 86400) return `${Math.floor(seconds / 3600)} h ago`;
  return `${Math.floor(seconds / 86400)} days ago`;
}

// As formatAhead in format.go.
function aheadOf(seconds) {
  const nearest = (unit) => Math.round(seconds / unit);
  if (nearest(1) < 1) return "any moment";
  if (nearest(1) < 2 * 60) return `in ${nearest(1)} s`;
  if (nearest(60) < 2 * 60) return `in ${nearest(60)} min`;
  if (nearest(3600) < 2 * 24) return `in ${nearest(3600)} h`;
  return `in ${nearest(86400)} days`;
}

function tick(element) {
  const seconds = (Date.now() - Date.parse(element.dateTime)) / 1000;
  // Ignore small differences between the clocks.
  const text = "ahead" in element.dataset ? aheadOf(-seconds) : ageOf(seconds < 0 && seconds > -60 ? 0 : seconds);
  if (element.textContent !== text) {
    element.textContent = text;
  }
}

setInterval(() => {
  if (!document.hidden && getSelection().isCollapsed) {
    document.querySelectorAll("time").forEach(tick);
  }
}, 1000);

// --- Copying --------------------------------------------------------------------

// Browsers offer the clipboard API on https only; elsewhere the old command works.
async function copy(source) {
  if (navigator.clipboard) {
    return navigator.clipboard.writeText(source.textContent);
  }
  const selection = getSelection();
  selection.selectAllChildren(source);
  const copied = document.execCommand("copy");
  selection.removeAllRanges();
  if (!copied) {
    throw new Error("the browser does not allow it");
  }
}

document.addEventListener("click", async (event) => {
  const button = event.target.closest("button[data-copies]");
  if (!button) {
    return;
  }
  try {
    await copy(document.getElementById(button.dataset.copies));
    button.textContent = "Copied";
  } catch {
    button.textContent = "Not copied";
  }
  setTimeout(() => { button.textContent = "Copy"; }, 2000);
});

// prepare shows the elements that need this script.
function prepare(node) {
  if (node.nodeType === 1) {
    for (const button of node.querySelectorAll(".copy")) {
      button.hidden = false;
    }
  }
}
prepare(document.body);
