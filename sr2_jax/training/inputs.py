"""Functions that make low-resolution inputs, from a config's degradations."""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict, FrozenConfigDict

from sr2_jax import rng
from sr2_jax.config import derived
from sr2_jax.data import pairs
from sr2_jax.imaging import (
  augmentation,
  blur_kernels,
  corruptions,
  degradation,
  noise,
)

Config = ConfigDict | FrozenConfigDict

# Maps high-resolution to low-resolution images, without noise.
Degrade = Callable[[jax.Array], jax.Array]
# Maps keys [B] and high_res to low_res and, for SRMD, a description of each
# image's degradation.
DegradeForTraining = Callable[
  [jax.Array, jax.Array], tuple[jax.Array, jax.Array | None]
]
# Maps keys [B] and packed pairs to augmented high_res and low_res.
OfPairs = Callable[[jax.Array, jax.Array], tuple[jax.Array, jax.Array]]
# Maps noise variances [B] to descriptions of the evaluation's degradation.
Describe = Callable[[jax.Array], jax.Array]
# Maps high_res, its clean low_res and positions in the split to
# low_res [V, B, ...].
Corrupt = Callable[[jax.Array, jax.Array, jax.Array], jax.Array]


def operators_of(
  config: Config, height: int, width: int, *, blur: float = 1.0
) -> tuple[np.ndarray, np.ndarray]:
  """The config's degradation of rows [h, H] and of columns [w, W].

  The arguments are those of `degradation_of`.
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
  return rows, columns


def degradation_of(
  config: Config, height: int, width: int, *, blur: float = 1.0
) -> Degrade:
  """The config's degradation for images of one size.

  Args:
    config: resolved.
    height: of the high-resolution images.
    width: of the high-resolution images.
    blur: factor on the width of the config's blur.
  """
  rows, columns = operators_of(config, height, width, blur=blur)
  return functools.partial(degradation.degrade, rows=rows, columns=columns)


def corruptions_of(config: Config, height: int, width: int) -> Corrupt:
  """The config's corruptions for images of one size; it needs at least one.

  Inputs are in the order of `derived.corruption_levels`.
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
  """SRMD's training inputs: a random blur kernel and noise level per image.

  The kernel replaces the config's whole blur.

  Args:
    config: resolved.
    height: of the high-resolution images.
    width: of the high-resolution images.
    basis: float32 [15, 225], the basis of descriptions of kernels.
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
  """Descriptions of the config's own degradation with noise, as SRMD's input.

  Args:
    config: resolved.
    basis: float32 [15, 225], the basis of the network's descriptions.
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
  """Basis of SRMD's descriptions of blur kernels, float32 [15, 225]."""
  recipe = config.srmd
  return blur_kernels.basis_of(
    recipe.min_blur_variance, recipe.max_blur_variance
  )


def degradation_for_training(
  config: Config, height: int, width: int
) -> DegradeForTraining:
  """The config's degradation of training images.

  SRMD gets a random blur and noise for each image. The other networks get the
  degradation of the evaluation, without noise.
  """
  if config.model.trunk == "srmd":
    return varied_degradation_of(
      config, height, width, basis=blur_basis(config)
    )
  degrade = degradation_of(config, height, width)
  return lambda keys, high_res: (degrade(high_res), None)


def pairs_for_training(config: Config, *, max_shift: int) -> OfPairs | None:
  """What makes inputs of pairs in memory; None if there are no pairs.

  Args:
    config: resolved.
    max_shift: in high-resolution pixels; rounded down to whole low-resolution
      ones.
  """
  scale = derived.pair_scale(config)
  if not scale:
    return None

  def of_pairs(
    keys: jax.Array, images: jax.Array
  ) -> tuple[jax.Array, jax.Array]:
    return augmentation.shift_pairs(
      keys,
      *pairs.unpacked(images, scale),
      max_shift=max_shift // scale,
      fill=config.augmentation.fill,
    )

  return of_pairs
