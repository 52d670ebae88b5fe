"""Draws cases: the same for a seed, a target and a number, on any machine."""

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
    changes.append(kinds.draw(rng, good, rng.choice(kinds.files(good))))
  return cases.Case(name, tuple(changes))
