"""Every form of a convolution, and its transposes, against XLA's own."""

import functools

import jax
import jax.numpy as jnp
import pytest

from sr2_jax.models import conv_forms
from tests.models.convolutions import assert_close, once, random, reference

GEOMETRIES = [
  ((6, 6), (3, 3), (1, 1), "SAME"),
  ((5, 7), (3, 5), (1, 1), "SAME"),
  ((5, 7), (3, 2), (2, 2), "SAME"),
  ((6, 5), (3, 3), (1, 2), "VALID"),
  ((3, 3), (5, 5), (1, 1), "SAME"),
  ((6, 6), (3, 3), (1, 1), ((2, 0), (1, 2))),
  ((4, 4), (1, 1), (1, 1), "VALID"),
]
CASES = [
  (name, *geometry)
  for name in conv_forms.FORMS
  for geometry in GEOMETRIES
  if geometry[2] == (1, 1) or name != "rows"
]
# Of more rows than are sliced one by one.
CASES += [
  ("bands", (70, 2), (3, 3), (1, 1), "SAME"),
  ("bands", (135, 3), (4, 5), (2, 1), ((0, 3), (2, 2))),
]
in_every_geometry = pytest.mark.parametrize(
  ("name", "size", "width", "strides", "padding"), CASES
)


@in_every_geometry
def test_every_form_computes_the_convolution(
  name, size, width, strides, padding
):
  x, kernel = random(2, *size, 3), random(*width, 3, 4, seed=2)
  geometry = conv_forms.geometry_of(x.shape, kernel.shape, strides, padding)
  form = functools.partial(conv_forms.FORMS[name], geometry=geometry)
  assert_close(once(form, x, kernel), reference(x, kernel, strides, padding))


@in_every_geometry
def test_the_transposes_of_every_form_are_its_gradients(
  name, size, width, strides, padding
):
  x, kernel = random(2, *size, 3), random(*width, 3, 4, seed=2)
  form = conv_forms.FORMS[name]
  geometry = conv_forms.geometry_of(x.shape, kernel.shape, strides, padding)
  y, pull = jax.vjp(lambda *a: reference(*a, strides, padding), x, kernel)
  g = random(*y.shape, seed=1)

  def gradients(x, kernel, g):
    return (
      conv_forms.input_gradient_by(form)(g, kernel, geometry),
      conv_forms.kernel_gradient_by(form)(x, g, geometry),
    )

  for actual, expected in zip(
    once(gradients, x, kernel, g), pull(g), strict=True
  ):
    assert_close(actual, expected)


@pytest.mark.parametrize(
  ("size", "width", "strides", "padding"),
  [geometry for geometry in GEOMETRIES if geometry[2] == (1, 1)],
)
def test_at_stride_1_the_flipped_kernel_gives_the_input_gradient(
  size, width, strides, padding
):
  x, kernel = random(2, *size, 3), random(*width, 3, 4, seed=2)
  geometry = conv_forms.geometry_of(x.shape, kernel.shape, strides, padding)
  assert geometry.flipped().flipped() == geometry
  y, pull = jax.vjp(lambda x: reference(x, kernel, strides, padding), x)
  g = random(*y.shape, seed=1)
  flipped = jnp.flip(kernel, (0, 1)).swapaxes(2, 3)
  back = geometry.flipped()
  assert_close(reference(g, flipped, back.strides, back.padding), pull(g)[0])


@pytest.mark.parametrize("name", sorted(conv_forms.FORMS.keys() - {"map"}))
def test_a_tall_map_makes_no_long_program(name):
  """Its compilation took minutes."""

  def num_lines(rows):
    x, kernel = jnp.zeros((1, rows, 1, 3)), jnp.zeros((3, 3, 3, 4))
    geometry = conv_forms.geometry_of(x.shape, kernel.shape, (1, 1), "SAME")
    form = functools.partial(conv_forms.FORMS[name], geometry=geometry)
    return str(jax.make_jaxpr(form)(x, kernel)).count("\n")

  assert num_lines(3000) == num_lines(100)
