"""Figure 7: what lambda does to digits at x4 and noise variance 3.2e-4.

  python -m launch.sweep --sweep=experiments/fig7_loss_weight.py:cpu \\
      --workdir=runs/paper

Truth, bicubic, FSRCNN, and SR2_FSRCNN with lambda 0.11 and 9, which train side
by side in one run. In the paper's example the larger lambda suppresses a pixel
that makes the digit ambiguous.

Time, budget cpu: 46 min on two cores that had other work as well.
"""

from experiments import runs


def sweep(budget: str = "paper") -> list[runs.Run]:
  """SR2_FSRCNN at x4 with both loss weights."""
  return runs.merge([runs.sr2(budget, "mnist", "fsrcnn", 4)])
