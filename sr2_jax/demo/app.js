"use strict";
// The page: what goes in and what comes out.

const element = (id) => document.getElementById(id);
const FACTS = JSON.parse(element("facts").textContent);
const MOST_BARS = 12;
const PATIENCE = 30000; // ms

// What is shown: an original or, if `isSmall`, the low-resolution image itself.
const state = { image: null, isSmall: false, seed: 1, low: null };
let run = null;

function made(name, properties = {}, ...children) {
  const node = Object.assign(document.createElement(name), properties);
  node.append(...children);
  return node;
}

const sizeOf = ([height, width]) => `${width}×${height}`;

/** Panels for the four pictures, by name. */
function panels() {
  const names = [
    ["original", "Original", FACTS.size],
    ["low", "Shrunk", FACTS.lowSize],
    ["bicubic", "Bicubic", FACTS.size],
    ["super", FACTS.method, FACTS.size],
  ];
  const found = {};
  for (const [name, title, size] of names) {
    const canvas = made("canvas", { id: `picture-${name}` });
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", `${title}, ${sizeOf(size)} pixels`);
    canvas.style.aspectRatio = `${size[1]} / ${size[0]}`;
    const note = made("span");
    const pixels = made("span", {}, sizeOf(size));
    const label = made("strong", {}, title);
    const caption = made("figcaption", {}, label, pixels, note);
    element("pictures").append(made("figure", {}, canvas, caption));
    found[name] = { canvas, note };
  }
  return found;
}

const PANELS = panels();

function showPicture(name, x, original) {
  const { canvas, note } = PANELS[name];
  show(canvas, x);
  note.textContent = original ? `${psnr(x, original).toFixed(1)} dB` : "";
}

function shrunk(original) {
  return resampled(original, FACTS.shrink.rows, FACTS.shrink.columns);
}

/** Shows at once what needs no network, and asks the network for the rest. */
function refresh() {
  const invert = element("invert").checked;
  const image = invert ? inverted(state.image) : state.image;
  state.original = state.isSmall ? null : image;
  const clean = state.isSmall ? image : shrunk(image);
  state.low = withNoise(clean, showNoise(), state.seed);
  const { rows, columns } = FACTS.enlarge;
  PANELS.original.canvas.parentNode.hidden = state.isSmall;
  if (!state.isSmall) showPicture("original", image);
  showPicture("low", state.low);
  const bicubic = resampled(state.low, rows, columns);
  showPicture("bicubic", bicubic, state.original);
  element("hint").textContent = hintOn(image);
  ask();
}

let numPlanned = 0;
/** A function that acts with the next frame, however often it is called. */
function oncePerFrame(action) {
  let isPlanned = false;
  return () => {
    element("output").setAttribute("aria-busy", "true");
    if (isPlanned) return;
    isPlanned = true;
    numPlanned += 1;
    requestAnimationFrame(() => {
      isPlanned = false;
      numPlanned -= 1;
      action();
    });
  };
}

const plan = oncePerFrame(refresh);

/** Shows the level of noise; returns the standard deviation. */
function showNoise() {
  const slider = element("noise");
  const deviation = Number(slider.value) * FACTS.noise.step;
  const variance = deviation ** 2;
  const text = variance ? `σ² = ${Number(variance.toPrecision(2))}` : "none";
  element("noise-value").textContent = text;
  slider.setAttribute("aria-valuetext", text);
  return deviation;
}

function hintOn(image) {
  const hints = state.hint ? [state.hint] : [];
  if (image.data.every((value) => value === image.data[0])) {
    hints.push("The image is empty. The network answers all the same.");
  } else if (FACTS.lightOnDark && brightness(image) > 0.5) {
    hints.push("This looks dark on light. The network knows light on dark.");
  }
  return hints.join(" ");
}

let isAsking = false;
/** Asks the network until it has answered for what is shown now. */
async function ask() {
  if (run === null || isAsking) return;
  isAsking = true;
  for (let asked = null; asked !== state.low; ) {
    asked = state.low;
    const original = state.original;
    showResult(await run(asked), original);
  }
  isAsking = false;
  if (numPlanned === 0) element("output").setAttribute("aria-busy", "false");
}

function showResult({ superRes, logits }, original) {
  showPicture("super", superRes, original);
  if (logits !== null) showProbabilities(softmax(logits));
}

function softmax(logits) {
  const most = Math.max(...logits);
  const powers = Array.from(logits, (logit) => Math.exp(logit - most));
  const sum = powers.reduce((a, b) => a + b);
  return powers.map((power) => power / sum);
}

const percent = (probability) => `${(100 * probability).toFixed(1)} %`;

function showProbabilities(probabilities) {
  let entries = probabilities.map((p, i) => ({ p, name: FACTS.classes[i] }));
  const best = entries.reduce((a, b) => (b.p > a.p ? b : a));
  if (entries.length > MOST_BARS) {
    entries = entries.sort((a, b) => b.p - a.p).slice(0, MOST_BARS);
  }
  const rows = entries.map((entry) => barOf(entry, entry.name === best.name));
  element("bars").tBodies[0].replaceChildren(...rows);
  const text = `Reads: ${best.name}, ${percent(best.p)}`;
  element("reading").textContent = text;
  announce(text);
}

