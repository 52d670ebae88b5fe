"""Rows, means and pictures, with a network small enough to write out."""

import dataclasses
import os
import signal

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.ndimage
import sklearn.metrics

from sr2_jax import errors, names, parallel, rng
from sr2_jax.evaluation import evaluate
from sr2_jax.imaging import corruptions, degradation, metrics, noise
from sr2_jax.models import bicubic, sr2
from sr2_jax.records import arrays as arrays_lib
from sr2_jax.records import folder as folder_lib
from sr2_jax.records import rows as rows_lib
from sr2_jax.training import preemption, steps
from sr2_jax.training import run as run_lib
from tests import tiny_network


@pytest.mark.parametrize("num_images", [1, 3, 4, 5, 8, 9])
@pytest.mark.parametrize("max_images", [0, 1, 4, 6, 100])
def test_batches_hold_every_image_once(num_images, max_images):
  split = tiny_network.make_split(num_images, 0)
  expected = min(num_images, max_images) if max_images else num_images
  seen = []
  for batch in evaluate.batches(split, batch_size=4, max_images=max_images):
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
    yield steps.EvalBatch(images=None, labels=label, positions=None, mask=mask)


def evaluate_scores(scores, batches):
  """Evaluates batches that score what is given for each."""
  scores = iter(scores)
  return evaluate.evaluate(
    lambda _: next(scores),
    lambda x: x,
    batches,
    num_classes=tiny_network.NUM_CLASSES,
  )


def test_means_are_over_images_without_the_filling():
  """Not means of batch means: the batches hold 3 and 1 images."""
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
  """In float32, 2^24 + 1 is 2^24."""
  scores = evaluate_scores(
    [{"loss_sr": np.full((1, 1, 1), x, np.float32)} for x in [2**24] + [1] * 9],
    fake_batches([[1]] * 10),
  )
  assert scores.values["loss_sr"].dtype == np.float64
  assert scores.values["loss_sr"][0, 0] == (2**24 + 9) / 10


def test_batches_are_dispatched_before_scores_are_fetched():
  """In the order of the split, a few ahead, and none is left out."""
  log = []

  def dispatch(batch):
    log.append("dispatch")
    return batch.labels

  def fetch(labels):
    log.append("fetch")
    return {"loss_sr": labels[None, None].astype(np.float32)}

  labels = [np.full(2, index) for index in range(6)]
  batches = fake_batches([[1, 1]] * 6, labels)
  scores = evaluate.evaluate(dispatch, fetch, batches, num_classes=6)
  assert log[:4] == ["dispatch", "dispatch", "dispatch", "fetch"]
  assert log.count("fetch") == log.count("dispatch") == 6
  np.testing.assert_array_equal(
    scores.per_image["loss_sr"][0, 0], np.repeat(np.arange(6), 2)
  )


def confusion_of(true, predicted):
  confusion = np.zeros((tiny_network.NUM_CLASSES, tiny_network.NUM_CLASSES))
  np.add.at(confusion, (true, predicted), 1)
  return confusion


def test_accuracy_and_f1_are_those_of_the_whole_split():
  random = np.random.default_rng(0)
  true = random.integers(0, tiny_network.NUM_CLASSES, (2, 6))
  predicted = random.integers(0, tiny_network.NUM_CLASSES, (2, 6))
  scores = evaluate_scores(
    [{"predicted": p[None, None]} for p in predicted],
    fake_batches([[1] * 6] * 2, true),
  )
  assert scores.values.keys() == {"accuracy", "f1"}
  np.testing.assert_allclose(
    scores.values["accuracy"], [[np.mean(true == predicted)]]
  )
  np.testing.assert_allclose(
    scores.values["f1"],
    sklearn.metrics.f1_score(
      true.ravel(), predicted.ravel(), average="weighted"
    ),
  )
  assert scores.per_image.keys() == {"accuracy"}
  np.testing.assert_array_equal(
    scores.per_image["accuracy"][0, 0], (true == predicted).ravel()
  )


def test_confusion_is_scikit_learns():
  random = np.random.default_rng(0)
  true = random.integers(0, tiny_network.NUM_CLASSES, 20)
  predicted = random.integers(0, tiny_network.NUM_CLASSES, (2, 3, 20))
  confusion = evaluate.confusion(true, predicted, tiny_network.NUM_CLASSES)
  assert confusion.shape == (
    2,
    3,
    tiny_network.NUM_CLASSES,
    tiny_network.NUM_CLASSES,
  )
  for index in np.ndindex(2, 3):
    np.testing.assert_array_equal(
      confusion[index],
      sklearn.metrics.confusion_matrix(
        true, predicted[index], labels=range(tiny_network.NUM_CLASSES)
      ),
    )


