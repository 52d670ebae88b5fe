"""Low-resolution inputs: what a config's degradations are as functions."""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict, FrozenConfigDict

from sr2_jax import rng
from sr2_jax.imaging import blur_kernels, corruptions, degradation, noise

Config = ConfigDict | FrozenConfigDict

# High-resolution to low-resolution images, without noise.
Degrade = Callable[[jax.Array], jax.Array]
# (keys [B], high_res) to low_res and, for SRMD, a description of how each image
# was degraded.
DegradeForTraining = Callable[
  [jax.Array, jax.Array], tuple[jax.Array, jax.Array | None]
]
# Noise variances [B] to descriptions of how the evaluation degrades images.
Describe = Callable[[jax.Array], jax.Array]
# (high_res, its clean low_res, positions in the split) to low_res [V, B, ...].
Corrupt = Callable[[jax.Array, jax.Array, jax.Array], jax.Array]


def degradation_of(
  config: Config, height: int, width: int, *, blur: float = 1.0
) -> Degrade:
  """The config's degradation for images of one size, its blur so many times as
  wide.
  """
  rows, columns = (
    degradation.operator(
      size,
      config.degradation.scale,
      blur_sigma=blur
      * config.degradation.blur_sigma_per_scale
      * config.degradation.scale,
      anti_aliasing=config.degradation.anti_aliasing,
    )
    for size in (height, width)
  )
  return functools.partial(degradation.degrade, rows=rows, columns=columns)


def corruptions_of(config: Config, height: int, width: int) -> Corrupt:
  """The config's corruptions, at least one, for images of one size.

  Inputs come in the order of `config.corruption_levels`.
  """

  def corrupt(
    high_res: jax.Array, clean: jax.Array, positions: jax.Array
  ) -> jax.Array:
    def at_levels(corruption: str, levels: tuple[float, ...]) -> jax.Array:
      if corruption == "blur":
        blurred = [
          degradation_of(config, height, width, blur=level)(high_res)
          for level in levels
        ]
        return jnp.clip(jnp.stack(blurred), 0, 1)
      as_array = jnp.asarray(levels, jnp.float32)
      if corruption == "jpeg":
        of_levels = jax.vmap(corruptions.jpeg, in_axes=(None, 0))
        return of_levels(clean, as_array)
      stream = rng.stream(config.eval.noise_seed, corruption)
      of_levels = jax.vmap(
        corruptions.RANDOM[corruption], in_axes=(None, None, 0)
      )
      return of_levels(rng.per_image(stream, positions), clean, as_array)

    chosen = sorted(config.eval.corruptions.items())
    return jnp.concatenate(
      [at_levels(corruption, levels) for corruption, levels in chosen if levels]
    )

  return corrupt


def varied_degradation_of(
  config: Config, height: int, width: int, *, basis: np.ndarray
) -> DegradeForTraining:
  """SRMD's training: a blur kernel and a noise level at random for each image.

  The kernel stands for all of degradation's blur. `basis` is what kernels are
  described in.
  """
  recipe = config.srmd
  rows, columns = (
    degradation.taps(
      size, config.degradation.scale, kernel_size=blur_kernels.SIZE
    )
    for size in (height, width)
  )

  def degrade(
    keys: jax.Array, high_res: jax.Array
  ) -> tuple[jax.Array, jax.Array]:
    blur_keys, level_keys, noise_keys = jax.vmap(
      lambda key: jax.random.split(key, 3), out_axes=1
    )(keys)
    kernels = blur_kernels.draw(
      blur_keys,
      min_variance=recipe.min_blur_variance,
      max_variance=recipe.max_blur_variance,
      isotropic=recipe.isotropic,
    )
    noise_stds = blur_kernels.draw_noise_std(
      level_keys,
      max_std=recipe.max_noise_std,
      clean_fraction=recipe.clean_fraction,
    )
    clean = degradation.degrade_by_kernels(high_res, kernels, rows, columns)
    low_res = noise.apply(
      clean,
      noise.draw(noise_keys, clean.shape[1:]),
      jnp.square(noise_stds)[:, None, None, None],
    )
    return low_res, blur_kernels.describe(kernels, noise_stds, basis)

  return degrade


def description_of(config: Config, *, basis: np.ndarray) -> Describe:
  """What SRMD is told of the config's own degradation, and of noise.

  Args:
    config: resolved.
    basis: what the network's kernels are described in.
  """
  scale = config.degradation.scale
  kernel = blur_kernels.isotropic(
    degradation.effective_sigma(
      scale,
      blur_sigma=config.degradation.blur_sigma_per_scale * scale,
      anti_aliasing=config.degradation.anti_aliasing,
    )
  )

  def describe(noise_variances: jax.Array) -> jax.Array:
    kernels = jnp.broadcast_to(kernel, (*noise_variances.shape, *kernel.shape))
    return blur_kernels.describe(kernels, jnp.sqrt(noise_variances), basis)

  return describe


def blur_basis(config: Config) -> np.ndarray:
  """The basis, float32 [15, 225], that SRMD's blur kernels are described in."""
  recipe = config.srmd
  return blur_kernels.basis_of(
    recipe.min_blur_variance, recipe.max_blur_variance
  )


def degradation_for_training(
  config: Config, height: int, width: int
) -> DegradeForTraining:
  """The config's degradation of training images.

  SRMD gets a new blur and noise for each image, all others the evaluation's
  degradation without noise.
  """
  if config.model.trunk == "srmd":
    return varied_degradation_of(
      config, height, width, basis=blur_basis(config)
    )
  degrade = degradation_of(config, height, width)
  return lambda keys, high_res: (degrade(high_res), None)
