"use strict";
(() => {
  const all = (selector, below) => Array.from((below || document).querySelectorAll(selector));
  const by = (id) => document.getElementById(id);
  document.documentElement.classList.add("js");
  const cases = all("details.case");
  const sections = all("section.cases");
  const buttons = all("button[data-outcome]");
  const text = by("text"), count = by("count"), fold = by("fold"), nothing = by("nothing");
  const words = new Map();

  // What a case says, without its evidence; read once, when somebody looks for something.
  const said = (it) => {
    if (!words.has(it)) {
      const parts = [it.querySelector("summary"), it.querySelector(".why")];
      words.set(it, parts.map((part) => (part ? part.textContent : "")).join(" ").toLowerCase());
    }
    return words.get(it);
  };

  const filter = () => {
    const wanted = buttons.filter((b) => b.getAttribute("aria-pressed") === "true").map((b) => b.dataset.outcome);
    const looked = text.value.toLowerCase().split(/\s+/).filter(Boolean);
    let seen = 0;
    for (const it of cases) {
      const shows = (!wanted.length || wanted.includes(it.dataset.outcome)) && looked.every((w) => said(it).includes(w));
      it.hidden = !shows;
      if (shows) seen += 1;
    }
    for (const it of sections) it.hidden = !it.querySelector("details.case:not([hidden])");
    nothing.hidden = seen > 0 || !cases.length;
    count.textContent = seen === cases.length ? `${seen} cases` : `${seen} of ${cases.length} cases`;
  };

  const reset = () => {
    text.value = "";
    for (const b of buttons) b.setAttribute("aria-pressed", "false");
    filter();
  };

  // A link to a case opens it, whatever is filtered.
  const follow = () => {
    let id = "";
    try { id = decodeURIComponent(location.hash.slice(1)); } catch { return; }
    const it = id && by(id);
    if (!it) return;
    if (it.matches("details.case")) {
      if (it.hidden) reset();
      it.open = true;
      it.querySelector("summary").focus({ preventScroll: true });
    }
    it.scrollIntoView({ block: "start" });
  };

  const step = (by) => {
    const seen = cases.filter((it) => !it.hidden).map((it) => it.querySelector("summary"));
    const here = seen.findIndex((it) => it.parentElement.contains(document.activeElement));
    const next = seen[Math.min(Math.max(here + by, 0), seen.length - 1)];
    if (next) { next.focus(); next.scrollIntoView({ block: "nearest" }); }
  };

  for (const b of buttons) {
    b.addEventListener("click", () => {
      b.setAttribute("aria-pressed", b.getAttribute("aria-pressed") === "true" ? "false" : "true");
      filter();
    });
  }
  let waiting = 0;
  text.addEventListener("input", () => { clearTimeout(waiting); waiting = setTimeout(filter, 60); });
  by("reset").addEventListener("click", () => { reset(); text.focus(); });
  fold.addEventListener("click", () => {
    const open = fold.textContent === "Open all";
    for (const it of cases) if (!it.hidden) it.open = open;
    fold.textContent = open ? "Close all" : "Open all";
  });
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const writes = document.activeElement === text;
    if (event.key === "Escape" && writes) { reset(); text.blur(); }
    if (writes) return;
    if (event.key === "/") { event.preventDefault(); text.focus(); }
    if (event.key === "j") step(1);
    if (event.key === "k") step(-1);
  });
  window.addEventListener("hashchange", follow);
  follow();
})();
