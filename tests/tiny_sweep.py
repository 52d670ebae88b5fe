"""Sweeps of seconds, for tests.

pair     a run and its control; the default
three    another one as well, which starts from nothing
whole    one of both phases, long enough for several faults
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
  whole = {"pretrain.num_epochs": 60, "eval.every_epochs": 20}
  diverging = {"joint.num_epochs": 0, "pretrain.learning_rate.sr": 1e30}
  return {
    "pair": [first, control],
    "three": [first, control, other],
    "whole": [runs.Run("first", TINY, whole)],
    "failing": [
      runs.Run("bad", TINY, diverging),
      runs.Run("after_bad", TINY, {"model.wiring": "none"}, "bad"),
      first,
    ],
  }[budget]
