"""What weights in float16 cost, measured on MNIST digits."""

import dataclasses
from collections.abc import Mapping

import jax
import numpy as np
from ml_collections import ConfigDict

from sr2_jax.data import mnist5k
from sr2_jax.training import inputs
from sr2_jax.training import network as network_lib

NUM_DIGITS = 200


@dataclasses.dataclass(frozen=True)
class Cost:
  """How outputs differ between float16 and float32 weights.

  Attributes:
    num_images: that were compared.
    pixels: part of the pixels with another value when rounded to 8 bits.
    levels: by how much they differ at most, of 255.
    labels: images with another label; None without a classifier.
    probability: the largest difference of a probability, or None.
  """

  num_images: int
  pixels: float
  levels: int
  labels: int | None = None
  probability: float | None = None

  def __str__(self) -> str:
    text = (
      f"on {self.num_images} MNIST digits, {self.pixels:.1%} of the 8-bit "
      f"values change, by {self.levels} at most"
    )
    if self.labels is None or self.probability is None:
      return text
    return (
      f"{text}; {self.labels} of {self.num_images} labels change, "
      f"probabilities by {self.probability:.4f} at most"
    )


def digits(trained: network_lib.Trained) -> np.ndarray:
  """Low-resolution digits, made as the network's run makes its images.

  They are MNIST's, whatever the network was trained on: those come with the
  requirements. Where a run has not made its low-resolution images, each pixel
  is the mean of the block in its place.
  """
  origin, channels = trained.origins[0], trained.network.model.channels
  config = ConfigDict(dict(origin.config))
  images, _ = mnist5k.digits()
  # They are sorted by class.
  chosen = images[:: len(images) // NUM_DIGITS].astype(np.float32) / 255
  scale = config.degradation.scale
  side = chosen.shape[1] // scale * scale
  chosen = chosen[:, :side, :side]
  if origin.low_res_path:
    blocks = chosen.reshape(-1, side // scale, scale, side // scale, scale, 1)
    low_res = blocks.mean(axis=(2, 4))
  else:
    low_res = jax.jit(inputs.degradation_of(config, side, side))(chosen)
  return np.repeat(np.asarray(low_res), channels, axis=-1)


def cost(
  exact: Mapping[str, np.ndarray], narrow: Mapping[str, np.ndarray]
) -> Cost:
  """How the outputs of rounded weights differ from those of exact ones."""
  levels = [
    np.rint(255 * np.clip(outputs["super_res"], 0, 1)).astype(int)
    for outputs in (exact, narrow)
  ]
  difference = np.abs(levels[0] - levels[1])
  found = Cost(
    len(difference), float((difference > 0).mean()), int(difference.max())
  )
  if "logits" not in exact:
    return found
  logits = [x["logits"] for x in (exact, narrow)]
  labels = [x.argmax(axis=-1) for x in logits]
  probabilities = [np.asarray(jax.nn.softmax(x, axis=-1)) for x in logits]
  return dataclasses.replace(
    found,
    labels=int((labels[0] != labels[1]).sum()),
    probability=float(np.abs(probabilities[0] - probabilities[1]).max()),
  )
