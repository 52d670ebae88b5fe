"""Draws cases: the same for a seed, a target and a number."""

import pathlib
import random

from tests.fuzz import cases, kinds, oracle


def case(
  world: oracle.World,
  targets: dict[str, oracle.Target],
  name: str,
  seed: int,
  number: int,
) -> cases.Case:
  """A case of a target."""
  rng = random.Random(f"{seed} {name} {number}")
  target = targets[name]
  if target.draw_words is not None:
    return cases.Case(name, words=target.draw_words(rng))
  good = world.good(name)
  changes = []
  for _ in range(rng.choice((1, 1, 1, 2))):
    path = rng.choice(_paths(good))
    changes.append(kinds.draw(rng, good, path))
  return cases.Case(name, tuple(changes))


def _paths(folder: pathlib.Path) -> list[pathlib.Path]:
  """All that can be changed; what has many files counts no more for it."""
  return sorted(x for x in folder.rglob("*") if x.name != ".lock")
