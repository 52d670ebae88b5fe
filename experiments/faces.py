"""Faces and other patches: few images of your own, and a fine-tuned network.

This writes 200 gray images of 25x25 pixels, 100 of them faces, which come with
scikit-image (`pip install scikit-image`):

  python -m experiments.faces --out=data/faces

These train SR2_FSRCNN at x4 on half of them, five seeds, first from new weights
and then from released ones that were trained on digits. The last command
compares them; docs/own-data.md has what came out:

  python -m sr2_jax.main --config=experiments/faces.py
  python -m sr2_jax.main --config=experiments/faces.py \\
      --config.experiment=faces_tuned --config.fine_tune=true \\
      --config.init_from=sr2_fsrcnn_x4_mnist
  python -m experiments.faces --compare runs/faces runs/faces_tuned

The images are a part of Labeled Faces in the Wild, chosen and reduced by
scikit-image's authors. Some of the others show parts of faces.
"""

import argparse
import collections
import json
import pathlib
import statistics
import sys
from collections.abc import Iterable, Sequence

import ml_collections

from experiments import default

# The faces come first.
_NUM_FACES = 100
_METRICS = ("ssim", "psnr_db", "accuracy")


def get_config() -> ml_collections.ConfigDict:
  """SR2_FSRCNN at x4 on 24x24 pixels of the images in data/faces."""
  config = default.get_config()
  config.experiment = "faces"
  config.num_seeds = 5
  config.batch_size = 20
  config.data.name = "folder"
  config.data.path = "data/faces"
  config.data.validation_fraction = 0.25
  # The scale divides 24, not 25.
  config.data.fit = "crop"
  config.degradation.scale = 4

  # As in experiments/plates.py.
  config.loss.l2 = (1e-5,)
  config.model.batch_norm_momentum = 0.9
  config.pretrain.num_epochs = 200
  config.joint.num_epochs = 100
  config.joint.learning_rate.shared = 1e-3
  config.joint.learning_rate.sr = 1e-3
  config.joint.learning_rate.classifier = 1e-3
  config.joint.loss_weight = (0.1,)

  config.eval.noise_variances = (0.0, 1e-3)
  config.eval.validation_noise_variances = (0.0,)
  config.eval.every_epochs = 20
  config.eval.epochs = (10, 30)
  config.eval.splits = ("test",)
  return config


def main(arguments: Sequence[str] | None = None) -> int:
  """Writes the images or compares two runs, and returns the exit code."""
  parser = argparse.ArgumentParser(prog="python -m experiments.faces")
  parser.add_argument("--out", default="data/faces", metavar="FOLDER")
  parser.add_argument("--compare", nargs=2, metavar="RUN")
  flags = parser.parse_args(arguments)
  out = pathlib.Path(flags.out).expanduser()
  try:
    if flags.compare:
      print("\n".join(compared(*map(pathlib.Path, flags.compare))))
      return 0
    count = write(out)
  except ImportError as error:
    print(f"{error}: pip install scikit-image", file=sys.stderr)
    return 2
  except OSError as error:
    print(f"{error.filename or out}: {error.strerror}.", file=sys.stderr)
    return 2
  print(f"{count} images of 2 classes are in {out}.")
  return 0


def write(out: pathlib.Path) -> int:
  """Writes out/face/*.png and out/other/*.png; returns how many there are.

  Raises:
    ImportError: without scikit-image.
    OSError: if nothing can be written there.
  """
  from PIL import Image
  from skimage import data, util

  images = util.img_as_ubyte(data.lfw_subset())
  for number, image in enumerate(images):
    folder = out / ("face" if number < _NUM_FACES else "other")
    folder.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(folder / f"{number:03}.png")
  return len(images)


def compared(first: pathlib.Path, second: pathlib.Path) -> list[str]:
  """A line for each phase, number of epochs and metric, without noise.

  It has the means of both runs on test images, and the second less the first,
  paired by seed, each ± half its 95 % interval over seeds (Student's t).

  Args:
    first: a run folder.
    second: another, of the same seeds.
  """
  runs = [_by_seed(folder) for folder in (first, second)]
  lines = [f"phase, epochs, metric: {first.name}, {second.name}, difference"]
  for key in sorted(runs[0].keys() & runs[1].keys()):
    one, two = (run[key] for run in runs)
    seeds = sorted(one.keys() & two.keys())
    columns = (
      [one[seed] for seed in seeds],
      [two[seed] for seed in seeds],
      [two[seed] - one[seed] for seed in seeds],
    )
    phase, epochs, metric = key
    numbers = ", ".join(map(_with_interval, columns))
    lines.append(f"{phase}, {epochs:g}, {metric}: {numbers}")
  return lines


def _by_seed(
  run: pathlib.Path,
) -> dict[tuple[str, float, str], dict[int, float]]:
  found = collections.defaultdict(dict)
  for line in (run / "results.jsonl").read_text().splitlines():
    row = json.loads(line)
    if (
      row["seed"] is not None
      and row["metric"] in _METRICS
      and row["noise_variance"] == 0
      and row["corruption"] is None
    ):
      key = (row["phase"], row["epochs"], row["metric"])
      found[key][row["seed"]] = row["value"]
  return found


def _with_interval(values: Iterable[float]) -> str:
  from scipy import stats

  values = list(values)
  count = len(values)
  error = statistics.stdev(values) / count**0.5
  half = stats.t.ppf(0.975, count - 1) * error
  return f"{statistics.mean(values):.3f} ± {half:.3f}"


if __name__ == "__main__":
  sys.exit(main())