@pytest.mark.parametrize(
  ("true", "predicted"),
  [
    ([0, 0, 1, 2, 3, 3], [0, 1, 1, 2, 2, 3]),
    ([0, 0, 0], [0, 0, 0]),  # one class alone
    ([0, 0, 1], [1, 1, 0]),  # nothing right
    ([0, 1, 1], [2, 1, 1]),  # predicted but absent, and neither
    ([2, 3, 3], [3, 3, 3]),  # present but never predicted
  ],
)
def test_f1_is_scikit_learns(true, predicted):
  expected = sklearn.metrics.f1_score(
    true, predicted, average="weighted", zero_division=0.0
  )
  f1 = evaluate.weighted_f1(confusion_of(true, predicted))
  np.testing.assert_allclose(f1, expected, rtol=1e-12)


def test_f1_keeps_leading_axes():
  random = np.random.default_rng(0)
  confusion = random.integers(
    0, 5, (2, 3, tiny_network.NUM_CLASSES, tiny_network.NUM_CLASSES)
  )
  f1 = evaluate.weighted_f1(confusion)
  assert f1.shape == (2, 3)
  np.testing.assert_allclose(f1[1, 2], evaluate.weighted_f1(confusion[1, 2]))


def test_rows_are_of_member_variance_and_metric():
  scores = evaluate.Scores(
    values={
      "ssim": np.arange(8.0).reshape(4, 2),
      "loss_sr": 10 + np.arange(8.0).reshape(4, 2),
    },
    per_image={},
    n=11,
  )
  members = [
    {"seed": seed, "l2": l2, "loss_weight": weight, "step": step}
    for seed, l2, weight, step in [
      (3, 0.0, 0.5, 8),
      (3, 0.1, 0.5, 8),
      (3, 0.0, 2.0, 8),
      (4, 0.0, 0.5, 6),
    ]
  ]
  fields = {
    "experiment": "e",
    "method": "sr2_fsrcnn",
    "dataset": "mnist5k",
    "split": "test",
    "scale": 2,
    "shared_layers": 1,
    "phase": "joint",
  }
  levels = [
    {"noise_variance": 3.2e-5},
    {"noise_variance": 0.0, "corruption": "jpeg", "corruption_level": 50.0},
  ]
  rows = evaluate.rows(scores, levels=levels, members=members, fields=fields)
  assert len({row.key for row in rows}) == len(rows) == 16
  found = {
    (
      *(row.seed, row.l2, row.loss_weight, row.step, row.noise_variance),
      *(row.corruption, row.corruption_level, row.metric),
    ): row
    for row in rows
  }
  conditions = (3.2e-5, None, None), (0.0, "jpeg", 50.0)
  for index, member in enumerate(members):
    for level, condition in enumerate(conditions):
      for metric, values in scores.values.items():
        row = found[*member.values(), *condition, metric]
        assert row.value == values[index, level]
        assert row.n == 11
        assert row.method == "sr2_fsrcnn"


@pytest.mark.parametrize(
  ("changes", "sr_loss", "divided"),
  [
    ({}, "mse", False),
    (
      {"loss__super_resolution": "l1", "loss__normalize_weights": True},
      "l1",
      True,
    ),
  ],
)
def test_validation_is_equation_1_with_running_statistics(
  tmp_path, changes, sr_loss, divided
):
  run = tiny_network.make_run(tmp_path, **changes)
  phase = tiny_network.tiny_phase(run)
  state = tiny_network.make_state(phase)
  values = evaluate.validation(run, phase)(run.layout.put_members(state))
  split = run.dataset.validation
  assert {value.shape for value in values.values()} == {(4,)}
  for member, weight in enumerate(phase.population.loss_weights):
    expected = tiny_network.reference(
      evaluate.variables_of(state), member, split
    )
    loss = expected[sr_loss] + weight * expected["loss_classifier"]
    if divided:
      loss = loss / (1 + weight)
    for name, value in (
      ("loss", loss),
      ("loss_sr", expected[sr_loss]),
      ("loss_classifier", expected["loss_classifier"]),
      ("accuracy", np.mean(expected["predicted"] == split.labels)),
    ):
      np.testing.assert_allclose(
        values[name][member], value, rtol=1e-5, err_msg=name
      )


