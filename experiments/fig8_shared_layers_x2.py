"""Figure 8: house numbers at x2 and noise variance 1e-4, 1 and 4 shared layers.

  python -m launch.sweep --sweep=experiments/fig8_shared_layers_x2.py:cpu \\
      --workdir=runs/paper

Truth, bicubic, WDSR, SR2_WDSR with 1 and with 4 shared layers, on SVHN. The
paper shows a 3 that 4 shared layers restore best.

Time, budget cpu: 34 and 30 min on two cores that had other work as well.
"""

from experiments import runs


def sweep(budget: str = "paper") -> list[runs.Run]:
  """SR2_WDSR at x2 on SVHN."""
  return runs.merge(
    [
      runs.sr2(budget, "svhn", "wdsr", 2, shared_layers=shared_layers)
      for shared_layers in (1, 4)
    ]
  )
