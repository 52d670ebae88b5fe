"""Counts of classes and what follows from them, against scikit-learn."""

import warnings

import numpy as np
import pytest
import sklearn.metrics

from sr2_jax.records import confusion

NUM_CLASSES = 4


def test_confusion_is_scikit_learns():
  random = np.random.default_rng(0)
  true = random.integers(0, NUM_CLASSES, 20)
  predicted = random.integers(0, NUM_CLASSES, (2, 3, 20))
  found = confusion.counts(true, predicted, NUM_CLASSES)
  assert found.shape == (2, 3, NUM_CLASSES, NUM_CLASSES)
  tallies = confusion.tallies(true, predicted, NUM_CLASSES)
  np.testing.assert_array_equal(tallies.present, found.sum(axis=-1))
  np.testing.assert_array_equal(tallies.read, found.sum(axis=-2))
  np.testing.assert_array_equal(
    tallies.right, found.diagonal(axis1=-2, axis2=-1)
  )
  for index in np.ndindex(2, 3):
    np.testing.assert_array_equal(
      found[index],
      sklearn.metrics.confusion_matrix(
        true, predicted[index], labels=range(NUM_CLASSES)
      ),
    )


@pytest.mark.parametrize(
  ("true", "predicted"),
  [
    ([0, 0, 1, 2, 3, 3], [0, 1, 1, 2, 2, 3]),
    ([0, 0, 0], [0, 0, 0]),  # only one class
    ([0, 0, 1], [1, 1, 0]),  # nothing right
    ([0, 1, 1], [2, 1, 1]),  # predicted but absent, and neither
    ([2, 3, 3], [3, 3, 3]),  # present but never predicted
  ],
)
def test_scores_are_scikit_learns(true, predicted):
  of_classes = confusion.tallies(
    np.array(true), np.array(predicted), NUM_CLASSES
  )
  expected = sklearn.metrics.f1_score(
    true, predicted, average="weighted", zero_division=0.0
  )
  f1 = confusion.weighted_f1(of_classes)
  np.testing.assert_allclose(f1, expected, rtol=1e-12)
  with warnings.catch_warnings():
    # A class that is read, but of which there is no image.
    warnings.simplefilter("ignore", UserWarning)
    balanced = sklearn.metrics.balanced_accuracy_score(true, predicted)
  np.testing.assert_allclose(
    confusion.balanced_accuracy(of_classes), balanced, rtol=1e-12
  )
  recalls = confusion.recalls(of_classes)
  expected = sklearn.metrics.recall_score(
    true, predicted, labels=range(NUM_CLASSES), average=None,
    zero_division=np.nan,
  )  # fmt: skip
  np.testing.assert_allclose(recalls, expected, rtol=1e-12)


def test_f1_keeps_leading_axes():
  random = np.random.default_rng(0)
  true = random.integers(0, NUM_CLASSES, 20)
  predicted = random.integers(0, NUM_CLASSES, (2, 3, 20))
  f1 = confusion.weighted_f1(confusion.tallies(true, predicted, NUM_CLASSES))
  assert f1.shape == (2, 3)
  one = confusion.tallies(true, predicted[1, 2], NUM_CLASSES)
  np.testing.assert_allclose(f1[1, 2], confusion.weighted_f1(one))
