"""Times of a convolution's forms on the CPU at hand, and a choice by them.

Other work on the machine makes single times too long, never too short: the
least of several counts, and forms take turns. Time on the clock and time of the
CPU are both looked at. The first alone may be that of one thread while others
wait for a core. The second alone does not tell whether all cores take part.
"""

import collections
import time
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from sr2_jax.models import conv_choice, conv_forms

# A form is chosen instead of the rules' one if it takes this part of its time.
_FASTER = 1 / 1.1
# Cases with less than this part of all multiplications are left to the rules.
_LEAST_PART = 0.02
# A form is no candidate if it multiplies more than this many times as often as
# another. None of those that do has been fast, and they take long to compile.
_MOST_WORK = 2
# A form has no further turn if it takes this many times as long as another.
_FAR_SLOWER = 4
_ROUNDS, _LEAST_ROUNDS, _SECONDS = 15, 5, 0.2


class Seconds(typing.NamedTuple):
  """The least time of one call, on the clock and of all threads' CPU."""

  wall: float
  cpu: float


def cases_of(
  function: Callable[..., Any], *arguments: Any
) -> dict[conv_choice.Case, int]:
  """The convolutions of a function and their gradients, with their numbers.

  Args:
    function: convolves by `lax.conv_general_dilated`.
    arguments: arrays, or their shapes.
  """
  found: collections.Counter[conv_choice.Case] = collections.Counter()
  for equation in _equations(jax.make_jaxpr(function)(*arguments).jaxpr):
    if equation.primitive is not lax.conv_general_dilated_p:
      continue
    x, kernel = (variable.aval.shape for variable in equation.invars)
    geometry = conv_forms.geometry_of(
      x, kernel, equation.params["window_strides"], equation.params["padding"]
    )
    dilation = equation.params["lhs_dilation"]
    if geometry is not None and set(dilation) == {1}:
      found.update(_with_gradients(x, kernel[3], geometry))
  return dict(found)


def _equations(jaxpr: Any) -> Iterator[Any]:
  for equation in jaxpr.eqns:
    yield equation
    for value in equation.params.values():
      inner = getattr(value, "jaxpr", value)
      if hasattr(inner, "eqns"):
        yield from _equations(inner)


def _with_gradients(
  x_shape: Sequence[int], features: int, geometry: conv_forms.Geometry
) -> Iterator[conv_choice.Case]:
  images, channels = x_shape[0], x_shape[3]
  for part in ("result", "kernel gradient"):
    yield conv_choice.Case(part, images, channels, features, geometry)
  if geometry.strides == (1, 1):
    yield conv_choice.Case(
      "result", images, features, channels, geometry.flipped()
    )
  else:
    yield conv_choice.Case(
      "input gradient", images, channels, features, geometry
    )


def multiplications(case: conv_choice.Case, form: str = "xla") -> int:
  """Number of multiplications by a form."""
  geometry = case.geometry
  rows, columns = geometry.kernel
  if form == "map":
    rows = geometry.size[0]
  if form in ("bands", "map"):
    columns = geometry.size[1]
  results = case.images * geometry.out(0) * geometry.out(1) * case.features
  return results * rows * columns * case.channels


def time_forms(
  case: conv_choice.Case, *, rounds: int = _ROUNDS, limit: float = _SECONDS
) -> tuple[dict[str, Seconds], str | None]:
  """The times of a case by the forms that may be fast, and which is better.

  Args:
    case: what is timed.
    rounds: turns of each form; one that is far slower gets fewer.
    limit: seconds of the CPU after which no round begins but the first few.

  Returns:
    Times by form, that of the rules first, and `better_form` of them.
  """
  arguments = _arguments(case)
  programs = {
    name: _compiled(case, name, arguments) for name in candidates(case)
  }
  chosen, *_ = programs
  found = _take_turns(programs, arguments, rounds=rounds, limit=limit)
  better = better_form(found, chosen)
  if better is not None:
    # One of several is sooner faster by chance than one of two.
    again = _take_turns(
      {name: programs[name] for name in (chosen, better)},
      arguments,
      rounds=rounds,
      limit=limit,
    )
    for name, times in again.items():
      found[name] = _least([found[name], times])
    better = better_form(found, chosen)
  return found, better


