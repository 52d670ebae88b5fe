"use strict";
// A trained network, run as the list of layers that the page holds.
//
// A map is {height, width, channels, data}, with data a Float32Array in the
// order rows, columns, channels. A tensor is a Float32Array.

/** The value of each of the 65,536 float16 numbers. */
function float16Values() {
  const values = new Float32Array(65536);
  for (let bits = 0; bits < 65536; bits++) {
    const sign = bits & 0x8000 ? -1 : 1;
    const exponent = (bits >> 10) & 31;
    const fraction = bits & 1023;
    if (exponent === 0) values[bits] = sign * fraction * 2 ** -24;
    else if (exponent === 31) values[bits] = fraction ? NaN : sign / 0;
    else values[bits] = sign * (1024 + fraction) * 2 ** (exponent - 25);
  }
  return values;
}

/** The bytes that base64 text stands for. */
function bytesOf(base64) {
  const text = atob(base64);
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  return bytes;
}

/** Tensors from the bytes of all; each is {start, length, half}. */
function readTensors(bytes, tensors) {
  const values = float16Values();
  const view = new DataView(bytes.buffer);
  return tensors.map(({ start, length, half }) => {
    const size = half ? 2 : 4;
    if (start + size * length > bytes.length) {
      throw new Error("the weights in this page are incomplete");
    }
    const tensor = new Float32Array(length);
    for (let i = 0; i < length; i++) {
      const place = start + size * i;
      tensor[i] = half
        ? values[view.getUint16(place, true)]
        : view.getFloat32(place, true);
    }
    return tensor;
  });
}

function emptyMap(height, width, channels) {
  const data = new Float32Array(height * width * channels);
  return { height, width, channels, data };
}

/** Output size and first tap of a convolution along one axis.
 *
 * `spread` - 1 zeros are between the inputs, which makes it a transposed one.
 */
function axisOf(length, size, stride, spread) {
  if (spread > 1) return { length: length * spread, first: -(size >> 1) };
  const outputs = Math.ceil(length / stride);
  const padding = Math.max((outputs - 1) * stride + size - length, 0);
  return { length: outputs, first: -(padding >> 1) };
}

/** The pixels that each output sees, one row for each, zeros outside. */
function patchesOf(x, size, stride, spread, rows, columns) {
  const depth = x.channels;
  const patches = new Float32Array(
    rows.length * columns.length * size * size * depth,
  );
  let place = 0;
  for (let row = 0; row < rows.length; row++) {
    for (let column = 0; column < columns.length; column++) {
      for (let dy = 0; dy < size; dy++) {
        const y = (row * stride + rows.first + dy) / spread;
        for (let dx = 0; dx < size; dx++, place += depth) {
          const x0 = (column * stride + columns.first + dx) / spread;
          if (y < 0 || x0 < 0 || y >= x.height || x0 >= x.width) continue;
          if (!Number.isInteger(y) || !Number.isInteger(x0)) continue;
          const from = (y * x.width + x0) * depth;
          for (let c = 0; c < depth; c++) patches[place + c] = x.data[from + c];
        }
      }
    }
  }
  return patches;
}

/** Products of four patches with each two kernels: most of the time is here.
 *
 * Eight sums stay in registers, which is four times as fast as one at a time.
 * `patches` has a multiple of four rows, `kernels` a multiple of two.
 */
function multiply(patches, kernels, length, out) {
  const features = (kernels.length / length) | 0;
  for (let p = 0; p * length < patches.length; p += 4) {
    const a = p * length, b = a + length, c = b + length, d = c + length;
    for (let n = 0; n < features; n += 2) {
      const u = n * length, v = u + length;
      let a0 = 0, b0 = 0, c0 = 0, d0 = 0, a1 = 0, b1 = 0, c1 = 0, d1 = 0;
      for (let k = 0; k < length; k++) {
        const w0 = kernels[u + k], w1 = kernels[v + k];
        const xa = patches[a + k], xb = patches[b + k];
        const xc = patches[c + k], xd = patches[d + k];
        a0 += xa * w0; b0 += xb * w0; c0 += xc * w0; d0 += xd * w0;
        a1 += xa * w1; b1 += xb * w1; c1 += xc * w1; d1 += xd * w1;
      }
      const o = p * features + n;
      out[o] = a0; out[o + 1] = a1;
      out[o + features] = b0; out[o + features + 1] = b1;
      out[o + 2 * features] = c0; out[o + 2 * features + 1] = c1;
      out[o + 3 * features] = d0; out[o + 3 * features + 1] = d1;
    }
  }
}

