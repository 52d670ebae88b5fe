"""Speed of prediction, in CPU seconds: other work on the machine matters less.

  python -m benchmarks.prediction digits
  python -m benchmarks.prediction large --width=4000 --height=3000

The first compares digits as arrays, through a predictor of SR2_FSRCNN x4, with
the program that evaluates the same network on as many images. The second has
seconds and peak memory of one gray image at FSRCNN x2; with --pytorch those of
PyTorch's network on the same image, as a whole. Networks are untrained.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from sr2_jax import cpu_tuning, memory


def cpu_seconds(work: Callable[[], Any]) -> float:
  """Of all threads of this process."""
  begin = time.process_time()
  work()
  return time.process_time() - begin


def predictor_of(network: str, scale: int) -> Any:
  """A predictor of an untrained network, a key of `goals.NETWORKS`."""
  import jax
  import jax.numpy as jnp

  from benchmarks import ours
  from sr2_jax.prediction import predictor
  from sr2_jax.records import rows, weights
  from sr2_jax.training import network as network_lib

  config = ours.config_of(network, scale)
  has_classifier = config.model.wiring != "none"
  origin = weights.Origin(
    config=config.to_dict(),
    image_shape=(28, 28, 1),
    class_names=tuple("0123456789"),
    phase="joint" if has_classifier else "pretrain",
    method=network,
    member=rows.Member(seed=0),
    step=0,
  )
  built = network_lib.build(config, origin.image_shape, 10, phase=origin.phase)
  variables = jax.vmap(built.init)(jnp.zeros(1, jnp.uint32))
  return predictor.Predictor(
    network_lib.Trained(built, jax.tree.map(np.asarray, variables), (origin,))
  )


def digits(num_images: int, rounds: int) -> dict[str, list[float]]:
  """CPU seconds of both programs, in turns, compiled before."""
  from benchmarks import ours
  from sr2_jax import parallel

  random = np.random.default_rng(0)
  high_res = random.integers(0, 256, (num_images, 28, 28, 1), np.uint8)
  low_res = random.integers(0, 256, (num_images, 7, 7, 1), np.uint8)
  labels = random.integers(0, 10, num_images, np.int32)
  evaluate = ours.evaluation_of(
    high_res, labels, parallel.layout("data", 0), noise_variances=(0.0,)
  )
  predict = predictor_of("sr2_fsrcnn", 4)
  predict(low_res)
  found: dict[str, list[float]] = {"predictor": [], "evaluation": []}
  for _ in range(rounds):
    found["evaluation"].append(cpu_seconds(lambda: evaluate(1)))
    found["predictor"].append(cpu_seconds(lambda: predict(low_res)))
  return found


def large(width: int, height: int, *, pytorch: bool) -> dict[str, float]:
  """CPU seconds and peak memory of one image, compiled before."""
  image = np.random.default_rng(0).integers(0, 256, (height, width), np.uint8)
  if pytorch:
    work = _of_pytorch(image)
  else:
    predict = predictor_of("fsrcnn", 2)
    predict(image[:512, :512], tile=256)
    work = lambda: predict(image)  # noqa: E731
  seconds = cpu_seconds(work)
  return {"cpu_seconds": seconds, "peak_gb": memory.peak_bytes() / 1e9}


def _of_pytorch(image: np.ndarray) -> Callable[[], Any]:
  import torch  # pyright: ignore[reportMissingImports]

  from benchmarks import theirs

  network = theirs.network_of({"network": "fsrcnn", "scale": 2}).eval()
  pixels = torch.from_numpy(image)[None, None].float() / 255

  def work() -> None:
    with torch.inference_mode():
      network(pixels)

  return work


def main(argv: Sequence[str] | None = None) -> None:
  """Measures, and prints the outcome as JSON."""
  parser = argparse.ArgumentParser(prog="python -m benchmarks.prediction")
  parser.add_argument("what", choices=("digits", "large"))
  parser.add_argument("--images", type=int, default=10_000)
  parser.add_argument("--rounds", type=int, default=3)
  parser.add_argument("--width", type=int, default=4_000)
  parser.add_argument("--height", type=int, default=3_000)
  parser.add_argument("--pytorch", action="store_true")
  flags = parser.parse_args(argv)
  cpu_tuning.prepare()  # As sr2_jax.predict does.
  if flags.what == "digits":
    print(json.dumps(digits(flags.images, flags.rounds)))
  else:
    print(json.dumps(large(flags.width, flags.height, pytorch=flags.pytorch)))


if __name__ == "__main__":
  main(sys.argv[1:])