def _take_turns(
  programs: Mapping[str, Callable[..., jax.Array]],
  arguments: tuple[jax.Array, jax.Array],
  *,
  rounds: int,
  limit: float,
) -> dict[str, Seconds]:
  found: dict[str, list[Seconds]] = {name: [] for name in programs}
  end = time.process_time() + limit
  for turn in range(rounds):
    # Of the CPU: on a busy machine a second of the clock has few turns.
    if turn >= _LEAST_ROUNDS and time.process_time() > end:
      break
    for name, program in programs.items():
      if turn and _is_far_slower(found, name):
        continue
      if not turn:
        jax.block_until_ready(program(*arguments))  # It takes its memory.
      wall, cpu = time.perf_counter(), time.process_time()
      jax.block_until_ready(program(*arguments))
      found[name].append(
        Seconds(time.perf_counter() - wall, time.process_time() - cpu)
      )
  return {name: _least(times) for name, times in found.items()}


def _arguments(case: conv_choice.Case) -> tuple[jax.Array, jax.Array]:
  geometry, random = case.geometry, np.random.default_rng(0)
  x = (case.images, *geometry.size, case.channels)
  kernel = (*geometry.kernel, case.channels, case.features)
  g = (case.images, geometry.out(0), geometry.out(1), case.features)
  shapes = {
    "result": (x, kernel),
    "kernel gradient": (x, g),
    "input gradient": (g, kernel),
  }
  first, second = (
    jnp.asarray(random.standard_normal(shape), jnp.float32)
    for shape in shapes[case.part]
  )
  return first, second


def _compiled(
  case: conv_choice.Case, form: str, arguments: tuple[jax.Array, jax.Array]
) -> Callable[..., jax.Array]:
  function = case.by(form)
  program = jax.jit(lambda a, b: function(a, b, case.geometry))
  return program.lower(*arguments).compile()


def _is_far_slower(found: Mapping[str, Sequence[Seconds]], name: str) -> bool:
  fastest = min(_least(times).cpu for times in found.values())
  return _least(found[name]).cpu > _FAR_SLOWER * fastest


def _least(times: Sequence[Seconds]) -> Seconds:
  wall, cpu = (min(column) for column in zip(*times, strict=True))
  return Seconds(wall, cpu)


def worth_timing(
  cases: Mapping[conv_choice.Case, int],
) -> list[conv_choice.Case]:
  """The cases that a step spends its time on, the largest first."""
  work = {case: n * multiplications(case) for case, n in cases.items()}
  least = _LEAST_PART * sum(work.values())
  return sorted((c for c in work if work[c] >= least), key=lambda c: -work[c])


def candidates(case: conv_choice.Case) -> list[str]:
  """The forms of a case that may be fast, that of the rules first."""
  chosen = conv_choice.by_rules(case)
  work = {name: multiplications(case, name) for name in case.forms}
  most = _MOST_WORK * min(work.values())
  others = [name for name in work if name != chosen and work[name] <= most]
  return [chosen, *others]


def better_form(times: Mapping[str, Seconds], chosen: str) -> str | None:
  """The form that is faster than the chosen one by more than a tenth.

  None: the chosen one is good. If several are faster, the one with the least
  time of the CPU.
  """
  wall, cpu = times[chosen]
  better = [
    name
    for name, (its_wall, its_cpu) in times.items()
    if its_wall < _FASTER * wall and its_cpu < _FASTER * cpu
  ]
  return min(better, key=lambda name: times[name].cpu) if better else None


def choose(cases: Iterable[conv_choice.Case]) -> conv_choice.Choice:
  """A choice of the forms that are faster here than those of the rules."""
  better = ((case, time_forms(case)[1]) for case in cases)
  return conv_choice.Choice(
    tuple((case, form) for case, form in better if form is not None)
  )
