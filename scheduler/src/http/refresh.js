// Fetches the page again every five seconds and puts the new content in place, so that scroll, focus and open folds stay.
// Nothing is replaced while somebody types or has a pause form open; a page that gets no answer says so.
"use strict";
(() => {
  const every = 5000;
  let heard = Date.now();
  const busy = () => {
    const at = document.activeElement;
    return document.hidden || (at && at.closest("main") && at.matches("input, select, textarea")) || document.querySelector("details.pause[open]");
  };
  const say = (words, stale) => {
    const live = document.getElementById("live");
    if (live && live.textContent !== words) live.textContent = words;
    document.documentElement.classList.toggle("stale", stale);
  };
  const refresh = async () => {
    if (busy()) return document.hidden ? undefined : say("held while you decide", false);
    try {
      const answer = await fetch(location.href, { headers: { accept: "text/html" }, signal: AbortSignal.timeout(8000) });
      if (answer.redirected && new URL(answer.url).pathname === "/login") return location.reload();
      const next = new DOMParser().parseFromString(await answer.text(), "text/html");
      if (!next.getElementById("main") || busy()) return;
      const open = [...document.querySelectorAll("main details[open][id]")].map((fold) => fold.id);
      const focused = document.activeElement && document.activeElement.closest("main") ? document.activeElement.getAttribute("aria-label") : null;
      document.getElementById("main").replaceChildren(...next.getElementById("main").childNodes);
      for (const id of open) document.getElementById(id)?.setAttribute("open", "");
      if (focused) [...document.querySelectorAll("main [aria-label]")].find((one) => one.getAttribute("aria-label") === focused)?.focus({ preventScroll: true });
      const now = next.getElementById("now");
      if (now) document.getElementById("now").textContent = now.textContent;
      document.title = next.title;
      const icon = next.querySelector("link[rel=icon]");
      if (icon) document.querySelector("link[rel=icon]").href = icon.href;
      heard = Date.now();
      say("live", false);
    } catch {
      say(`no answer for ${Math.round((Date.now() - heard) / 1000)} s: these numbers are old`, true);
    }
  };
  setInterval(refresh, every);
  document.addEventListener("visibilitychange", () => { if (!document.hidden) refresh(); });
})();
