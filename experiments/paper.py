"""The whole paper: Table 1, figures 4 to 10, and the controls it lacks.

  python -m launch.sweep --sweep=experiments/paper.py:cpu --workdir=runs/paper

To evaluate the released SRMD in each run as well:
  --set eval.srmd.weights=package --set eval.srmd.pca=srmd_pca_matlab.mat

Each item's file has the numbers to expect. The sequential network on the WDSR
trunk and the control on SVHN are extras. The most informative runs come first:
x4 before x2, FSRCNN before WDSR.

Time: docs/reproduction.md has that of each run so far.
"""

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


def sweep(budget: str = "paper") -> list[runs.Run]:
  """Every run that an item needs, and the extras."""
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


def _of_fsrcnn(budget: str, scale: int) -> list[runs.Run]:
  makers = (runs.sr2, runs.continued, runs.sequential)
  return [make(budget, "mnist", "fsrcnn", scale) for make in makers]


def _of_wdsr(budget: str, scale: int) -> list[runs.Run]:
  makers = (runs.sr2, runs.continued)
  return [make(budget, "mnist", "wdsr", scale) for make in makers]
