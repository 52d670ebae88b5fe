"""All forms of convolution against XLA's own, in values and gradients."""

import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax import lax

from sr2_jax.models import conv, conv_choice, conv_forms
from tests.models.convolutions import assert_close, once, random, reference

NHWC = ("NHWC", "HWIO", "NHWC")


def ours(x, kernel, strides, padding):
  return conv.by_name("cpu")(
    x, kernel, strides, padding, dimension_numbers=NHWC
  )


def assert_same_values_and_gradients(x, kernel, strides, padding):
  def values_and_gradients(convolve, x, kernel, g):
    y, pull = jax.vjp(lambda a, b: convolve(a, b, strides, padding), x, kernel)
    return y, *pull(g)

  shape = jax.eval_shape(lambda: reference(x, kernel, strides, padding)).shape
  g = random(*shape, seed=1)
  actual, expected = (
    once(functools.partial(values_and_gradients, convolve), x, kernel, g)
    for convolve in (ours, reference)
  )
  for one, other in zip(actual, expected, strict=True):
    assert_close(one, other)


# (map, in, out, kernel, stride): those of the networks, at a small batch.
NETWORK_SHAPES = [
  (7, 1, 56, 5, 1), (14, 56, 12, 1, 1), (7, 12, 12, 3, 1), (14, 12, 12, 3, 1),
  (7, 56, 48, 9, 1), (8, 56, 48, 9, 1), (14, 56, 12, 9, 1), (28, 3, 1, 1, 1),
  (14, 56, 4, 9, 1), (7, 56, 16, 9, 1),
  (14, 32, 32, 3, 1), (14, 32, 12, 5, 1), (7, 56, 64, 3, 1), (7, 64, 64, 3, 1),
  (7, 64, 128, 3, 2), (4, 128, 128, 3, 1), (4, 128, 256, 3, 2),
  (2, 256, 256, 3, 1),
]  # fmt: skip


@pytest.mark.parametrize("shape", NETWORK_SHAPES)
def test_shapes_of_the_networks(shape):
  size, channels, features, width, stride = shape
  x = random(3, size, size, channels)
  kernel = random(width, width, channels, features, seed=2) / width
  assert_same_values_and_gradients(x, kernel, (stride, stride), "SAME")


@settings(max_examples=15, deadline=None, derandomize=True)
@given(
  size=st.tuples(st.integers(1, 9), st.integers(1, 9)),
  width=st.tuples(st.integers(1, 9), st.integers(1, 9)),
  channels=st.sampled_from([1, 3, 32]),
  features=st.sampled_from([1, 4, 33]),
  strides=st.tuples(st.integers(1, 2), st.integers(1, 2)),
  padding=st.sampled_from(["SAME", "VALID", ((1, 0), (0, 1))]),
)
def test_any_shape(size, width, channels, features, strides, padding):
  if padding != "SAME":
    extra = 0 if padding == "VALID" else 1
    if any(n + extra < k for n, k in zip(size, width, strict=True)):
      return
  x = random(2, *size, channels)
  kernel = random(*width, channels, features, seed=2)
  assert_same_values_and_gradients(x, kernel, strides, padding)


@pytest.mark.parametrize("axes", [(0, None), (None, 0), (0, 0)])
@pytest.mark.parametrize(
  "shape",
  [(7, 20, 24, 3, 1), (7, 4, 8, 3, 2), (8, 32, 33, 3, 1), (2, 4, 8, 3, 1)],
)
def test_under_vmap(axes, shape):
  """Values and both gradients, over noise levels, kernels and members."""
  size, channels, features, width, stride = shape
  x = random(*((3,) if axes[0] == 0 else ()), 2, size, size, channels)
  kernel = random(
    *((3,) if axes[1] == 0 else ()), width, width, channels, features, seed=2
  )

  def total(function, a, b):
    y = jax.vmap(
      lambda a, b: function(a, b, (stride, stride), "SAME"), in_axes=axes
    )(a, b)
    return jnp.sum(jnp.sin(y)), y

  def run(function):
    loss = functools.partial(total, function)
    return once(jax.grad(loss, argnums=(0, 1), has_aux=True), x, kernel)

  (gradients, y), (expected_gradients, z) = run(ours), run(reference)
  assert_close(y, z)
  for actual, expected in zip(gradients, expected_gradients, strict=True):
    assert_close(actual, expected)


