"""The whole paper: Table 1, figures 4 to 10, and the controls it lacks.

  python -m launch.sweep --sweep=experiments/paper.py:cpu --workdir=runs/paper

The budget "gpu" is what one GPU can settle in minutes, at the authors' epochs:

  python -m launch.sweep --sweep=experiments/paper.py:gpu --workdir=runs/gpu

To evaluate the released SRMD in each run as well:
  --set eval.srmd.weights=package --set eval.srmd.pca=srmd_pca_matlab.mat

Each item's file has the numbers to expect. The sequential network on the WDSR
trunk and the control on SVHN are extras. The most informative runs come first:
x4 before x2, FSRCNN before WDSR.

Time: docs/reproduction.md has that of each run so far.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

from experiments import (
  fig4_accuracy,
  fig5_examples,
  fig6_ssim,
  fig7_loss_weight,
  fig8_shared_layers_x2,
  fig9_shared_layers_x4,
  fig10_shared_layers,
  runs,
  table1,
)

ITEMS = (
  table1,
  fig4_accuracy,
  fig5_examples,
  fig6_ssim,
  fig7_loss_weight,
  fig8_shared_layers_x2,
  fig9_shared_layers_x4,
  fig10_shared_layers,
)


# Both kinds of statistics: the authors have the running ones. A checkpoint for
# every sixth of a phase, and none of the files that are large to carry.
_GPU = {
  "eval.batch_norm": ("reestimated", "running"),
  "eval.every_epochs": 10,
  "eval.splits": ("test",),
  "eval.validation_noise_variances": (0.0, 1e-4),
  "checkpoint.every_steps": 15_000,
  "log.every_steps": 750,
  "log.tensorboard": False,
  **{kind: levels[-1:] for kind, levels in runs.CORRUPTIONS.items()},
}


def sweep(budget: str = "paper") -> list[runs.Run]:
  """Every run that an item needs, and the extras; with "gpu" few of them.

  Raises:
    ValueError: if there is no such budget.
  """
  if budget == "gpu":
    return _of_gpu()
  if budget not in runs.BUDGETS:
    budgets = ", ".join([*runs.BUDGETS, "gpu"])
    raise ValueError(
      f'there is no budget "{budget}"; the budgets are {budgets}'
    )
  in_order = runs.merge(
    _of_fsrcnn(budget, 4),
    _of_wdsr(budget, 4),
    fig9_shared_layers_x4.sweep(budget),
    _of_fsrcnn(budget, 2),
    _of_wdsr(budget, 2),
    [runs.sequential(budget, "mnist", "wdsr", scale) for scale in (4, 2)],
    [runs.srmd_retrained(budget, scale) for scale in (4, 2)],
    fig8_shared_layers_x2.sweep(budget),
    [
      runs.continued(budget, "svhn", "wdsr", scale, shared_layers=shared)
      for scale in (4, 2)
      for shared in (1, 4)
    ],
  )
  needed = runs.merge(*(item.sweep(budget) for item in ITEMS))
  return runs.merge(in_order, needed)


def _of_gpu() -> list[runs.Run]:
  """Of MNIST: SR2 and its control, x4 and then x2, and sequential networks.

  Pretraining is a separate run. So a cut costs at most one phase, and weights
  carried to another machine are enough to go on there. With the paper's lambda
  alone a population has three members.
  """
  found: list[runs.Run] = []
  for trunk in ("fsrcnn", "wdsr"):
    for scale in (4, 2):
      sr2 = _changed(
        runs.sr2("paper", "mnist", trunk, scale), {"joint.loss_weight": (9.0,)}
      )
      control = runs.continued("paper", "mnist", trunk, scale)
      pretrained = dataclasses.replace(
        _changed(control, {"joint.num_epochs": 0}),
        name=f"mnist_pretrained_{trunk}_x{scale}",
        init_from=None,
        fixed=("joint.num_epochs",),
      )
      found += [
        pretrained,
        *(
          dataclasses.replace(run, init_from=pretrained.name)
          for run in (sr2, control)
        ),
      ]
  found += [
    dataclasses.replace(
      runs.sequential("paper", "mnist", "fsrcnn", scale),
      init_from=f"mnist_pretrained_fsrcnn_x{scale}",
    )
    for scale in (4, 2)
  ]
  return [_changed(run, _GPU) for run in found]


def _changed(run: runs.Run, changes: Mapping[str, Any]) -> runs.Run:
  return dataclasses.replace(run, overrides={**run.overrides, **changes})


def _of_fsrcnn(budget: str, scale: int) -> list[runs.Run]:
  makers = (runs.sr2, runs.continued, runs.sequential)
  return [make(budget, "mnist", "fsrcnn", scale) for make in makers]


def _of_wdsr(budget: str, scale: int) -> list[runs.Run]:
  makers = (runs.sr2, runs.continued)
  return [make(budget, "mnist", "wdsr", scale) for make in makers]