def test_validation_of_pretraining_is_the_super_resolution_loss(tmp_path):
  run = tiny_network.make_run(tmp_path, loss__normalize_weights=True)
  phase = tiny_network.tiny_phase(run, "pretrain")
  state = tiny_network.make_state(phase)
  values = evaluate.validation(run, phase)(run.layout.put_members(state))
  assert "accuracy" not in values
  np.testing.assert_array_equal(values["loss"], values["loss_sr"])
  for member in range(2):
    expected = tiny_network.reference(
      evaluate.variables_of(state), member, run.dataset.validation
    )
    np.testing.assert_allclose(values["loss"][member], expected["mse"], 1e-5)


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory):
  """A joint phase without a baseline, evaluated once on both splits."""
  folder = tmp_path_factory.mktemp("run")
  run = tiny_network.make_run(
    folder, pretrain__num_epochs=0, eval__max_images=9
  )
  phase = tiny_network.tiny_phase(run)
  variables = evaluate.variables_of(tiny_network.make_state(phase))
  rows = evaluate.evaluate_bicubic(run, phase)
  rows += evaluate.evaluate_phase(
    run, phase, variables, steps_done=[5, 6, 7, 8]
  )
  assert rows == rows_lib.read(run.folder.path)
  return run, phase, variables


def test_every_number_gets_its_row(evaluated):
  run, _, _ = evaluated
  rows = rows_lib.read(run.folder.path)
  assert len({row.key for row in rows}) == len(rows)
  for split in ("validation", "test"):
    of_split = [row for row in rows if row.split == split]
    network = [row for row in of_split if row.method == "sr2_fsrcnn"]
    found = {
      (r.seed, r.l2, r.loss_weight, r.step, r.noise_variance) for r in network
    }
    assert found == {
      (*member, variance)
      for member in zip(*tiny_network.FOUR_MEMBERS, strict=True)
      for variance in tiny_network.VARIANCES
    }
    assert {row.metric for row in network} == set(names.METRICS)
    assert len(network) == 4 * 2 * len(names.METRICS)
    assert {(r.phase, r.shared_layers) for r in network} == {("joint", 1)}
    other = [row for row in of_split if row.method == "bicubic"]
    assert {
      (r.phase, r.seed, r.l2, r.loss_weight, r.shared_layers, r.step)
      for r in other
    } == {("none", None, None, None, None, 0)}
    assert {row.metric for row in other} == {
      *metrics.IMAGE_METRICS,
      "loss_sr",
    }
    assert len(other) == 2 * (len(metrics.IMAGE_METRICS) + 1)
  assert {row.n for row in rows} == {9}
  assert {(r.experiment, r.dataset, r.scale) for r in rows} == {
    ("evaluated", "mnist5k", 2)
  }


def value_of(rows, **fields):
  (row,) = [
    row
    for row in rows
    if all(getattr(row, name) == value for name, value in fields.items())
  ]
  return row.value


@pytest.mark.parametrize("variance", tiny_network.VARIANCES)
def test_numbers_equal_a_loop_over_images(evaluated, variance):
  run, phase, variables = evaluated
  rows = rows_lib.read(run.folder.path)
  split = run.dataset.test
  for member in range(4):
    expected = tiny_network.reference(
      variables, member, split, variance=variance
    )
    f1 = sklearn.metrics.f1_score(
      split.labels, expected["predicted"], average="weighted", zero_division=0
    )
    for metric, value in (
      ("loss_sr", expected["mse"]),
      ("loss_classifier", expected["loss_classifier"]),
      ("accuracy", np.mean(expected["predicted"] == split.labels)),
      ("f1", f1),
    ):
      found = value_of(
        rows,
        method="sr2_fsrcnn",
        split="test",
        noise_variance=variance,
        metric=metric,
        **phase.population.fields(member),
      )
      np.testing.assert_allclose(found, value, rtol=2e-5, err_msg=metric)


