"""Times every form of `models.conv` on the convolutions of the networks.

  python -m benchmarks.convolutions [--size 7] [--batch 64]

Prints one line for each part of each convolution: the result, the kernel
gradient and, for strides, the input gradient. Times are milliseconds, the least
of several runs. "*" marks the form that `models.conv` chooses; its rule follows
this table.
"""

import argparse
import functools
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from sr2_jax import cpu_tuning
from sr2_jax.models import conv

FORMS = {
  "xla": conv.by_xla,
  "patches": conv.by_patches,
  "rows": conv.by_rows,
  "bands": conv.by_bands,
  "map": conv.by_map,
}
KERNEL_GRADIENTS = {name: conv.transposed(form) for name, form in FORMS.items()}

# (map, in, out, kernel, stride) of FSRCNN, WDSR and the classifier at x4 and at
# x2, and of the classifier on MNIST's 28 px. (7, 16, 56, 9, 1) and
# (14, 4, 56, 9, 1) are input gradients.
SHAPES = (
  (7, 1, 56, 5, 1), (7, 1, 32, 3, 1), (7, 56, 12, 1, 1), (7, 12, 12, 3, 1),
  (7, 56, 16, 9, 1), (7, 16, 56, 9, 1), (7, 56, 48, 9, 1),
  (7, 32, 32, 3, 1), (7, 32, 48, 3, 1), (7, 32, 48, 5, 1), (7, 56, 64, 3, 1),
  (7, 64, 64, 3, 1), (7, 64, 128, 3, 2), (4, 128, 128, 3, 1),
  (4, 128, 256, 3, 2), (2, 256, 256, 3, 1),
  (14, 1, 56, 5, 1), (14, 1, 32, 3, 1), (14, 12, 12, 3, 1), (14, 56, 4, 9, 1),
  (14, 4, 56, 9, 1), (14, 56, 12, 9, 1), (14, 32, 32, 3, 1), (14, 32, 12, 5, 1),
  (14, 64, 64, 3, 1), (14, 64, 128, 3, 2), (8, 3, 56, 5, 1), (16, 3, 56, 5, 1),
  (7, 128, 128, 3, 1), (7, 128, 256, 3, 2), (4, 256, 256, 3, 1),
  (28, 1, 64, 3, 1), (28, 64, 64, 3, 1), (28, 64, 128, 3, 2),
)  # fmt: skip


def milliseconds(
  function: Callable[..., jax.Array], *arguments: jax.Array, runs: int
) -> float:
  """Least time of a compiled call, in ms."""
  compiled = jax.jit(function)
  jax.block_until_ready(compiled(*arguments))
  times = []
  for _ in range(runs):
    begin = time.perf_counter()
    jax.block_until_ready(compiled(*arguments))
    times.append(time.perf_counter() - begin)
  return 1e3 * min(times)


def forms_for(
  channels: int, features: int, geometry: conv.Geometry
) -> set[str]:
  """Forms that can compute a convolution and are not too large for it."""
  names = set(FORMS)
  if geometry.strides != (1, 1):
    names.remove("rows")
  operator = conv.map_operator_size(channels, features, geometry)
  if operator > conv.LARGEST_OPERATOR:
    names.remove("map")
  return names


def times(
  shape: Sequence[int], *, batch: int, runs: int
) -> dict[str, tuple[str, dict[str, float]]]:
  """Chosen form and the milliseconds of each form, for each part.

  At stride 1 an input gradient is a convolution with the flipped kernel, so
  only strided ones are a part. Their chosen form is "patches".
  """
  size, channels, features, width, stride = shape
  x_shape = (batch, size, size, channels)
  kernel_shape = (width, width, channels, features)
  geometry = conv.geometry_of(x_shape, kernel_shape, (stride, stride), "SAME")
  assert geometry is not None
  covering = forms_for(channels, features, geometry)
  random = np.random.default_rng(0)

  def draw(*shape: int) -> jax.Array:
    return jnp.asarray(random.standard_normal(shape), jnp.float32)

  x, kernel = draw(*x_shape), draw(*kernel_shape)
  g = draw(batch, geometry.out(0), geometry.out(1), features)

  def measure(
    candidates: Mapping[str, Callable[..., jax.Array]], *arguments: jax.Array
  ) -> dict[str, float]:
    return {
      name: milliseconds(
        functools.partial(candidate, geometry=geometry), *arguments, runs=runs
      )
      for name, candidate in candidates.items()
      if name in covering
    }

  chosen = conv.choose(x_shape, features, geometry)
  chosen_gradient = conv.choose_for_kernel_gradient(x_shape, features, geometry)
  found = {
    "result": (_name_of(chosen, FORMS), measure(FORMS, x, kernel)),
    "kernel gradient": (
      _name_of(chosen_gradient, KERNEL_GRADIENTS),
      measure(KERNEL_GRADIENTS, x, g),
    ),
  }
  if stride > 1:
    transposes = {
      name: functools.partial(_input_gradient, form, x_shape)
      for name, form in FORMS.items()
    }
    found["input gradient"] = ("patches", measure(transposes, g, kernel))
  return found


def _input_gradient(
  form: conv.Form,
  x_shape: tuple[int, ...],
  g: jax.Array,
  kernel: jax.Array,
  geometry: conv.Geometry,
) -> jax.Array:
  """Gradient of the input, by the transpose of a form."""
  x = jax.ShapeDtypeStruct(x_shape, jnp.float32)
  return jax.linear_transpose(lambda x: form(x, kernel, geometry), x)(g)[0]


def _name_of(chosen: Any, candidates: Mapping[str, Any]) -> str:
  return next(name for name, other in candidates.items() if other is chosen)


def main(argv: Sequence[str]) -> None:
  """Prints the table."""
  parser = argparse.ArgumentParser(prog="python -m benchmarks.convolutions")
  parser.add_argument("--size", type=int, help="only maps of this many pixels")
  parser.add_argument("--batch", type=int, default=64)
  parser.add_argument("--runs", type=int, default=9)
  arguments = parser.parse_args(argv)
  cpu_tuning.prepare()  # As sr2_jax.main does.
  for shape in SHAPES:
    if arguments.size not in (None, shape[0]):
      continue
    size, channels, features, width, stride = shape
    print(
      f"{size}x{size} px, {channels} -> {features}, {width}x{width}, "
      f"stride {stride}"
    )
    found = times(shape, batch=arguments.batch, runs=arguments.runs)
    for part, (chosen, values) in found.items():
      cells = (
        f"{name}{'*' if name == chosen else ''} {value:.2f}"
        for name, value in sorted(values.items(), key=lambda item: item[1])
      )
      print(f"  {part:<16}{'  '.join(cells)}", flush=True)


if __name__ == "__main__":
  main(sys.argv[1:])
