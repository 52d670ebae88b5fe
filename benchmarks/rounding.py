"""What weights in float16 cost: how many 8-bit values of MNIST digits change.

  python -m benchmarks.rounding runs/fsrcnn_x4 --method=fsrcnn

Compares a run's weights with two ways of rounding them: kernels alone, as in
released weights, and all arrays. Nothing but the outputs of one seed is
compared; no time is measured.
"""

import argparse
import pathlib
import sys
import tempfile
from collections.abc import Mapping, Sequence

import numpy as np

from sr2_jax import cpu_tuning


def costs(run: str, method: str | None = None) -> dict[str, str]:
  """What each way of rounding changes, in words.

  Args:
    run: what --weights takes; the first seed counts.
    method: which network of a run folder; None: the last.
  """
  from sr2_jax.export import rounding
  from sr2_jax.prediction import choice
  from sr2_jax.records import weights
  from sr2_jax.release import source
  from sr2_jax.training import network

  chosen = choice.find(run, method=method, seeds="first")
  [path] = chosen.paths
  exact = network.from_files([path])
  low_res = rounding.digits(exact)

  def outputs(trained: network.Trained) -> dict[str, np.ndarray]:
    found = trained.apply(low_res)
    return {name: np.asarray(values)[0] for name, values in found.items()}

  def cost(arrays: Mapping[str, np.ndarray]) -> str:
    with tempfile.TemporaryDirectory() as folder:
      file = pathlib.Path(folder) / path.name
      weights.write(file, arrays, chosen.origins[0])
      return str(
        rounding.cost(outputs(exact), outputs(network.from_files([file])))
      )

  everything = weights.read(path)[0]
  return {
    "kernels": cost(source.arrays(path, "float16")),
    "all arrays": cost(
      {name: array.astype(np.float16) for name, array in everything.items()}
    ),
  }


def main(argv: Sequence[str] | None = None) -> None:
  """Compares, and prints a line for each way."""
  parser = argparse.ArgumentParser(prog="python -m benchmarks.rounding")
  parser.add_argument("weights")
  parser.add_argument("--method")
  flags = parser.parse_args(argv)
  cpu_tuning.prepare()
  for title, cost in costs(flags.weights, flags.method).items():
    print(f"{title} in float16: {cost}")


if __name__ == "__main__":
  main(sys.argv[1:])
