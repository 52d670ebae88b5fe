"""Batches of a split, and means over its images."""

import numpy as np
import pytest
import sklearn.metrics

from sr2_jax.evaluation import program
from sr2_jax.evaluation import scores as scores_lib
from tests import tiny_network


@pytest.mark.parametrize("num_images", [1, 3, 4, 5, 8, 9])
@pytest.mark.parametrize("max_images", [0, 1, 4, 6, 100])
def test_batches_hold_every_image_once(num_images, max_images):
  split = tiny_network.make_split(num_images, 0)
  expected = min(num_images, max_images) if max_images else num_images
  seen = []
  for batch in scores_lib.batches(split, batch_size=4, max_images=max_images):
    assert batch.images.shape == (4, tiny_network.SIZE, tiny_network.SIZE, 1)
    assert batch.images.dtype == np.uint8
    assert (batch.mask.dtype, batch.mask.shape) == (np.float32, (4,))
    assert batch.positions.dtype == batch.labels.dtype == np.int32
    assert set(batch.mask) <= {0, 1}
    assert batch.mask[0] == 1
    for array, whole in (
      (batch.images, split.images),
      (batch.labels, split.labels),
    ):
      np.testing.assert_array_equal(array, whole[batch.positions])
    seen += batch.positions[batch.mask == 1].tolist()
  assert seen == list(range(expected))


def fake_batches(masks, labels=None):
  for index, mask in enumerate(masks):
    mask = np.asarray(mask, np.float32)
    label = np.zeros(len(mask), np.int32) if labels is None else labels[index]
    yield program.EvalBatch(
      images=None, labels=label, positions=None, mask=mask
    )


def evaluate_scores(scores, batches):
  """Scores of batches, each of which scores as given."""
  scores = iter(scores)
  return scores_lib.measure(
    lambda _: next(scores),
    lambda x: x,
    batches,
    num_classes=tiny_network.NUM_CLASSES,
  )


def test_means_leave_out_the_padding():
  """They are not means of batch means: the batches have 3 and 1 images."""
  scores = evaluate_scores(
    [
      {"ssim": np.array([[[0.5, 0.5, 0.5], [1, 0, 1]]], np.float32)},
      {"ssim": np.array([[[0.25, 7, 7], [1, 7, 7]]], np.float32)},
    ],
    fake_batches([[1, 1, 1], [1, 0, 0]]),
  )
  assert scores.n == 4
  assert scores.values.keys() == scores.per_image.keys() == {"ssim"}
  np.testing.assert_array_equal(scores.values["ssim"], [[1.75 / 4, 0.75]])
  assert scores.per_image["ssim"].dtype == np.float32
  np.testing.assert_array_equal(
    scores.per_image["ssim"], [[[0.5, 0.5, 0.5, 0.25], [1, 0, 1, 1]]]
  )


def test_sums_are_in_float64():
  """In float32, 2^24 + 1 would be 2^24."""
  scores = evaluate_scores(
    [{"loss_sr": np.full((1, 1, 1), x, np.float32)} for x in [2**24] + [1] * 9],
    fake_batches([[1]] * 10),
  )
  assert scores.values["loss_sr"].dtype == np.float64
  assert scores.values["loss_sr"][0, 0] == (2**24 + 9) / 10


def test_batches_are_started_before_scores_are_fetched():
  """Two run ahead; the scores are complete and in the order of the split."""
  log = []

  def start(batch):
    log.append("start")
    return batch.labels

  def fetch(labels):
    log.append("fetch")
    return {"loss_sr": labels[None, None].astype(np.float32)}

  labels = [np.full(2, index) for index in range(6)]
  batches = fake_batches([[1, 1]] * 6, labels)
  scores = scores_lib.measure(start, fetch, batches, num_classes=6)
  assert log[:4] == ["start", "start", "start", "fetch"]
  assert log.count("fetch") == log.count("start") == 6
  np.testing.assert_array_equal(
    scores.per_image["loss_sr"][0, 0], np.repeat(np.arange(6), 2)
  )


def test_accuracy_and_f1_are_those_of_the_whole_split():
  random = np.random.default_rng(0)
  true = random.integers(0, tiny_network.NUM_CLASSES, (2, 6))
  predicted = random.integers(0, tiny_network.NUM_CLASSES, (2, 6))
  scores = evaluate_scores(
    [{"predicted": p[None, None]} for p in predicted],
    fake_batches([[1] * 6] * 2, true),
  )
  assert scores.values.keys() == {"accuracy", "balanced_accuracy", "f1"}
  np.testing.assert_allclose(
    scores.values["accuracy"], [[np.mean(true == predicted)]]
  )
  np.testing.assert_allclose(
    scores.values["f1"],
    sklearn.metrics.f1_score(
      true.ravel(), predicted.ravel(), average="weighted"
    ),
  )
  np.testing.assert_allclose(
    scores.values["balanced_accuracy"],
    sklearn.metrics.balanced_accuracy_score(true.ravel(), predicted.ravel()),
  )
  np.testing.assert_allclose(
    scores.class_accuracy[0, 0],
    sklearn.metrics.recall_score(true.ravel(), predicted.ravel(), average=None),
  )
  np.testing.assert_array_equal(scores.labels, true.ravel())
  np.testing.assert_array_equal(scores.predicted[0, 0], predicted.ravel())
  assert scores.per_image.keys() == {"accuracy"}
  np.testing.assert_array_equal(
    scores.per_image["accuracy"][0, 0], (true == predicted).ravel()
  )
