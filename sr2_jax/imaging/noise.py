"""Gaussian noise by variance, clipped to [0, 1].

Drawing and scaling are separate functions, so that all levels of a noise sweep
share one draw: under `jax.vmap(..., in_axes=(None, None, 0))` over the
variances it is made once. Images are float32 [batch, height, width, channels]
in [0, 1]; variances are on that scale (authors).
"""

import jax
import jax.numpy as jnp


def draw(keys: jax.Array, shape: tuple[int, ...]) -> jax.Array:
  """Standard normal numbers, drawn for each image from its own key.

  Args:
    keys: Typed PRNG keys [B], one per image, so that the result does not
      depend on how a batch is split over devices.
    shape: Shape of one image, (h, w, C).

  Returns:
    float32 [B, *shape].
  """
  return jax.vmap(lambda key: jax.random.normal(key, shape))(keys)


def apply(
  low_res: jax.Array, standard_normal: jax.Array, noise_variance: jax.Array
) -> jax.Array:
  """Adds a draw, scaled to a variance, and clips to [0, 1].

  Args:
    low_res: Images [B, h, w, C].
    standard_normal: From `draw`, of the same shape.
    noise_variance: Variance >= 0, a scalar or one for each image [B, 1, 1, 1],
      possibly traced; 0 gives the input bit for bit, without clipping.

  Returns:
    Images [B, h, w, C] in [0, 1].
  """
  noisy = low_res + jnp.sqrt(noise_variance) * standard_normal
  return jnp.where(noise_variance > 0, jnp.clip(noisy, 0.0, 1.0), low_res)
