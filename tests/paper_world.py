"""Invented runs of the paper's methods, with scores of images and examples."""

import json

import numpy as np

from sr2_jax import names
from sr2_jax.records import arrays as arrays_lib
from sr2_jax.records import rows as rows_lib
from sr2_jax.report.paper import values as paper_values

METRICS = (*paper_values.SSIMS, "loss_sr", "accuracy")


def write_run(
  folder,
  method,
  score,
  *,
  dataset=paper_values.MNIST,
  scale=4,
  seeds=(0, 1, 2),
  shared_layers=1,
  l2=0.01,
  loss_weights=None,
  metrics=METRICS,
  levels=paper_values.LEVELS,
  num_images=12,
  step=100,
  arrays=True,
  examples=False,
  loss="mse",
  budget=(7, 5),
  batch_norm="reestimated",
):
  """A run folder with one method.

  `score(metric, level, seed, weight)` gives the score of its images, a number
  or an array [num_images].
  """
  known = names.method(method)
  trained = known.is_trained
  if loss_weights is None:
    loss_weights = (paper_values.LOSS_WEIGHTS.get(known.family),)
  members = tuple(
    rows_lib.Member(
      seed=seed, l2=l2 if trained else None, loss_weight=loss_weight
    )
    for seed in (seeds if trained else (None,))
    for loss_weight in loss_weights
  )
  scores = {
    metric: np.array(
      [
        [
          np.broadcast_to(
            score(metric, level, member.seed, member.loss_weight), num_images
          )
          for level in levels
        ]
        for member in members
      ],
      np.float32,
    )
    for metric in metrics
  }
  step = step if trained else 0
  rows = [
    rows_lib.Row(
      experiment=folder.name,
      method=method,
      dataset=dataset,
      split="test",
      scale=scale,
      shared_layers=shared_layers if trained else None,
      l2=member.l2,
      loss_weight=member.loss_weight,
      seed=member.seed,
      phase="none"
      if not trained
      else "pretrain"
      if member.loss_weight is None
      else "joint",
      step=step,
      epochs=None
      if not trained
      else budget[0 if member.loss_weight is None else 1],
      pretrain_epochs=None if member.loss_weight is None else budget[0],
      batch_norm=batch_norm if trained else None,
      noise_variance=variance,
      metric=metric,
      value=float(scores[metric][place, level].astype(np.float64).mean()),
      n=num_images,
    )
    for place, member in enumerate(members)
    for level, variance in enumerate(levels)
    for metric in metrics
  ]
  folder.mkdir(parents=True, exist_ok=True)
  rows_lib.merge(folder / "results.jsonl", rows)
  description = {
    "config": {
      "experiment": folder.name,
      "init_from": "",
      "data": {"name": dataset},
      "degradation": {"scale": scale},
      "model": {"trunk": known.trunk or "fsrcnn"},
      "loss": {"super_resolution": loss},
      "pretrain": {"num_epochs": 7},
      "joint": {"num_epochs": 5},
    },
    "devices": {"kind": "cpu", "count": 1, "cpu_cores": 2},
    "git_revision": "0123456789abcdef+changes",
    "dataset": {"notes": [f"{dataset}: half of it"], "fingerprint": "abc"},
    "later": [{"mode": "eval", "git_revision": "fedcba9876543210"}],
  }
  (folder / "config.json").write_text(json.dumps(description))
  (folder / "DONE").touch()
  common = {
    "members": members,
    "steps": (step,) * len(members),
    "noise_variances": np.array(levels),
  }
  if arrays:
    per_image = arrays_lib.PerImage(
      **common, scores=scores, batch_norm=batch_norm if trained else None
    )
    arrays_lib.write_per_image(folder, per_image, method=method, split="test")
  if examples:
    images = _examples(
      dataset, scale, classifies="accuracy" in metrics, **common
    )
    arrays_lib.write_examples(folder, images, method=method)
  return folder


def _examples(dataset, scale, *, classifies, members, noise_variances, steps):
  """Twenty gray images, two of each class.

  Each has a brightness of its own, and each level darkens it.
  """
  size, channels = (28, 1) if dataset == paper_values.MNIST else (32, 3)
  num_levels = len(noise_variances)
  bright = np.linspace(0.1, 1, 20, dtype=np.float32)[:, None, None, None]
  dark = np.linspace(1, 0.5, num_levels, dtype=np.float32)
  images = bright * np.ones((size, size, channels), np.float32)
  darkened = dark[:, None, None, None, None] * images
  labels = np.repeat(np.arange(10), 2)
  read = np.broadcast_to(labels, (len(members), num_levels, 20)).copy()
  read[:, -1] = (labels + 1) % 10
  return arrays_lib.Examples(
    members=members,
    steps=steps,
    noise_variances=noise_variances,
    labels=labels,
    positions=np.arange(20) * 3,
    high_res=images,
    low_res=darkened[:, :, ::scale, ::scale],
    super_res=np.broadcast_to(darkened, (len(members), *darkened.shape)),
    predicted=read if classifies else None,
  )


