"""All forms of convolution against XLA's own, in values and gradients."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax import lax

from sr2_jax.models import conv

NHWC = ("NHWC", "HWIO", "NHWC")
FORMS = (
  conv.by_xla,
  conv.by_patches,
  conv.by_rows,
  conv.by_bands,
  conv.by_map,
)
KERNEL_GRADIENTS = tuple(
  map(
    conv.transposed, (conv.by_xla, conv.by_patches, conv.by_bands, conv.by_map)
  )
)


def random(*shape, seed=0):
  values = np.random.default_rng(seed).standard_normal(shape)
  return jnp.asarray(values, jnp.float32)


def reference(x, kernel, strides, padding):
  return lax.conv_general_dilated(
    x,
    kernel,
    strides,
    padding,
    dimension_numbers=NHWC,
    precision=lax.Precision.HIGHEST,
  )


def ours(x, kernel, strides, padding):
  return conv.fast_on_cpu(x, kernel, strides, padding, dimension_numbers=NHWC)


def once(function, *arrays):
  """Runs one program, which compiles faster than its separate operations."""
  return jax.jit(function)(*arrays)


def assert_close(actual, expected):
  """Asserts equality to 1e-5 of the result's scale."""
  assert actual.shape == expected.shape
  scale = max(1.0, float(np.abs(expected).max(initial=0)))
  np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-5 * scale)


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


def test_every_form_is_chosen_for_some_shape_of_the_networks():
  chosen, gradients = set(), set()
  for size, channels, features, width, stride in NETWORK_SHAPES:
    shape = (3, size, size, channels)
    kernel_shape = (width, width, channels, features)
    geometry = conv.geometry_of(shape, kernel_shape, (stride, stride), "SAME")
    assert geometry is not None
    chosen.add(conv.choose(shape, features, geometry))
    gradients.add(conv.choose_for_kernel_gradient(shape, features, geometry))
  assert chosen == set(FORMS)
  assert gradients == set(KERNEL_GRADIENTS)


def test_by_map_is_for_many_images_and_a_small_operator():
  def chosen(images, rows, columns, features=16, padding="SAME"):
    x_shape, kernel_shape = (images, rows, columns, 56), (9, 9, 56, features)
    geometry = conv.geometry_of(x_shape, kernel_shape, (1, 1), padding)
    assert geometry is not None
    form = conv.choose(x_shape, features, geometry)
    gradient = conv.choose_for_kernel_gradient(x_shape, features, geometry)
    assert gradient is conv.transposed(form)
    return form

  assert chosen(511, 7, 7) is conv.by_bands
  assert chosen(512, 7, 7) is conv.by_map
  # `by_map` would copy the kernel for each of many rows.
  assert chosen(512, 100, 7) is conv.by_bands
  # Kernels merged by `vmap`, and the input gradient of a VALID convolution.
  assert chosen(512, 7, 7, features=480) is conv.by_bands
  assert chosen(512, 8, 8, 48, padding=((8, 8), (8, 8))) is conv.by_bands


def test_large_maps_are_left_to_xla():
  for size in (64, 256):
    for channels, features, width in (
      (1, 56, 5), (3, 56, 5), (4, 56, 9), (64, 56, 3), (56, 4, 9)
    ):  # fmt: skip
      shape = (1, size, size, channels)
      kernel_shape = (width, width, channels, features)
      geometry = conv.geometry_of(shape, kernel_shape, (1, 1), "SAME")
      assert geometry is not None
      assert conv.choose(shape, features, geometry) is conv.by_xla
      gradient = conv.choose_for_kernel_gradient(shape, features, geometry)
      assert gradient is conv.transposed(conv.by_xla)


GEOMETRIES = [
  ((6, 6), (3, 3), (1, 1), "SAME"),
  ((5, 7), (3, 5), (1, 1), "SAME"),
  ((5, 7), (3, 2), (2, 2), "SAME"),
  ((6, 5), (3, 3), (1, 2), "VALID"),
  ((3, 3), (5, 5), (1, 1), "SAME"),
  ((6, 6), (3, 3), (1, 1), ((2, 0), (1, 2))),
  ((4, 4), (1, 1), (1, 1), "VALID"),
]


def in_every_geometry(candidates):
  """Parametrizes over all geometries, even if `choose` takes another form."""
  return pytest.mark.parametrize(
    ("candidate", "size", "width", "strides", "padding"),
    [
      (candidate, *geometry)
      for candidate in candidates
      for geometry in GEOMETRIES
      if geometry[2] == (1, 1) or candidate is not conv.by_rows
    ],
  )


@in_every_geometry(FORMS)
def test_every_form_computes_the_convolution(
  candidate, size, width, strides, padding
):
  x, kernel = random(2, *size, 3), random(*width, 3, 4, seed=2)
  geometry = conv.geometry_of(x.shape, kernel.shape, strides, padding)
  assert_close(
    once(lambda x, kernel: candidate(x, kernel, geometry), x, kernel),
    reference(x, kernel, strides, padding),
  )


@in_every_geometry(KERNEL_GRADIENTS)
def test_every_kernel_gradient_equals_the_reference(
  candidate, size, width, strides, padding
):
  x, kernel = random(2, *size, 3), random(*width, 3, 4, seed=2)
  geometry = conv.geometry_of(x.shape, kernel.shape, strides, padding)
  y, pull = jax.vjp(lambda k: reference(x, k, strides, padding), kernel)
  g = random(*y.shape, seed=1)
  actual = once(lambda x, g: candidate(x, g, geometry), x, g)
  assert_close(actual, pull(g)[0])


@settings(max_examples=25, deadline=None, derandomize=True)
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
