"""Figure 5: digits at x4 and noise variance 1e-3, sequential against SR2.

  python -m launch.sweep --sweep=experiments/fig5_examples.py:cpu \\
      --workdir=runs/paper

Truth, input, sequential FSRCNN, SR2_FSRCNN. In the paper's example the
sequential network links the two sides of a 0, and SR2_FSRCNN does not.

Time, budget cpu: 46 min (SR2) and 37 min (sequential) on two cores that had
other work as well.
"""

from experiments import runs


def sweep(budget: str = "paper") -> list[runs.Run]:
  """Sequential FSRCNN and SR2_FSRCNN at x4."""
  return runs.merge(
    [make(budget, "mnist", "fsrcnn", 4) for make in (runs.sr2, runs.sequential)]
  )
