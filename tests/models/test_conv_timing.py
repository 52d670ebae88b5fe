import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from sr2_jax.models import conv_choice, conv_forms, conv_timing


def geometry_of(size, width, stride=1):
  return conv_forms.geometry_of(
    (1, size, size, 1), (width, width, 1, 1), (stride, stride), "SAME"
  )


def case(part, size, channels, features, width, stride=1, *, images=2):
  geometry = geometry_of(size, width, stride)
  return conv_choice.Case(part, images, channels, features, geometry)


def shape(*sizes):
  return jax.ShapeDtypeStruct(sizes, np.float32)


def convolve(x, kernel, stride=1, **options):
  return lax.conv_general_dilated(
    x, kernel, (stride, stride), "SAME",
    dimension_numbers=conv_forms.NHWC, **options,
  )  # fmt: skip


def test_cases_are_the_convolutions_and_their_gradients():
  @jax.jit  # An equation may hold others.
  def twice(x, kernel):
    return convolve(jnp.tanh(convolve(x, kernel)), kernel)

  def function(x, square, other):
    return convolve(twice(x, square), other, 2)

  found = conv_timing.cases_of(
    function, shape(2, 6, 6, 3), shape(3, 3, 3, 3), shape(5, 5, 3, 4)
  )
  assert found == {
    # Two results, and two input gradients that are like them.
    case("result", 6, 3, 3, 3): 4,
    case("kernel gradient", 6, 3, 3, 3): 2,
    case("result", 6, 3, 4, 5, 2): 1,
    case("kernel gradient", 6, 3, 4, 5, 2): 1,
    case("input gradient", 6, 3, 4, 5, 2): 1,
  }


def test_convolutions_without_forms_are_no_cases():
  def dilated(x, kernel):
    return lax.conv_transpose(x, kernel, (2, 2), "SAME")

  assert not conv_timing.cases_of(dilated, shape(2, 6, 6, 3), shape(3, 3, 3, 3))


@pytest.mark.parametrize("form", conv_forms.FORMS)
def test_multiplications_are_those_of_the_matrix_product(form):
  asked = case("result", 5, 3, 4, 3)
  jaxpr = jax.make_jaxpr(
    lambda x, kernel: asked.by(form)(x, kernel, asked.geometry)
  )(shape(2, 5, 5, 3), shape(3, 3, 3, 4))
  products = [x for x in jaxpr.eqns if x.primitive is lax.dot_general_p]
  if form == "xla":
    expected = 2 * 5 * 5 * 3 * 3 * 3 * 4
  else:
    [product] = products
    left, right = (variable.aval.shape for variable in product.invars)
    expected = math.prod(left) * right[-1]
  assert conv_timing.multiplications(asked, form) == expected


@pytest.mark.parametrize(
  ("part", "stride", "chosen"),
  [
    ("result", 1, "xla"),
    ("kernel gradient", 1, "xla"),
    ("input gradient", 2, "patches"),
  ],
)
def test_every_form_of_a_part_is_timed(part, stride, chosen):
  asked = case(part, 8, 2, 3, 3, stride)
  times, better = conv_timing.time_forms(asked, rounds=1)
  assert list(times) == conv_timing.candidates(asked)
  assert next(iter(times)) == chosen
  assert all(wall > 0 and cpu > 0 for wall, cpu in times.values())
  assert better in {None, *times} - {chosen}


def test_what_is_better_is_timed_again(monkeypatch):
  """The second time decides: the first was chance."""
  asked = case("result", 8, 2, 3, 3)
  turns = []

  def take_turns(programs, arguments, *, rounds, limit):
    turns.append(list(programs))
    slow = conv_timing.Seconds(2.0, 2.0)
    fast = conv_timing.Seconds(1.0, 1.0)
    if len(turns) == 1:
      return {name: fast if name == "rows" else slow for name in programs}
    return dict.fromkeys(programs, fast)

  monkeypatch.setattr(conv_timing, "_take_turns", take_turns)
  monkeypatch.setattr(conv_timing, "_compiled", lambda *_: None)
  times, better = conv_timing.time_forms(asked)
  assert turns == [conv_timing.candidates(asked), ["xla", "rows"]]
  assert better is None
  assert times["xla"] == times["rows"] == (1.0, 1.0)
  assert times["patches"] == (2.0, 2.0)


def test_a_program_has_its_turns_after_one_that_does_not_count():
  calls = []
  programs = {
    name: lambda x, _, name=name: calls.append(name) or x for name in "ab"
  }
  found = conv_timing._take_turns(
    programs, (jnp.zeros(1), jnp.zeros(1)), rounds=9, limit=0.0
  )
  assert found.keys() == set("ab")
  assert calls[:4] == ["a", "a", "b", "b"]
  # Rounds end with the limit, but not before five.
  assert max(calls.count(name) for name in "ab") == 6


def test_a_far_slower_form_has_one_turn():
  times = {
    "fast": [conv_timing.Seconds(9.0, 1.0), conv_timing.Seconds(1.0, 2.0)],
    "slow": [conv_timing.Seconds(1.0, 4.1)],
    "other": [conv_timing.Seconds(9.0, 3.9)],
  }
  slower = [n for n in times if conv_timing._is_far_slower(times, n)]
  assert slower == ["slow"]
  assert conv_timing._least(times["fast"]) == (1.0, 1.0)


def test_what_a_step_spends_its_time_on_is_worth_timing():
  large, small = case("result", 8, 64, 64, 3), case("result", 8, 8, 8, 3)
  often = case("result", 8, 16, 16, 3)
  found = conv_timing.worth_timing({small: 1, often: 16, large: 2})
  assert found == [large, often]  # `small` is 1/64 of one `large`.


def test_candidates_are_the_rules_form_and_what_multiplies_little_more():
  assert conv_timing.candidates(case("result", 7, 16, 56, 9)) == [
    "bands", "xla", "patches", "rows", "map",
  ]  # fmt: skip
  assert conv_timing.candidates(case("result", 14, 64, 64, 3)) == [
    "xla", "patches", "rows",
  ]  # fmt: skip
  assert conv_timing.candidates(case("input gradient", 14, 8, 8, 3, 2)) == [
    "patches", "xla",
  ]  # fmt: skip


@pytest.mark.parametrize(
  ("others", "better"),
  [
    ({}, None),
    ({"rows": (0.95, 0.95)}, None),
    ({"rows": (0.5, 0.95)}, None),
    ({"rows": (0.95, 0.5)}, None),
    ({"rows": (0.85, 0.85)}, "rows"),
    ({"rows": (0.5, 0.8), "bands": (0.8, 0.7), "map": (2.0, 0.1)}, "bands"),
  ],
)
def test_a_form_is_better_by_both_clocks_and_more_than_a_tenth(others, better):
  times = {
    name: conv_timing.Seconds(*both)
    for name, both in {"xla": (1.0, 1.0), **others}.items()
  }
  assert conv_timing.better_form(times, "xla") == better


def test_a_choice_has_what_differs_from_the_rules(monkeypatch):
  cases = [case("result", 14, 64, 64, 3), case("result", 14, 56, 12, 9)]

  monkeypatch.setattr(
    conv_timing,
    "time_forms",
    lambda case: ({}, "rows" if case.features == 12 else None),
  )
  assert conv_timing.choose(cases) == conv_choice.Choice(((cases[1], "rows"),))
