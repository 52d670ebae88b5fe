"""Weights of classes of unequal size, against scikit-learn."""

import dataclasses

import numpy as np
import pytest
from sklearn.utils import class_weight

from sr2_jax import errors
from sr2_jax.training import class_weights
from tests import tiny_network


def make_run(tmp_path, labels=(0, 0, 0, 1, 2, 2, 3, 3), **changes):
  run = tiny_network.make_run(tmp_path, **changes)
  train = dataclasses.replace(
    run.dataset.train, labels=np.array(labels, np.int32)
  )
  return dataclasses.replace(
    run, dataset=dataclasses.replace(run.dataset, train=train)
  )


def test_balanced_is_scikit_learns(tmp_path):
  run = make_run(tmp_path, loss__class_weights="balanced")
  labels = run.dataset.train.labels
  expected = class_weight.compute_class_weight(
    "balanced", classes=np.arange(tiny_network.NUM_CLASSES), y=labels
  )
  np.testing.assert_allclose(run.class_weights, expected, rtol=1e-12)
  # An image counts 1 on average.
  assert np.mean(np.array(run.class_weights)[labels]) == pytest.approx(1)
  assert run.phase("joint").class_weights == run.class_weights


@pytest.mark.parametrize(
  "changes",
  [{}, {"loss__class_weights": "balanced", "model__wiring": "none"}],
)
def test_there_are_none_unless_asked_for_and_classified(tmp_path, changes):
  assert (
    class_weights.of(
      make_run(tmp_path, **changes).config, make_run(tmp_path).dataset
    )
    is None
  )


def test_pretraining_alone_needs_no_classes(tmp_path):
  """Nothing is divided by their number, and none may be rare."""
  run = make_run(
    tmp_path, [0] * 8, loss__class_weights="balanced", joint__num_epochs=0
  )
  assert run.class_weights is None
  unlabeled = dataclasses.replace(run.dataset, class_names=())
  assert class_weights.of(run.config, unlabeled) is None


def test_a_class_without_training_images_is_refused(tmp_path):
  """As `data.max_train_images` may leave it."""
  run = make_run(
    tmp_path, (0, 0, 0, 1, 3, 3, 3, 3), loss__class_weights="balanced"
  )
  with pytest.raises(errors.UserError, match='"c" has none among the 8'):
    class_weights.of(run.config, run.dataset)
