"""Figure 6: SSIM over the noise variance on MNIST, x2 and x4.

  python -m launch.sweep --sweep=experiments/fig6_ssim.py:cpu \\
      --workdir=runs/paper

FSRCNN, sequential FSRCNN and SR2_FSRCNN, and the control. The paper prints
curves, no numbers: SR2's lead grows with the noise. The abstract has +10 % SSIM
over the sequential network at x4, without a noise variance.

Time, budget cpu: that of figure 4, and 5 min for the control at x4.
"""

from experiments import runs


def sweep(budget: str = "paper") -> list[runs.Run]:
  """FSRCNN, its control, sequential FSRCNN and SR2_FSRCNN."""
  return runs.merge(
    [
      make(budget, "mnist", "fsrcnn", scale)
      for scale in (4, 2)
      for make in (runs.sr2, runs.continued, runs.sequential)
    ]
  )