def test_two_vmaps_as_in_the_evaluation_of_a_population():
  x, kernel = random(2, 5, 3, 6, 6, 4), random(2, 3, 3, 4, 8, seed=2)

  def over(function):
    levels = jax.vmap(function, in_axes=(0, None))
    return jax.jit(jax.vmap(levels))(x, kernel)

  def apply(function):
    return lambda a, b: function(a, b, (1, 1), "SAME")

  assert_close(over(apply(ours)), over(apply(reference)))


def test_a_member_axis_makes_no_grouped_convolution():
  x, kernel = random(3, 2, 7, 7, 32), random(3, 3, 3, 32, 32, seed=2)
  step = jax.vmap(
    jax.grad(
      lambda a, b: jnp.sum(ours(a, b, (1, 1), "SAME") ** 2), argnums=(0, 1)
    )
  )
  text = jax.jit(step).lower(x, kernel).as_text()
  assert "feature_group_count = 3" not in text
  assert "batch_group_count = 3" not in text


WITHOUT_GROUPS = ("unrolled", "mapped", "patches")


def by_name(name):
  convolve = conv.CONVOLUTIONS[name]
  return lambda x, kernel, strides, padding: convolve(
    x, kernel, strides, padding, dimension_numbers=NHWC
  )


@pytest.mark.parametrize("name", WITHOUT_GROUPS)
@pytest.mark.parametrize("axes", [(None, None), (0, None), (None, 0), (0, 0)])
@pytest.mark.parametrize("shape", [(7, 4, 8, 3, 2), (5, 3, 4, 9, 1)])
def test_forms_without_groups_equal_the_reference(name, axes, shape):
  """Values and both gradients, of one member and of several."""
  size, channels, features, width, stride = shape
  x = random(*((3,) if axes[0] == 0 else ()), 2, size, size, channels)
  kernel = random(
    *((3,) if axes[1] == 0 else ()), width, width, channels, features, seed=2
  )

  def run(function):
    def total(a, b):
      of_member = functools.partial(
        function, strides=(stride, stride), padding="SAME"
      )
      if axes != (None, None):
        of_member = jax.vmap(of_member, in_axes=axes)
      y = of_member(a, b)
      return jnp.sum(jnp.sin(y)), y

    return once(jax.grad(total, argnums=(0, 1), has_aux=True), x, kernel)

  (gradients, y), (expected_gradients, z) = run(by_name(name)), run(reference)
  assert_close(y, z)
  for actual, expected in zip(gradients, expected_gradients, strict=True):
    assert_close(actual, expected)


@pytest.mark.parametrize("name", [*WITHOUT_GROUPS, "portable"])
def test_only_the_portable_form_groups_members(name):
  x, kernel = random(3, 2, 7, 7, 32), random(3, 3, 3, 32, 32, seed=2)
  convolve = by_name(name)
  step = jax.vmap(
    jax.grad(
      lambda a, b: jnp.sum(convolve(a, b, (1, 1), "SAME") ** 2),
      argnums=(0, 1),
    )
  )
  text = jax.jit(step).lower(x, kernel).as_text()
  groups = [f"{kind}_group_count = 3" for kind in ("feature", "batch")]
  assert any(group in text for group in groups) == (name == "portable")


@pytest.mark.parametrize("name", WITHOUT_GROUPS)
def test_forms_without_groups_keep_bfloat16(name):
  x = random(2, 6, 6, 4).astype(jnp.bfloat16)
  kernel = random(3, 3, 4, 4, seed=2).astype(jnp.bfloat16)
  y = by_name(name)(x, kernel, (1, 1), "SAME")
  assert y.dtype == jnp.bfloat16
  exact = reference(
    *(a.astype(jnp.float32) for a in (x, kernel)), (1, 1), "SAME"
  )
  np.testing.assert_allclose(
    y.astype(jnp.float32),
    exact,
    rtol=0,
    atol=0.02 * float(jnp.abs(exact).max()),
  )


