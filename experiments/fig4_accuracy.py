"""Figure 4: accuracy over the noise variance on MNIST, x2 and x4.

  python -m launch.sweep --sweep=experiments/fig4_accuracy.py:cpu \\
      --workdir=runs/paper

Sequential FSRCNN against SR2_FSRCNN. The paper prints curves, no numbers. At x2
the two are close at little noise and differ at much; at x4 the sequential
network is far below SR2. The abstract has +69 % accuracy for SR2 at x4, without
a noise variance.

Time, budget cpu: at x4 46 min (SR2) and 37 min (sequential) on two cores that
had other work as well; x2 was paused too often to be timed.
"""

from experiments import runs


def sweep(budget: str = "paper") -> list[runs.Run]:
  """Sequential FSRCNN and SR2_FSRCNN."""
  return runs.merge(
    [
      make(budget, "mnist", "fsrcnn", scale)
      for scale in (4, 2)
      for make in (runs.sr2, runs.sequential)
    ]
  )