def test_bicubic_sees_what_the_networks_see(evaluated):
  run, _, _ = evaluated
  split = run.dataset.test
  high_res = split.images / np.float32(255)
  low_res = np.einsum(
    "ij,njkc,lk->nilc", tiny_network.OPERATOR, high_res, tiny_network.OPERATOR
  )
  keys = rng.per_image(rng.stream(7, "noise"), jnp.arange(len(high_res)))
  draw = np.asarray(noise.draw(keys, low_res.shape[1:]))
  noisy = np.clip(low_res + np.sqrt(tiny_network.VARIANCES[1]) * draw, 0, 1)
  for variance, images in zip(
    tiny_network.VARIANCES, (low_res, noisy), strict=True
  ):
    errors_of = np.asarray(
      bicubic.upsample(jnp.asarray(images), tiny_network.SCALE)
    )
    found = value_of(
      rows_lib.read(run.folder.path),
      method="bicubic",
      split="test",
      noise_variance=variance,
      metric="loss_sr",
    )
    np.testing.assert_allclose(
      found, np.mean((errors_of - high_res) ** 2), rtol=2e-5
    )


CORRUPTIONS = {
  "eval__corruptions__speckle": (0.1,),
  "eval__corruptions__salt_and_pepper": (0.0, 0.2),
  "eval__corruptions__poisson": (30.0,),
  "eval__corruptions__jpeg": (20.0, 80.0),
  "eval__corruptions__blur": (0.5, 1.0, 2.0),
}


def corrupted(corruption, level, clean, high_res):
  """The networks' inputs, image by image."""
  if corruption == "blur":
    # The config's blur is 1 px, as tiny_network.OPERATOR has it.
    blurred = degradation.operator(
      tiny_network.SIZE,
      tiny_network.SCALE,
      blur_sigma=level,
      anti_aliasing=True,
    )
    return np.einsum("ij,njkc,lk->nilc", blurred, high_res, blurred)
  clean = jnp.asarray(clean, jnp.float32)
  if corruption == "jpeg":
    return corruptions.jpeg(clean, level)
  key = rng.stream(7, corruption)
  keys = rng.per_image(key, jnp.arange(len(clean)))
  return corruptions.RANDOM[corruption](keys, clean, level)


@pytest.mark.parametrize("layout", ["data", "members"])
def test_corruptions_get_rows_of_their_own(tmp_path, layout):
  """Of every method, by what each makes of the corrupted inputs."""
  run = tiny_network.make_run(
    tmp_path, pretrain__num_epochs=0, eval__splits=("test",), **CORRUPTIONS
  )
  run = dataclasses.replace(run, layout=parallel.layout(layout, 2))
  phase = tiny_network.tiny_phase(run)
  variables = evaluate.variables_of(tiny_network.make_state(phase))
  evaluate.evaluate_bicubic(run, phase)
  evaluate.evaluate_phase(run, phase, variables, steps_done=[5, 6, 7, 8])
  rows = rows_lib.read(tmp_path)
  split = run.dataset.test
  high_res = split.images / np.float32(255)
  clean = np.einsum(
    "ij,njkc,lk->nilc", tiny_network.OPERATOR, high_res, tiny_network.OPERATOR
  )
  levels = [
    (name.rpartition("__")[2], level)
    for name, chosen in CORRUPTIONS.items()
    for level in chosen
  ]
  found = {(row.corruption, row.corruption_level) for row in rows}
  assert found == {(None, None), *levels}
  assert {row.noise_variance for row in rows if row.corruption} == {0.0}
  for corruption, level in levels:
    low_res = np.asarray(corrupted(corruption, level, clean, high_res))
    fields = {"corruption": corruption, "corruption_level": level}
    upsampled = bicubic.upsample(
      jnp.asarray(low_res, jnp.float32), tiny_network.SCALE
    )
    np.testing.assert_allclose(
      value_of(rows, method="bicubic", metric="loss_sr", **fields),
      np.mean((np.asarray(upsampled) - high_res) ** 2),
      rtol=1e-4,
      err_msg=corruption,
    )
    repeated = np.kron(
      low_res, np.ones((1, tiny_network.SCALE, tiny_network.SCALE, 1))
    )
    flat = low_res.reshape(len(low_res), -1)
    for member in range(4):
      own = {"method": "sr2_fsrcnn", **phase.population.fields(member)}
      super_res = repeated * variables["params"]["gain"][member]
      super_res = super_res + variables["batch_stats"]["shift"][member]
      logits = flat @ variables["params"]["weights"][member]
      for metric, value in (
        ("loss_sr", np.mean((super_res - high_res) ** 2)),
        ("accuracy", np.mean(logits.argmax(-1) == split.labels)),
      ):
        np.testing.assert_allclose(
          value_of(rows, metric=metric, **own, **fields),
          value,
          rtol=1e-4,
          err_msg=corruption,
        )
  # Arrays are kept of Gaussian noise alone.
  arrays = arrays_lib.read(tmp_path / "per_image" / "sr2_fsrcnn_test.npz")
  assert arrays["ssim"].shape == (4, len(tiny_network.VARIANCES), 9)


