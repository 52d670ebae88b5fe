"""Sweeps of seconds, for tests.

pair     a run and its control; the default
three    another one as well, which starts from nothing
long     one of 120 cheap steps, for several faults
failing  one that diverges, one that starts from it, and one that does not
a number  so many that wait for nothing
"""

from experiments import runs

TINY = "tests/tiny.py"


def sweep(budget: str = "pair") -> list[runs.Run]:
  """The runs of a budget."""
  if budget.isdigit():
    return [
      runs.Run(f"r{i}", TINY, {"seed": i, "joint.num_epochs": 0})
      for i in range(int(budget))
    ]
  first = runs.Run("first", TINY, {"joint.num_epochs": 0})
  control = runs.Run("control", TINY, {"model.wiring": "none"}, "first")
  other = runs.Run("other", TINY, {"joint.num_epochs": 0, "seed": 7})
  long = {
    "num_seeds": 1, "pretrain.num_epochs": 30, "joint.num_epochs": 0,
    "eval.every_epochs": 15, "eval.epochs": (), "eval.max_images": 8,
    "eval.noise_variances": (1e-3,), "eval.batch_norm_batches": 2,
  }  # fmt: skip
  diverging = {"joint.num_epochs": 0, "pretrain.learning_rate.sr": 1e30}
  return {
    "pair": [first, control],
    "three": [first, control, other],
    "long": [runs.Run("first", TINY, long)],
    "failing": [
      runs.Run("bad", TINY, diverging),
      runs.Run("after_bad", TINY, {"model.wiring": "none"}, "bad"),
      first,
    ],
  }[budget]
