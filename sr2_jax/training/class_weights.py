"""Weights of the classes in the classifier's loss, from the training images."""

from typing import Any

import numpy as np

from sr2_jax import errors
from sr2_jax.config import derived
from sr2_jax.data import dataset as dataset_lib


def of(config: Any, dataset: dataset_lib.Dataset) -> tuple[float, ...] | None:
  """The weight of each class by label, as `loss.class_weights` asks for it.

  None if all classes count 1, or nothing is classified. "balanced" is
  n / (K n_k), with n_k of the n training images in one of K classes.

  Args:
    config: resolved.
    dataset: the images of the run.

  Raises:
    UserError: if a class has no training image, whose weight would be infinite.
  """
  if config.loss.class_weights == "none" or not derived.classifies(config):
    return None
  labels, num_classes = dataset.train.labels, dataset.num_classes
  counts = np.bincount(labels, minlength=num_classes)
  if not counts.all():
    raise errors.UserError(
      'config.loss.class_weights="balanced" needs training images of every '
      f'class; "{dataset.class_names[int(counts.argmin())]}" has none among '
      f"the {len(labels)}."
    )
  return tuple(float(x) for x in len(labels) / (num_classes * counts))