def test_pictures_are_drawn(evaluated):
  run, _, _ = evaluated
  names = {path.name for path in run.folder.images.iterdir()}
  assert "joint_examples.png" in names
  for path in run.folder.images.iterdir():
    assert path.read_bytes().startswith(b"\x89PNG")


def contents(folder):
  return {path: path.read_bytes() for path in folder.glob("*/*.npz")}


class FakeWriter:
  def __init__(self):
    self.images, self.synced = {}, False

  def image(self, phase, tag, rgb, step):
    assert not self.synced
    assert rgb.ndim == 3
    self.images[tag] = (phase, step)

  def sync(self):
    self.synced = True


def test_evaluating_again_replaces_rows_and_shows_pictures(evaluated):
  """Both at once, because a picture takes a second to draw."""
  run, phase, variables = evaluated
  before = rows_lib.read(run.folder.path)
  arrays = contents(run.folder.path)
  fake = FakeWriter()
  evaluate.evaluate_phase(
    run, phase, variables, steps_done=[5, 6, 7, 8], metric_writer=fake
  )
  assert rows_lib.read(run.folder.path) == before
  assert contents(run.folder.path) == arrays
  assert fake.synced
  assert set(fake.images.values()) == {("joint", phase.num_steps)}
  assert "joint_examples" in fake.images


def test_only_the_main_process_writes(evaluated, monkeypatch, tmp_path):
  run, phase, variables = evaluated
  monkeypatch.setattr(parallel, "is_main_process", lambda: False)
  run = dataclasses.replace(run, folder=folder_lib.RunFolder(tmp_path / "run"))
  evaluate.evaluate_phase(run, phase, variables, steps_done=[5, 6, 7, 8])
  assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("split", ["validation", "test"])
def test_scores_of_each_image_are_kept(evaluated, split):
  run, _, variables = evaluated
  folder = run.folder.path / "per_image"
  network = arrays_lib.read(folder / f"sr2_fsrcnn_{split}.npz")
  other = arrays_lib.read(folder / f"bicubic_{split}.npz")
  tiny_network.assert_members(network, *tiny_network.FOUR_MEMBERS)
  tiny_network.assert_members(other, [-1], [np.nan], [np.nan], [0])
  assert network.keys() - other.keys() == {"accuracy"}
  rows = rows_lib.read(run.folder.path)
  for method, arrays, members in (
    ("sr2_fsrcnn", network, 4),
    ("bicubic", other, 1),
  ):
    for metric in arrays.keys() & set(names.METRICS):
      assert arrays[metric].shape == (members, len(tiny_network.VARIANCES), 9)
      assert arrays[metric].dtype == np.float32
      means = [
        row.value
        for row in rows
        if (row.method, row.split, row.metric) == (method, split, metric)
      ]
      np.testing.assert_allclose(
        arrays[metric].mean(axis=-1).ravel(), means, rtol=1e-6, atol=1e-6
      )
  data = getattr(run.dataset, split)
  for member, level in np.ndindex(4, len(tiny_network.VARIANCES)):
    expected = tiny_network.reference(
      variables, member, data, variance=tiny_network.VARIANCES[level]
    )
    np.testing.assert_array_equal(
      network["accuracy"][member, level],
      (expected["predicted"] == data.labels)[:9],
    )


def with_released_srmd(run):
  """The run with an SRMD network of random weights, as if it were released."""
  random = np.random.default_rng(3)
  model = sr2.SR2("srmd", "none", tiny_network.SCALE, 1)
  shapes = jax.eval_shape(
    lambda key: model.init(
      key, jnp.zeros((1, 6, 6, 1)), jnp.zeros((1, 16)), train=False
    ),
    jax.random.key(0),
  )
  params = jax.tree.map(
    lambda x: random.normal(0, 0.05, x.shape).astype(np.float32),
    shapes["params"],
  )
  basis = random.normal(0, 1, (15, 225)).astype(np.float32)
  released = run_lib.ReleasedSrmd(params, basis)
  return model, dataclasses.replace(run, released_srmd=released)


