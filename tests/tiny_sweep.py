"""Sweeps of seconds, for tests."""

from experiments import runs

TINY = "tests/tiny.py"


def sweep(budget: str = "pair") -> list[runs.Run]:
  """A run and its control; or one that diverges, and two after it."""
  first = runs.Run("first", TINY, {"joint.num_epochs": 0})
  control = runs.Run("control", TINY, {"model.wiring": "none"}, "first")
  if budget == "pair":
    return [first, control]
  diverging = {"joint.num_epochs": 0, "pretrain.learning_rate.sr": 1e30}
  return [
    runs.Run("bad", TINY, diverging),
    runs.Run("after_bad", TINY, {"model.wiring": "none"}, "bad"),
    first,
  ]
