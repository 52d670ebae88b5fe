"use strict";
// Shows errors as text, also of a script below that a browser cannot read. So
// it comes first, and any browser can read it.

/** Says what is wrong, once: what follows is a consequence. */
function fail(problem) {
  var status = document.getElementById("status");
  if (status.className === "bad") return;
  status.className = "bad";
  status.textContent =
    "This page does not work: " + String(problem).replace(/\.$/, "") +
    ". Try another browser, or write the page again with " +
    "python -m sr2_jax.demo.";
  document.getElementById("check").textContent = "Self-check: not done.";
}

addEventListener("error", function (event) {
  fail(event.message);
});
addEventListener("unhandledrejection", function (event) {
  var reason = event.reason;
  fail((reason && reason.message) || reason);
});
