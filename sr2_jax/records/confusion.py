"""Which classes were read as which, and what follows from it; no JAX.

Counts are [..., K, K]: the first of the two axes is the true class, the second
the class that was read.
"""

import numpy as np


def counts(
  true: np.ndarray, predicted: np.ndarray, num_classes: int
) -> np.ndarray:
  """Counts [..., K, K] from classes, int [N] and [..., N]."""
  cells = true * num_classes + predicted
  found = [
    np.bincount(row, minlength=num_classes**2)
    for row in cells.reshape(-1, len(true))
  ]
  return np.reshape(found, (*cells.shape[:-1], num_classes, num_classes))


def recalls(of_classes: np.ndarray) -> np.ndarray:
  """Part of each true class that was read right, [..., K]; NaN for no image."""
  hits = np.diagonal(of_classes, axis1=-2, axis2=-1)
  present = of_classes.sum(-1)
  return np.divide(
    hits, present, out=np.full(hits.shape, np.nan), where=present > 0
  )


def balanced_accuracy(of_classes: np.ndarray) -> np.ndarray:
  """Mean of the recalls, [...]; rare classes count as much as others.

  A class without images does not count.
  """
  return np.nanmean(recalls(of_classes), axis=-1)


def weighted_f1(of_classes: np.ndarray) -> np.ndarray:
  """Mean F1 over classes, weighted by their images (the authors' choice).

  [...]; a class that is neither present nor predicted does not count.
  """
  hits = np.diagonal(of_classes, axis1=-2, axis2=-1)
  present, predicted = of_classes.sum(-1), of_classes.sum(-2)
  f1 = 2 * hits / np.maximum(present + predicted, 1)
  return (f1 * present).sum(-1) / present.sum(-1)
