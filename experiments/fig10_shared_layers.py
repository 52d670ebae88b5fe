"""Figure 10: SSIM over the noise variance on SVHN, 1 and 4 shared layers.

  python -m launch.sweep --sweep=experiments/fig10_shared_layers.py:cpu \\
      --workdir=runs/paper

WDSR and SR2_WDSR with 1 and 4 shared layers. The paper prints curves, no
numbers, for a scale that it does not name (here: both). The curve of 4 shared
layers is flat and slightly lower at little noise, and the highest at much.

Time, budget cpu: 25 min at x4 and 64 min at x2, on two cores that had other
work as well.
"""

from experiments import fig8_shared_layers_x2, fig9_shared_layers_x4, runs


def sweep(budget: str = "paper") -> list[runs.Run]:
  """SR2_WDSR at both scales on SVHN."""
  return runs.merge(
    fig9_shared_layers_x4.sweep(budget), fig8_shared_layers_x2.sweep(budget)
  )
