"""Figure 9: house numbers at x4 and noise variance 1e-3, 4 shared layers.

  python -m launch.sweep --sweep=experiments/fig9_shared_layers_x4.py:cpu \\
      --workdir=runs/paper

Input, WDSR, SR2_WDSR with 4 shared layers, on SVHN; here with 1 shared layer as
well. The paper's example is the digit 4.

Time, budget cpu: 25 min on two cores.
"""

from experiments import runs


def sweep(budget: str = "paper") -> list[runs.Run]:
  """SR2_WDSR at x4 on SVHN."""
  return runs.merge(
    [
      runs.sr2(budget, "svhn", "wdsr", 4, shared_layers=shared_layers)
      for shared_layers in (1, 4)
    ]
  )
