"""Scores of a split: its batches, and means over all images."""

import collections
import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from sr2_jax.data import dataset as dataset_lib
from sr2_jax.evaluation import program
from sr2_jax.records import confusion

# How many batches the host may run ahead of the devices.
_BATCHES_AHEAD = 2

# Starts the evaluation of a batch.
Start = Callable[[program.EvalBatch], Any]
# Waits for the scores of a started batch, as NumPy arrays.
Fetch = Callable[[Any], Mapping[str, np.ndarray]]


@dataclasses.dataclass(frozen=True)
class Scores:
  """Scores of a split's images.

  Attributes:
    values: means over the images for each member and condition, {metric:
      float64 [M, V]}.
    per_image: {metric: float32 [M, V, N]} in the order of the split; accuracy
      is 0 or 1, and what counts classes is missing.
    n: number of images.
    labels: true classes, int32 [N].
    predicted: classes, int32 [M, V, N]; None without a classifier.
    class_accuracy: part of each class that is read right, float64 [M, V, K],
      NaN for one without images; None without a classifier.
  """

  values: dict[str, np.ndarray]
  per_image: dict[str, np.ndarray]
  n: int
  labels: np.ndarray
  predicted: np.ndarray | None
  class_accuracy: np.ndarray | None = None


def batches(
  split: dataset_lib.Split, *, batch_size: int, max_images: int = 0
) -> Iterator[program.EvalBatch]:
  """Batches of a split, all of one size; the last is padded.

  Args:
    split: the images and labels.
    batch_size: images of a batch, padding included.
    max_images: take only the first ones; 0: all.
  """
  num_images = min(len(split.images), max_images or len(split.images))
  for first in range(0, num_images, batch_size):
    positions = np.arange(first, first + batch_size, dtype=np.int32)
    mask = (positions < num_images).astype(np.float32)
    positions = np.minimum(positions, num_images - 1)
    yield program.EvalBatch(
      images=split.images[positions],
      labels=split.labels[positions],
      positions=positions,
      mask=mask,
    )


def measure(
  start: Start,
  fetch: Fetch,
  batches_of_split: Iterator[program.EvalBatch],
  *,
  num_classes: int,
) -> Scores:
  """Scores of all images, and their means in float64.

  The host starts a few batches before it waits for the scores of the first.

  Args:
    start: starts the evaluation of a batch.
    fetch: waits for the scores that `start` promised.
    batches_of_split: batches whose masks show every image once.
    num_classes: number of classes of the labels.
  """
  pending: collections.deque[tuple[np.ndarray, Any]] = collections.deque()
  fetched: list[dict[str, np.ndarray]] = []
  labels: list[np.ndarray] = []

  def settle(batches_ahead: int) -> None:
    while len(pending) > batches_ahead:
      is_image, outputs = pending.popleft()
      scores = fetch(outputs)
      fetched.append({name: x[..., is_image] for name, x in scores.items()})

  for batch in batches_of_split:
    is_image = batch.mask > 0
    labels.append(batch.labels[is_image])
    pending.append((is_image, start(batch)))
    settle(_BATCHES_AHEAD)
  settle(0)

  true = np.concatenate(labels)
  per_image = {
    name: np.concatenate([scores[name] for scores in fetched], axis=-1)
    for name in fetched[0]
  }
  predicted = per_image.pop("predicted", None)
  if predicted is not None:
    per_image["accuracy"] = (predicted == true).astype(np.float32)
  values = {
    name: scores.mean(axis=-1, dtype=np.float64)
    for name, scores in per_image.items()
  }
  class_accuracy = None
  if predicted is not None:
    of_classes = confusion.tallies(true, predicted, num_classes)
    values["balanced_accuracy"] = confusion.balanced_accuracy(of_classes)
    values["f1"] = confusion.weighted_f1(of_classes)
    class_accuracy = confusion.recalls(of_classes)
  return Scores(values, per_image, len(true), true, predicted, class_accuracy)