def constant(value, *, seed_spread=0.001, image_spread=0.002):
  """A score that differs between seeds and images, not between levels."""

  def score(metric, level, seed, weight):
    offsets = np.linspace(-1, 1, 12) * image_spread
    return value + seed_spread * ((seed or 0) - 1) + offsets

  return score


def write_paper(folder, *, mirrored=False, seeds=(0, 1, 2), examples=False):
  """Every run of the paper, in a world where all that it says is true.

  Mirrored, every score is turned about a level, so that what was above it is
  below.
  """
  for dataset in (paper_values.MNIST, paper_values.SVHN):
    for (method, scale, shared, weight), (at, slope) in _SSIM[dataset].items():

      def score(
        metric, level, seed, _, method=method, scale=scale, shared=shared,
        weight=weight, at=at, slope=slope, dataset=dataset,
      ):  # fmt: skip
        key = (method, scale, weight)
        # 0 from the authors' lowest level down, 1 from their highest up.
        position = np.clip((np.log10(max(level, 1e-6)) + 5) / 2, 0, 1)
        middle = 0.8
        if metric == "accuracy":
          low, high = _ACCURACY.get(key, (0.9, 0.9))
          value = low + (high - low) * position
        elif metric == "loss_sr":
          value = 0.02 + _GAIN.get(weight, 3) * level
          middle = 0.05
        else:
          decades = np.log10(max(level, 1e-6)) + 4
          value = at + slope * decades
          if shared == 4:
            value = at + slope * max(decades, 0)
        if mirrored:
          value = 2 * middle - value
        noise = np.random.default_rng([len(method), scale, seed or 0])
        # The error is smaller than the other scores, and so is its noise.
        small = 1e-3 if metric == "loss_sr" else 1
        return value + small * (
          noise.normal(0, 1e-5) + noise.normal(0, 2e-5, 12)
        )

      name = f"{dataset}_{method}_x{scale}_{shared}_{weight}"
      write_run(
        folder / name,
        method,
        score,
        dataset=dataset,
        scale=scale,
        seeds=seeds,
        shared_layers=shared,
        loss_weights=(weight,),
        metrics=METRICS
        if names.method(method).family in ("sequential", "sr2")
        else METRICS[:-1],
        examples=examples,
      )
  return folder


# SSIM at noise variance 1e-4, and its change a decade of noise.
_SSIM = {
  paper_values.MNIST: {
    ("bicubic", 4, 1, None): (0.35, -0.01),
    ("srmd", 2, 1, None): (0.917, -0.01),
    ("srmd", 4, 1, None): (0.803, -0.01),
    ("fsrcnn", 2, 1, None): (0.944, -0.03),
    ("fsrcnn", 4, 1, None): (0.796, -0.06),
    ("wdsr", 2, 1, None): (0.950, -0.03),
    ("wdsr", 4, 1, None): (0.768, -0.06),
    ("sr_continued_fsrcnn", 4, 1, 0.0): (0.800, -0.06),
    ("sr_continued_wdsr", 4, 1, 0.0): (0.780, -0.06),
    ("sequential_fsrcnn", 2, 1, 0.11): (0.930, -0.04),
    ("sequential_fsrcnn", 4, 1, 0.11): (0.700, -0.08),
    ("sr2_fsrcnn", 2, 1, 9.0): (0.942, -0.01),
    ("sr2_fsrcnn", 4, 1, 0.11): (0.815, -0.05),
    ("sr2_fsrcnn", 4, 1, 9.0): (0.828, -0.02),
    ("sr2_wdsr", 2, 1, 9.0): (0.959, -0.01),
    ("sr2_wdsr", 4, 1, 9.0): (0.801, -0.03),
  },
  paper_values.SVHN: {
    (method, scale, shared, weight): value
    for scale in (2, 4)
    for (method, shared, weight), value in {
      ("bicubic", 1, None): (0.6, -0.01),
      ("wdsr", 1, None): (0.80, -0.06),
      ("sr2_wdsr", 1, 9.0): (0.81, -0.06),
      ("sr2_wdsr", 4, 9.0): (0.78, -0.005),
    }.items()
  },
}
# Accuracy at the authors' lowest and highest noise.
_ACCURACY = {
  ("sr2_fsrcnn", 2, 9.0): (0.97, 0.96),
  ("sr2_fsrcnn", 4, 9.0): (0.95, 0.95),
  ("sr2_fsrcnn", 4, 0.11): (0.93, 0.93),
  ("sequential_fsrcnn", 2, 0.11): (0.97, 0.90),
  ("sequential_fsrcnn", 4, 0.11): (0.93, 0.50),
}
# Squared error that a unit of noise variance adds, by loss weight.
_GAIN = {0.0: 3.0, 0.11: 2.0, 9.0: 1.0}
