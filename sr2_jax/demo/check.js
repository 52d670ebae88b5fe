"use strict";
// Whether the page computes what JAX does.

// Differences that rounding explains, for numbers up to 1.
const TOLERANCE = 1e-3;

const largest = (values) =>
  values.reduce((most, value) => Math.max(most, Math.abs(value)), 0);

/** How far numbers are from JAX's; rounding grows with the largest of them. */
function compared(values, expected) {
  const difference = largest(values.map((value, i) => value - expected[i]));
  const isGood = difference < TOLERANCE * Math.max(1, largest(expected));
  return { difference, isGood };
}

const numbersOf = (base64) => new Float32Array(bytesOf(base64).buffer);

/** Compares this page's results for the examples with JAX's, and says so. */
async function check(run, examples) {
  const pictures = [];
  const logits = [];
  const times = [];
  for (const example of examples) {
    const found = await run(shrunk(imageOf(example)));
    times.push(found.milliseconds);
    const superRes = numbersOf(example.superRes);
    pictures.push(compared(found.superRes.data, superRes));
    if (found.logits !== null) {
      logits.push(compared(found.logits, numbersOf(example.logits)));
    }
  }
  showCheck(pictures, logits, Math.min(...times));
}

function showCheck(pictures, logits, milliseconds) {
  const line = document.getElementById("check");
  const isGood = [...pictures, ...logits].every((found) => found.isGood);
  const most = (found) => Math.max(0, ...found.map((x) => x.difference));
  line.dataset.logits = most(logits);
  line.dataset.pictures = most(pictures);
  line.dataset.milliseconds = milliseconds;
  const told = (found) => `by at most ${most(found).toExponential(1)}`;
  line.className = isGood ? "small" : "bad";
  line.textContent =
    `Self-check ${isGood ? "passed" : "FAILED"}: on ${pictures.length} ` +
    `images, pictures differ from JAX's ${told(pictures)}` +
    (logits.length ? `, logits ${told(logits)}. ` : ". ") +
    (isGood
      ? `An image takes ${Math.ceil(milliseconds)} ms here.`
      : "What this page shows cannot be trusted.");
}