@pytest.mark.parametrize("clip", [False, True])
def test_released_srmd_is_told_the_blur_and_each_noise(tmp_path, clip):
  model, run = with_released_srmd(
    tiny_network.make_run(
      tmp_path, eval__splits=("test",), eval__max_images=3, eval__clip=clip
    )
  )
  rows = evaluate.evaluate_srmd(run, tiny_network.tiny_phase(run))
  assert rows == rows_lib.read(tmp_path)
  assert {
    (r.method, r.phase, r.seed, r.loss_weight, r.shared_layers, r.step, r.n)
    for r in rows
  } == {("srmd", "none", None, None, None, 0, 3)}
  # At x2 the blur of 1 px and that of 0.5 px against aliasing.
  kernel = scipy.ndimage.gaussian_filter(
    np.eye(15)[7][:, None] * np.eye(15)[7], np.sqrt(1.25), radius=7
  )
  released = run.released_srmd
  coefficients = released.basis @ kernel.ravel(order="F")
  high_res = np.float32(run.dataset.test.images[:3] / 255)
  clean = np.einsum(
    "ij,bjkc,lk->bilc", tiny_network.OPERATOR, high_res, tiny_network.OPERATOR
  )
  keys = rng.per_image(rng.stream(7, "noise"), jnp.arange(3))
  for variance in tiny_network.VARIANCES:
    draws = noise.draw(keys, clean.shape[1:])
    low_res = noise.apply(jnp.asarray(clean), draws, variance)
    told = np.float32([*coefficients, np.sqrt(variance)])
    outputs = model.apply(
      {"params": released.params}, low_res, np.stack([told] * 3), train=False
    )
    super_res = np.asarray(outputs["super_res"])
    if clip:
      super_res = np.clip(super_res, 0, 1)
    found = value_of(rows, noise_variance=variance, metric="loss_sr")
    expected = np.mean((super_res - high_res) ** 2)
    np.testing.assert_allclose(found, expected, rtol=1e-4)
  assert (tmp_path / "per_image" / "srmd_test.npz").is_file()
  kept = arrays_lib.read(tmp_path / "examples" / "srmd.npz")
  for level, variance in enumerate(tiny_network.VARIANCES):
    told = np.float32([*coefficients, np.sqrt(variance)])
    outputs = model.apply(
      {"params": released.params},
      kept["low_res"][level],
      np.stack([told] * len(kept["labels"])),
      train=False,
    )
    np.testing.assert_allclose(
      kept["super_res"][0, level], outputs["super_res"], atol=1e-5
    )


def test_no_released_srmd_unless_it_is_named(tmp_path):
  run = tiny_network.make_run(tmp_path)
  assert evaluate.evaluate_srmd(run, tiny_network.tiny_phase(run)) == []
  assert not (tmp_path / rows_lib.FILE_NAME).exists()


def test_evaluation_stops_between_batches(evaluated):
  """A real SIGTERM while the second batch is under way."""
  run, _, _ = evaluated
  run = dataclasses.replace(run, stop=preemption.StopRequest())
  done = []

  def dispatch(batch):
    if len(done) == 1:
      os.kill(os.getpid(), signal.SIGTERM)
    done.append(int(batch.mask.sum()))
    return {"ssim": np.ones((1, 1, 4), np.float32)}

  with run.stop.listening():
    items = evaluate._stoppable(run, evaluate._batches(run, "test"))
    with pytest.raises(errors.Stopped, match="evaluates again") as caught:
      evaluate.evaluate(
        dispatch, lambda x: x, items, num_classes=tiny_network.NUM_CLASSES
      )
  assert done == [4, 4]
  assert caught.value.exit_code == 143


def test_a_signal_after_the_last_batch_is_not_lost(tmp_path):
  """It stops before the picture; the rows are there."""
  rows = tmp_path / rows_lib.FILE_NAME
  run = tiny_network.make_run(
    tmp_path, pretrain__num_epochs=0, eval__splits=("test",)
  )
  stop = preemption.StopRequest()
  stop.received = lambda: signal.SIGTERM if rows.exists() else None
  run = dataclasses.replace(run, stop=stop)
  phase = tiny_network.tiny_phase(run)
  variables = evaluate.variables_of(tiny_network.make_state(phase))
  with pytest.raises(errors.Stopped, match="evaluates again"):
    evaluate.evaluate_phase(run, phase, variables, steps_done=[5, 6, 7, 8])
  assert rows.exists()
  assert not (tmp_path / "images").exists()
