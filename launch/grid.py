"""A sweep of one's own: an experiment file under every combination of values.

Seeds, loss weights and L2 strengths train side by side in one run. Each
combination of other fields is a run.
"""

import itertools
import pathlib
import re
from collections.abc import Mapping
from typing import Any

from sr2_jax import errors
from sr2_jax.config import fields

_LISTS = ("joint.loss_weight", "loss.l2")
_MOST_RUNS = 10_000
# They are every run's own.
_OF_RUNS = ("experiment", "init_from")


def runs(config: str, axes: Mapping[str, str]) -> dict[str, dict[str, Any]]:
  """The runs of a grid: name -> {field: value}.

  Args:
    config: an experiment file.
    axes: {field: values}, as in {"seed": "0..9", "batch_size": "32,64"}.

  Raises:
    UserError: names the field that is wrong.
  """
  together: dict[str, Any] = {}
  apart: dict[str, list[str]] = {}
  for field, typed in axes.items():
    if field not in fields.CHECKS:
      raise errors.UserError(fields.unknown_field(field))
    if field in _OF_RUNS:
      raise errors.UserError(f"--grid {field}: each run has its own.")
    found = values(field, typed)
    if field in _LISTS:
      together[field] = ",".join(found)
    elif field == "seed" and _are_in_a_row(found):
      together |= {"seed": found[0], "num_seeds": str(len(found))}
    else:
      apart[field] = found
  if together.keys() & {"num_seeds"} & axes.keys():
    raise errors.UserError(
      "--grid seed and --grid num_seeds exclude each other."
    )
  stem = pathlib.Path(config).stem
  made: dict[str, dict[str, Any]] = {}
  for chosen in itertools.product(*apart.values()):
    own = dict(zip(apart, chosen, strict=True))
    parts = [f"{field}_{value}" for field, value in own.items()]
    name = "_".join([stem, *(re.sub(r"[^\w.-]+", "-", p) for p in parts)])
    if name in made:
      raise errors.UserError(
        f"--grid makes two runs called {name}: values that differ only in odd "
        "characters need sweeps of their own."
      )
    made[name] = {**together, **own}
    if len(made) > _MOST_RUNS:
      raise errors.UserError(f"--grid makes more than {_MOST_RUNS} runs.")
  return made


def values(field: str, typed: str) -> list[str]:
  """The values of a field: "0.11,9", or "0..9" for whole numbers.

  Raises:
    UserError: if there are none, or one is there twice.
  """
  first_and_last = re.fullmatch(r"(\d{1,9})\.\.(\d{1,9})", typed)
  if first_and_last:
    first, last = int(first_and_last[1]), int(first_and_last[2])
    if not first <= last < first + _MOST_RUNS:
      raise errors.UserError(
        f"--grid {field}={typed} has to go upwards, over at most {_MOST_RUNS} "
        "numbers."
      )
    return [str(number) for number in range(first, last + 1)]
  found = [value.strip() for value in typed.split(",")]
  if not all(found) or len(set(found)) < len(found):
    raise errors.UserError(
      f"--grid {field}={typed} has to be different values such as 0.11,9, or "
      "0..9."
    )
  return found


def _are_in_a_row(found: list[str]) -> bool:
  """Whether seeds can be given as the first and their number."""
  if not all(value.isdigit() for value in found):
    return False
  numbers = [int(value) for value in found]
  return numbers == list(range(numbers[0], numbers[0] + len(numbers)))
