"""Which classes were read as which, and what follows from it; no JAX."""

from typing import NamedTuple

import numpy as np


class Tallies(NamedTuple):
  """Numbers of images by class, each [..., K].

  The scores need no more than these, and K² counts of a thousand classes take
  room.

  Attributes:
    present: images of the class.
    read: images that were read as the class.
    right: images of the class that were read as it.
  """

  present: np.ndarray
  read: np.ndarray
  right: np.ndarray


def tallies(
  true: np.ndarray, predicted: np.ndarray, num_classes: int
) -> Tallies:
  """Tallies [..., K] from classes, int [N] and [..., N]."""
  shape = (*predicted.shape[:-1], num_classes)
  found = [
    (
      np.bincount(true, minlength=num_classes),
      np.bincount(row, minlength=num_classes),
      np.bincount(true[row == true], minlength=num_classes),
    )
    for row in predicted.reshape(-1, len(true))
  ]
  return Tallies(*(np.reshape(x, shape) for x in zip(*found, strict=True)))


def counts(
  true: np.ndarray, predicted: np.ndarray, num_classes: int
) -> np.ndarray:
  """Counts [..., K, K], true by read class, from int [N] and [..., N]."""
  cells = true * num_classes + predicted
  found = [
    np.bincount(row, minlength=num_classes**2)
    for row in cells.reshape(-1, len(true))
  ]
  return np.reshape(found, (*cells.shape[:-1], num_classes, num_classes))


def recalls(of: Tallies) -> np.ndarray:
  """Part of each class that was read right, [..., K]; NaN for no image."""
  nothing = np.full(of.present.shape, np.nan)
  return np.divide(of.right, of.present, out=nothing, where=of.present > 0)


def balanced_accuracy(of: Tallies) -> np.ndarray:
  """Mean of the recalls, [...]; rare classes count as much as others.

  A class without images does not count.
  """
  return np.nanmean(recalls(of), axis=-1)


def weighted_f1(of: Tallies) -> np.ndarray:
  """Mean F1 over classes, weighted by their images (the authors' choice).

  [...]; a class that is neither present nor predicted does not count.
  """
  f1 = 2 * of.right / np.maximum(of.present + of.read, 1)
  return (f1 * of.present).sum(-1) / of.present.sum(-1)
