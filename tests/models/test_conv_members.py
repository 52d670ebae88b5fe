import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sr2_jax.models import conv_forms, conv_members

GEOMETRY = conv_forms.Geometry((4, 4), (3, 3), (1, 1), ((1, 1), (1, 1)))
X, KERNEL = (2, 4, 4, 3), (3, 3, 3, 5)
Y = (2, 4, 4, 5)
PARTS = {
  "result": (conv_forms.by_patches, X, KERNEL, conv_members.RESULT),
  "input gradient": (
    conv_forms.input_gradient_by(conv_forms.by_patches),
    Y,
    KERNEL,
    conv_members.INPUT_GRADIENT,
  ),
  "kernel gradient": (
    conv_forms.kernel_gradient_by(conv_forms.by_patches),
    X,
    Y,
    conv_members.KERNEL_GRADIENT,
  ),
}


@pytest.mark.parametrize("axes", [(0, None), (None, 0), (0, 0)])
@pytest.mark.parametrize("part", PARTS)
def test_members_get_what_each_would_get_alone(part, axes):
  function, *shapes, merge = PARTS[part]
  random = np.random.default_rng(0)
  a, b = (
    jnp.asarray(
      random.standard_normal((3, *shape) if axis == 0 else shape), jnp.float32
    )
    for shape, axis in zip(shapes, axes, strict=True)
  )
  alone = jax.jit(functools.partial(function, geometry=GEOMETRY))
  expected = np.stack(
    [
      alone(
        *(
          x[i] if axis == 0 else x for x, axis in zip((a, b), axes, strict=True)
        )
      )
      for i in range(3)
    ]
  )
  for of_members in (
    conv_members.in_turn,
    conv_members.unroll,
    conv_members.in_a_loop,
  ):
    together = conv_members.batchable(function, GEOMETRY, merge, of_members)
    actual = jax.jit(jax.vmap(together, axes))(a, b)
    np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-4)


def test_members_in_turn_wait_for_each_other_and_unrolled_ones_do_not():
  def text(of_members):
    a = jnp.zeros((3, 2))
    return str(jax.make_jaxpr(lambda a: of_members(jnp.multiply, a, a))(a))

  assert text(conv_members.in_turn).count("optimization_barrier") == 2
  assert "optimization_barrier" not in text(conv_members.unroll)
  assert "scan" in text(conv_members.in_a_loop)