/** `values` with zeros after them, up to a multiple of `step`. */
function filledUp(values, step) {
  const length = Math.ceil(values.length / step) * step;
  if (length === values.length) return values;
  const longer = new Float32Array(length);
  longer.set(values);
  return longer;
}

/** A convolution; `kernel` has a row of size² channels for each feature. */
function convolve([x], { kernel, bias, size, stride, spread }) {
  // As an integer, also where a quotient made the channels: with one that is
  // stored as a fraction, `multiply` takes twice the time in V8.
  const length = (size * size * x.channels) | 0;
  const rows = axisOf(x.height, size, stride, spread);
  const columns = axisOf(x.width, size, stride, spread);
  const patches = filledUp(
    patchesOf(x, size, stride, spread, rows, columns),
    4 * length,
  );
  const kernels = filledUp(kernel, 2 * length);
  const width = kernels.length / length;
  const products = new Float32Array((patches.length / length) * width);
  multiply(patches, kernels, length, products);
  const out = emptyMap(rows.length, columns.length, bias.length);
  for (let p = 0; p < rows.length * columns.length; p++) {
    for (let n = 0; n < bias.length; n++) {
      out.data[p * bias.length + n] = products[p * width + n] + bias[n];
    }
  }
  return out;
}

/** BatchNorm, as a gain and an offset for each channel, and PReLU. */
function activate([x], { gain, offset, slope }) {
  const out = emptyMap(x.height, x.width, x.channels);
  for (let i = 0; i < out.data.length; i++) {
    const c = i % x.channels;
    const y = x.data[i] * gain[c] + offset[c];
    out.data[i] = y > 0 ? y : y * slope[c];
  }
  return out;
}

function add([x, y]) {
  return { ...x, data: x.data.map((value, i) => value + y.data[i]) };
}

/** Channels as sub-pixels, in the order rows, columns, channels. */
function depthToSpace([x], { scale }) {
  const depth = x.channels / scale ** 2;
  const out = emptyMap(x.height * scale, x.width * scale, depth);
  let place = 0;
  for (let row = 0; row < out.height; row++) {
    for (let column = 0; column < out.width; column++) {
      const y = Math.floor(row / scale), x0 = Math.floor(column / scale);
      const sub = (row % scale) * scale + (column % scale);
      const from = (y * x.width + x0) * x.channels + sub * depth;
      for (let c = 0; c < depth; c++) out.data[place++] = x.data[from + c];
    }
  }
  return out;
}

/** The largest of the pixels around each; those outside do not count. */
function maxPool([x], { size }) {
  const out = emptyMap(x.height, x.width, x.channels);
  out.data.fill(-Infinity);
  const half = (size - 1) >> 1;
  for (let row = 0; row < x.height; row++) {
    for (let column = 0; column < x.width; column++) {
      const place = (row * x.width + column) * x.channels;
      for (let tap = 0; tap < size * size; tap++) {
        const y = row + Math.floor(tap / size) - half;
        const x0 = column + (tap % size) - half;
        if (y < 0 || x0 < 0 || y >= x.height || x0 >= x.width) continue;
        const from = (y * x.width + x0) * x.channels;
        for (let c = 0; c < x.channels; c++) {
          const value = x.data[from + c];
          if (value > out.data[place + c]) out.data[place + c] = value;
        }
      }
    }
  }
  return out;
}

/** The mean over all pixels, a map of one pixel. */
function mean([x]) {
  const out = emptyMap(1, 1, x.channels);
  const sums = new Float64Array(x.channels);
  for (let i = 0; i < x.data.length; i++) sums[i % x.channels] += x.data[i];
  out.data.set(sums.map((sum) => sum / (x.height * x.width)));
  return out;
}

const LAYERS = {
  conv: convolve,
  activate,
  add,
  depth_to_space: depthToSpace,
  max_pool: maxPool,
  mean,
};

/** A function from an image to {superRes, logits}; logits may be null.
 *
 * `list` has {layers, tensors, superRes, logits}. Value 0 is the image, value
 * i + 1 the result of layer i; a layer names its inputs, `from`, by number.
 */
function networkOf(list, bytes) {
  const tensors = readTensors(bytes, list.tensors);
  const layers = list.layers.map((layer) => {
    const own = { ...layer };
    for (const name of ["kernel", "bias", "gain", "offset", "slope"]) {
      if (name in layer) own[name] = tensors[layer[name]];
    }
    return own;
  });
  return (image) => {
    const values = [image];
    for (const layer of layers) {
      const inputs = layer.from.map((number) => values[number]);
      values.push(LAYERS[layer.kind](inputs, layer));
    }
    return {
      superRes: values[list.superRes],
      logits: list.logits === null ? null : values[list.logits].data,
    };
  };
}