def test_a_step_makes_the_operator_of_a_map_once():
  """The input gradient reads that of the result the other way."""
  x, kernel = random(8, 2, 2, 5), random(3, 3, 5, 7)
  step = jax.grad(lambda *a: jnp.sum(ours(*a, (1, 1), "SAME") ** 2), (0, 1))
  program = jax.jit(step).lower(x, kernel).compile().as_text()
  made = re.findall(r"= f32\[(\d+,\d+)\]\S* (?:fusion|concatenate)\(", program)
  operators = [shape for shape in made if shape in ("20,28", "28,20")]
  assert operators == ["20,28"]


@pytest.mark.parametrize("name", ["cpu", *WITHOUT_GROUPS])
@pytest.mark.parametrize(
  "options",
  [
    {"feature_group_count": 2},
    {"rhs_dilation": (2, 2)},
    {"lhs_dilation": (2, 2), "padding": ((0, 0), (0, 0))},
    {"padding": ((3, 3), (3, 3))},
  ],
)
def test_other_convolutions_are_left_to_xla(name, options):
  options = {"padding": "VALID", "dimension_numbers": NHWC, **options}
  x, kernel = random(2, 6, 6, 4), random(3, 3, 4, 4, seed=2)
  if "feature_group_count" in options:
    kernel = kernel[:, :, :2]
  expected = lax.conv_general_dilated(x, kernel, (1, 1), **options)
  actual = conv.CONVOLUTIONS[name](x, kernel, (1, 1), **options)
  np.testing.assert_array_equal(actual, expected)


def test_results_are_deterministic():
  x, kernel = random(4, 7, 7, 56), random(9, 9, 56, 48, seed=2)
  step = jax.jit(lambda: ours(x, kernel, (1, 1), "SAME"))
  np.testing.assert_array_equal(step(), step())


def case_of(x, kernel):
  geometry = conv_forms.geometry_of(x.shape, kernel.shape, (1, 1), "SAME")
  return conv_choice.Case("result", 2, *kernel.shape[2:], geometry)


def program_with(choice, x, kernel):
  def loss(x, kernel):
    y = conv.by_name("cpu", choice)(
      x, kernel, (1, 1), "SAME", dimension_numbers=NHWC
    )
    return jnp.sum(jnp.sin(y))

  return jax.jit(jax.grad(loss, argnums=(0, 1))).lower(x, kernel)


def test_a_choice_of_what_the_rules_have_is_the_same_program():
  x, kernel = random(2, 7, 7, 32), random(3, 3, 32, 48, seed=2)
  case = case_of(x, kernel)
  rules = program_with(conv_choice.RULES, x, kernel).as_text()
  chosen = conv_choice.Choice(((case, conv_choice.by_rules(case)),))
  assert program_with(chosen, x, kernel).as_text() == rules


def test_each_choice_has_a_program_of_its_own_and_the_same_results():
  """Neither kind of cache takes one for the other, whichever comes first."""
  x, kernel = random(2, 7, 7, 32), random(3, 3, 32, 48, seed=2)
  case = case_of(x, kernel)
  choices = [
    conv_choice.Choice(((case, form),)) for form in ("rows", "bands", "rows")
  ]
  choices.insert(1, conv_choice.RULES)
  programs = [program_with(choice, x, kernel) for choice in choices]
  texts = [program.as_text() for program in programs]
  assert texts[0] == texts[3]
  assert len(set(texts)) == 3
  expected, *others = (program.compile()(x, kernel) for program in programs[:3])
  for gradients in others:
    for one, other in zip(gradients, expected, strict=True):
      assert_close(one, other)


def test_other_platforms_know_no_choice():
  case = case_of(random(2, 7, 7, 32), random(3, 3, 32, 48))
  choice = conv_choice.Choice(((case, "rows"),))
  for name, convolve in conv.CONVOLUTIONS.items():
    assert (conv.by_name(name, choice) is convolve) == (name != "cpu")
