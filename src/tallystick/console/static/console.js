// What pages do beyond plain HTML. Without this file everything still works, by a click more.
"use strict";

// <form data-confirm="Lock it?">: asks before it sends.
document.addEventListener("submit", (event) => {
  const question = event.target.getAttribute("data-confirm");
  if (question && !window.confirm(question)) event.preventDefault();
});

// <button data-copy="text" hidden>: shown where a script can copy.
function showCopyButtons(within) {
  if (!navigator.clipboard) return;
  for (const button of within.querySelectorAll("[data-copy]")) button.hidden = false;
}
document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  await navigator.clipboard.writeText(button.dataset.copy);
  const before = button.textContent;
  button.textContent = "Copied";
  setTimeout(() => { button.textContent = before; }, 1500);
});

// <div id="x" data-refresh="3">: every 3 seconds the same part of the same page is fetched and takes its place, until
// the server sends it without data-refresh. Nothing is asked while the page cannot be seen.
function keepFresh(part) {
  const seconds = Number(part.dataset.refresh);
  if (!part.id || !(seconds > 0)) return;
  setTimeout(async () => {
    if (document.hidden || part.contains(document.activeElement)) { keepFresh(part); return; }
    try {
      const answer = await fetch(part.dataset.from || window.location.href, { credentials: "same-origin" });
      if (!answer.ok || answer.redirected) { keepFresh(part); return; }
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      const fresh = page.getElementById(part.id);
      if (!fresh) return;
      part.replaceWith(fresh);
      showCopyButtons(fresh);
      keepFresh(fresh);
    } catch { keepFresh(part); }
  }, 1000 * seconds);
}

for (const part of document.querySelectorAll("[data-refresh]")) keepFresh(part);
showCopyButtons(document);

// The menus of the bar close when one looks elsewhere.
document.addEventListener("click", (event) => {
  for (const menu of document.querySelectorAll("header details[open]")) if (!menu.contains(event.target)) menu.open = false;
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") for (const menu of document.querySelectorAll("header details[open]")) menu.open = false;
});
