"use strict";
// Images: read, shrunk, enlarged, made noisy and shown. Maps are as in
// network.js, with values in [0, 1].

/** rows X columns^T of each channel; rows and columns are lists of lists. */
function resampled(x, rows, columns) {
  const halfway = emptyMap(rows.length, x.width, x.channels);
  const line = x.width * x.channels;
  rows.forEach((weights, row) => {
    weights.forEach((weight, y) => {
      if (weight === 0) return;
      for (let i = 0; i < line; i++) {
        halfway.data[row * line + i] += weight * x.data[y * line + i];
      }
    });
  });
  const out = emptyMap(rows.length, columns.length, x.channels);
  for (let row = 0; row < rows.length; row++) {
    columns.forEach((weights, column) => {
      for (let c = 0; c < x.channels; c++) {
        let sum = 0;
        weights.forEach((weight, i) => {
          sum += weight * halfway.data[(row * x.width + i) * x.channels + c];
        });
        out.data[(row * columns.length + column) * x.channels + c] = sum;
      }
    });
  }
  return out;
}

/** Weights of the mean over intervals of `step` pixels; outside is zero. */
function meansOver(start, step, length, count) {
  return Array.from({ length: count }, (_, i) => {
    const first = start + i * step;
    return Array.from({ length }, (_, pixel) => {
      const shared = Math.min(first + step, pixel + 1) - Math.max(first, pixel);
      return Math.max(shared, 0) / step;
    });
  });
}

/** The square of `step` x `step` pixels that each pixel of a size averages. */
function averaged(x, { top, left, step }, [height, width]) {
  return resampled(
    x,
    meansOver(top, step, x.height, height),
    meansOver(left, step, x.width, width),
  );
}

/** A map of a canvas; gray is the luma of colors (ITU-R BT.601). */
function mapOf(canvas, channels) {
  const { width, height } = canvas;
  const pixels = canvas.getContext("2d").getImageData(0, 0, width, height).data;
  const x = emptyMap(height, width, channels);
  for (let i = 0; i < width * height; i++) {
    const [red, green, blue] = pixels.subarray(4 * i, 4 * i + 3);
    if (channels === 3) x.data.set([red / 255, green / 255, blue / 255], 3 * i);
    else x.data[i] = (0.299 * red + 0.587 * green + 0.114 * blue) / 255;
  }
  return x;
}

/** Draws a map on a canvas, one pixel for each; values are clipped. */
function show(canvas, x) {
  canvas.width = x.width;
  canvas.height = x.height;
  const image = new ImageData(x.width, x.height);
  for (let i = 0; i < x.width * x.height; i++) {
    for (let c = 0; c < 3; c++) {
      const value = x.data[i * x.channels + (x.channels === 3 ? c : 0)];
      image.data[4 * i + c] = Math.round(255 * value);
    }
    image.data[4 * i + 3] = 255;
  }
  canvas.getContext("2d").putImageData(image, 0, 0);
}

function inverted(x) {
  return { ...x, data: x.data.map((value) => 1 - value) };
}

function brightness(x) {
  return x.data.reduce((sum, value) => sum + value, 0) / x.data.length;
}

/** Peak signal-to-noise ratio in dB; the peak is 1 and nothing is clipped. */
function psnr(x, original) {
  let sum = 0;
  x.data.forEach((value, i) => (sum += (value - original.data[i]) ** 2));
  return -10 * Math.log10(sum / x.data.length);
}

/** Uniform numbers in (0, 1) from a seed (mulberry32). */
function uniformFrom(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let bits = Math.imul(state ^ (state >>> 15), state | 1);
    bits ^= bits + Math.imul(bits ^ (bits >>> 7), bits | 61);
    return (((bits ^ (bits >>> 14)) >>> 0) + 0.5) / 2 ** 32;
  };
}

/** `x` with Gaussian noise, clipped; one seed is one draw for all levels. */
function withNoise(x, deviation, seed) {
  if (deviation === 0) return x;
  const uniform = uniformFrom(seed);
  const data = x.data.map((value) => {
    const radius = Math.sqrt(-2 * Math.log(uniform()));
    const normal = radius * Math.cos(2 * Math.PI * uniform());
    return Math.min(Math.max(value + deviation * normal, 0), 1);
  });
  return { ...x, data };
}

// Larger pictures are first reduced by the browser.
const LONGEST_SIDE = 1024;

/** The middle of a picture with the given proportions, as a map. */
function middleOf(picture, [height, width], channels) {
  const factor = Math.min(picture.width / width, picture.height / height);
  const crop = [width * factor, height * factor];
  const reduction = Math.min(1, LONGEST_SIDE / Math.max(...crop));
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = crop.map((side) =>
    Math.max(1, Math.round(side * reduction)),
  );
  const context = canvas.getContext("2d");
  context.fillStyle = "#fff"; // Under transparent pixels.
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.imageSmoothingQuality = "high";
  const left = (picture.width - crop[0]) / 2;
  const top = (picture.height - crop[1]) / 2;
  const all = [0, 0, canvas.width, canvas.height];
  context.drawImage(picture, left, top, ...crop, ...all);
  return mapOf(canvas, channels);
}

/** A picture fitted into a size: its middle, averaged. */
function fitted(picture, size, channels) {
  const x = middleOf(picture, size, channels);
  return resampled(
    x,
    meansOver(0, x.height / size[0], x.height, size[0]),
    meansOver(0, x.width / size[1], x.width, size[1]),
  );
}

/** What an image file shows, upright. */
async function pictureOf(file) {
  try {
    return await createImageBitmap(file);
  } catch {
    throw new Error(`${file.name || "this"} cannot be read as an image`);
  }
}

// The longer side of a digit of MNIST, and how much it may be enlarged.
const DIGIT_SIDE = 20;
const MOST_ENLARGED = 2.5;

/** Where MNIST has a digit: 20 px long, its center of mass in the middle. */
function placeOfDigit(x, [height, width]) {
  const usual = x.width / width;
  let [top, left, bottom, right] = [Infinity, Infinity, 0, 0];
  let [total, sumY, sumX] = [0, 0, 0];
  x.data.forEach((value, i) => {
    if (value < 0.05) return;
    const [row, column] = [Math.floor(i / x.width), i % x.width];
    [top, left] = [Math.min(top, row), Math.min(left, column)];
    [bottom, right] = [Math.max(bottom, row + 1), Math.max(right, column + 1)];
    total += value;
    sumY += value * (row + 0.5);
    sumX += value * (column + 0.5);
  });
  if (total === 0) return { top: 0, left: 0, step: usual };
  const step = Math.max(
    Math.max(bottom - top, right - left) / DIGIT_SIDE,
    usual / MOST_ENLARGED,
  );
  return {
    top: sumY / total - (height / 2) * step,
    left: sumX / total - (width / 2) * step,
    step,
  };
}
