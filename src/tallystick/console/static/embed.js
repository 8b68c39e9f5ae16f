// Puts the customer's portal into a page:
// <div id="billing"></div>
// <script src="https://billing.example/portal/embed.js" data-target="billing" data-token="…" async></script>
"use strict";
(() => {
  const script = document.currentScript;
  const home = new URL(script.src).origin;
  const { target, token, title } = script.dataset;
  const start = () => {
    const place = document.getElementById(target);
    if (!place || !token) {
      console.error("portal: give data-target, the id of an element of this page, and data-token");
      return;
    }
    const frame = document.createElement("iframe");
    frame.src = `${home}/portal/embed?token=${encodeURIComponent(token)}`;
    frame.title = title || "Billing";
    frame.referrerPolicy = "no-referrer";
    frame.style.width = "100%";
    frame.style.border = "0";
    frame.style.height = "40rem";
    window.addEventListener("message", (event) => {
      if (event.origin !== home || event.source !== frame.contentWindow) return;
      const said = event.data;
      if (!said || said.tallystick !== "height" || !Number.isFinite(said.height)) return;
      frame.style.height = `${Math.min(Math.max(said.height, 200), 20000)}px`;
    });
    place.replaceChildren(frame);
  };
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", start);
  else start();
})();