function barOf({ p, name }, isBest) {
  const label = made("th", { scope: "row" }, name);
  const bar = made("div", { className: "bar" });
  bar.style.width = `${100 * p}%`;
  const cell = made("td", { className: "track" }, bar);
  const row = made("tr", {}, label, cell, made("td", {}, percent(p)));
  if (isBest) row.className = "best";
  return row;
}

let announcing = 0;
/** Tells screen readers once a result stays for a moment. */
function announce(text) {
  clearTimeout(announcing);
  announcing = setTimeout(() => {
    element("announcement").textContent = text;
  }, 700);
}

/** Makes an image the one that is shown; `chosen` is an example's button. */
function setImage(image, { isSmall = false, hint = "", chosen = null } = {}) {
  Object.assign(state, { image, isSmall, hint });
  element("invert").checked = false;
  for (const button of element("examples").children) {
    button.setAttribute("aria-pressed", String(button === chosen));
  }
  plan();
}

/** As `setImage`, for an image that is not from the pad. */
function take(image, options) {
  erasePad();
  element("prompt").hidden = false;
  setImage(image, options);
}

/** Takes in what is on the pad. */
function takeDrawing() {
  const x = mapOf(element("pad"), FACTS.channels);
  const place = FACTS.placesDigits
    ? placeOfDigit(x, FACTS.size)
    : { top: 0, left: 0, step: x.width / FACTS.size[1] };
  setImage(averaged(x, place, FACTS.size));
  element("prompt").hidden = x.data.some((value) => value > 0);
}

async function takeFile(file) {
  if (!file) return;
  try {
    const picture = await pictureOf(file);
    const given = [picture.height, picture.width];
    const isSmall = String(given) === String(FACTS.lowSize);
    const size = isSmall ? FACTS.lowSize : FACTS.size;
    const hint = isSmall
      ? `${file.name}: ${sizeOf(size)} pixels, so the network gets it as it is.`
      : `${file.name}: its middle, as ${sizeOf(size)} pixels.`;
    take(fitted(picture, size, FACTS.channels), { isSmall, hint });
  } catch (error) {
    element("hint").textContent = `${error.message}.`;
  }
}

/** The image of an example, from bytes in base64. */
function imageOf({ image }) {
  const [height, width] = FACTS.size;
  const x = emptyMap(height, width, FACTS.channels);
  bytesOf(image).forEach((byte, i) => (x.data[i] = byte / 255));
  return x;
}

function addExamples() {
  FACTS.examples.forEach((example) => {
    const image = imageOf(example);
    const canvas = made("canvas");
    show(canvas, image);
    const button = made("button", { type: "button" }, canvas);
    button.setAttribute("aria-label", `Example: ${example.name}`);
    button.addEventListener("click", () => take(image, { chosen: button }));
    element("examples").append(button);
  });
  const buttons = element("examples").children;
  buttons[Math.min(FACTS.first, buttons.length - 1)].click();
}

const erasePad = padOf(
  element("pad"),
  element("pen"),
  FACTS.size,
  oncePerFrame(takeDrawing),
);

function listen() {
  element("clear").addEventListener("click", () => {
    erasePad();
    takeDrawing();
  });
  element("noise").max = FACTS.noise.steps;
  element("noise").addEventListener("input", plan);
  element("invert").addEventListener("change", plan);
  element("again").addEventListener("click", () => {
    state.seed += 1;
    plan();
  });
  element("file").addEventListener("change", (event) => {
    takeFile(event.target.files[0]);
    event.target.value = ""; // The same file can be chosen again.
  });
  document.addEventListener("dragover", (event) => event.preventDefault());
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    takeFile(event.dataTransfer.files[0]);
  });
  document.addEventListener("paste", (event) => {
    takeFile(event.clipboardData.files[0]);
  });
}

function describe() {
  for (const [term, text] of FACTS.about) {
    element("about").append(made("dt", {}, term), made("dd", {}, text));
  }
  if (FACTS.noLabel) {
    element("reading").textContent = FACTS.noLabel;
    element("reading").className = "small";
    element("bars").hidden = true;
  }
}

async function start() {
  describe();
  listen();
  addExamples();
  const waiting = setTimeout(
    () => fail("the network has not answered for 30 seconds"),
    PATIENCE,
  );
  const source = element("network-source").textContent;
  run = await loaded(source, FACTS.network, element("weights").textContent);
  clearTimeout(waiting);
  element("weights").remove(); // Ten megabytes that nobody needs any more.
  element("status").textContent = "Ready. Nothing leaves this device.";
  element("status").className = "good";
  await ask();
  await check(run, FACTS.examples);
}

start();
