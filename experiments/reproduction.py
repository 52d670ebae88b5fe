"""The runs behind docs/reproduction.md, part by part.

  python -m launch.sweep --sweep=experiments/reproduction.py:P1 \\
      --workdir=runs/reproduction

The word after the colon is the part. Epochs are `pretrain` + `joint`; hours are
estimates for two free cores.

  P0b  lambda for SR2_FSRCNN x4: .11, 1, 9 and 90, 3 seeds, 30 + 10; the one
       with the best validation SSIM at noise variance 1e-4         2.2 h
  P1   SR2_FSRCNN x4 against its control, 10 seeds, 30 + 30, the default  7.5 h
  P3   sequential against parallel, from P1's weights, 5 seeds, 5 epochs 4.6 h
  P4   1 and 4 shared layers: WDSR x4 on SVHN, with controls, 5 seeds, 10 + 4
                                                                     4.7 h
  P5   FSRCNN x2, WDSR x4 and x2 with their controls, 1 seed, 30 + 10   4 h
  P2   FSRCNN x4 and its control, the authors' 120 + 120, 3 seeds    8.9 h

Every network is evaluated with BatchNorm's statistics re-estimated and, as the
authors do, with the running ones. While a phase goes on, the test images are
evaluated after 1, 3, 10 and 30 of its epochs, but for P0b. Pretraining is a run
of its own, so that a cut costs one phase at most. Its rows have the same name
as SR2's, and so do those of other seeds: an experiment is one file in results/.

Pretrained networks are kept in results/weights/, so that run folders may be
lost; docs/reproduction.md has the commands.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from experiments import runs

_COMMON: dict[str, Any] = {
  "eval.batch_norm": ("reestimated", "running"),
  "eval.epochs": (1, 3, 10, 30),
  "eval.every_epochs": 1,
  "eval.splits": ("test",),
  # Each level costs as much as validation without noise.
  "eval.validation_noise_variances": (0.0, 1e-4),
  # A step may take seconds, and a kill should only cost minutes.
  "checkpoint.every_steps": 250,
  **{kind: levels[-1:] for kind, levels in runs.CORRUPTIONS.items()},
}

# The paper's for SR2. In P0b validation prefers 1 by 0.0001 in SSIM. That is no
# difference, and training a second lambda would take three quarters more time.
_LOSS_WEIGHTS = (9.0,)


def sweep(budget: str = "P1") -> list[runs.Run]:
  """The runs of a part; with P3 the pretraining of P1 that it starts from.

  Raises:
    ValueError: if there is no such part.
  """
  if budget not in BUDGETS:
    raise ValueError(
      f'there is no budget "{budget}"; the budgets are {", ".join(BUDGETS)}'
    )
  return BUDGETS[budget]()


def _p0b() -> list[runs.Run]:
  """One run for each lambda, all from the same pretraining.

  To choose lambda, neither the evaluations during a phase nor corruptions are
  needed, which take longer than the training.
  """
  pretrained = _pretrained(
    "P0b_mnist",
    "fsrcnn_x4",
    range(3),
    30,
    {
      "eval.splits": ("validation", "test"),
      "eval.epochs": (),
      **dict.fromkeys(runs.CORRUPTIONS, ()),
    },
  )
  found = [pretrained]
  for weight in (9.0, 0.11, 1.0, 90.0):
    run = _joint(
      pretrained, pretrained.experiment, 10, {"joint.loss_weight": (weight,)}
    )
    name = f"{run.name}_lambda_{weight:g}"
    found.append(dataclasses.replace(run, name=name))
  return found


def _p1() -> list[runs.Run]:
  return [
    run
    for first in range(0, 10, 2)
    for run in _compared(
      _pretrained("P1_mnist", "fsrcnn_x4", range(first, first + 2), 30), 30
    )
  ]


def _p2() -> list[runs.Run]:
  return _compared(_pretrained("P2_mnist", "fsrcnn_x4", range(3), 120), 120)


def _p3() -> list[runs.Run]:
  sources = [run for run in _p1() if run.init_from is None]
  found = []
  for source, num_seeds in zip(sources, (2, 2, 1), strict=False):
    parallel = {"num_seeds": num_seeds, "joint.loss_weight": _LOSS_WEIGHTS}
    sequential = {
      "num_seeds": num_seeds,
      "joint.loss_weight": (0.11,),
      "model.wiring": "sequential",
    }
    found += [
      source,
      _joint(source, "P3_mnist_fsrcnn_x4", 5, parallel),
      _joint(source, "P3_mnist_sequential_fsrcnn_x4", 5, sequential),
    ]
  return found


def _p4() -> list[runs.Run]:
  one = {"data.name": "svhn_cropped"}
  four = {**one, "model.shared_layers": 4}
  return [
    run
    for seed in range(5)
    for suffix, changes in (("", one), ("_4_shared", four))
    for run in _compared(
      _pretrained(
        "P4_svhn", "wdsr_x4", range(seed, seed + 1), 10, changes,
        suffix=suffix,
      ),
      4,
    )
  ]  # fmt: skip


def _p5() -> list[runs.Run]:
  return [
    run
    for file in ("fsrcnn_x2", "wdsr_x4", "wdsr_x2")
    for run in _compared(_pretrained("P5_mnist", file, range(1), 30), 10)
  ]


BUDGETS: dict[str, Callable[[], list[runs.Run]]] = {
  "P0b": _p0b, "P1": _p1, "P2": _p2, "P3": _p3, "P4": _p4, "P5": _p5,
}  # fmt: skip


def _pretrained(
  prefix: str,
  file: str,
  seeds: range,
  num_epochs: int,
  changes: Mapping[str, Any] | None = None,
  *,
  suffix: str = "",
) -> runs.Run:
  """Only the pretraining of an experiment file.

  It does not depend on lambda, which may be chosen after it.
  """
  return runs.Run(
    name=_name(f"{prefix}_pretrained_{file}{suffix}", seeds),
    config=f"experiments/{file}.py",
    overrides={
      **_COMMON,
      "seed": seeds.start,
      "num_seeds": len(seeds),
      "pretrain.num_epochs": num_epochs,
      "joint.num_epochs": 0,
      **(changes or {}),
    },
    fixed=("joint.*",),
    experiment=f"{prefix}_{file}{suffix}",
  )


def _compared(pretrained: runs.Run, num_epochs: int) -> list[runs.Run]:
  """A pretraining, and from it SR2 and its control, without a classifier."""
  experiment = pretrained.experiment
  part, data, rest = experiment.split("_", 2)
  control = f"{part}_{data}_sr_continued_{rest}"
  return [
    pretrained,
    _joint(
      pretrained, experiment, num_epochs, {"joint.loss_weight": _LOSS_WEIGHTS}
    ),
    _joint(pretrained, control, num_epochs, {"model.wiring": "none"}),
  ]


def _joint(
  pretrained: runs.Run,
  experiment: str,
  num_epochs: int,
  changes: Mapping[str, Any],
) -> runs.Run:
  """A run that starts `joint` from the weights of a pretraining."""
  overrides = {
    **pretrained.overrides, "joint.num_epochs": num_epochs, **changes,
  }  # fmt: skip
  first = overrides["seed"]
  return runs.Run(
    name=_name(experiment, range(first, first + overrides["num_seeds"])),
    config=pretrained.config,
    overrides=overrides,
    init_from=pretrained.name,
    experiment=experiment,
  )


def _name(experiment: str, seeds: range) -> str:
  words = ["seed" if len(seeds) == 1 else "seeds", *map(str, seeds)]
  return "_".join([experiment, *words])
