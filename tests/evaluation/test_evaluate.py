"""Rows and scores of a network small enough to compute by hand."""

import dataclasses
import os
import signal

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import sklearn.metrics

from sr2_jax import errors, names, parallel, rng
from sr2_jax.evaluation import batch_norm, evaluate, methods
from sr2_jax.evaluation import scores as scores_lib
from sr2_jax.imaging import corruptions, degradation, metrics, noise
from sr2_jax.models import bicubic
from sr2_jax.records import arrays as arrays_lib
from sr2_jax.records import rows as rows_lib
from sr2_jax.training import preemption
from tests import tiny_network


def validate(run, phase, state):
  estimator = batch_norm.Estimator(run, phase)
  return evaluate.validation(run, phase, estimator)(
    run.layout.of(phase.population.size).put_members(state)
  )


@pytest.mark.parametrize(
  ("changes", "sr_loss", "divided", "layout"),
  [
    ({}, "mse", False, "data"),
    (
      {"loss__super_resolution": "l1", "loss__normalize_weights": True},
      "l1",
      True,
      "members",
    ),
    ({"loss__class_weights": "balanced"}, "mse", False, "data"),
  ],
)
def test_validation_is_equation_1_with_running_statistics(
  tmp_path, changes, sr_loss, divided, layout
):
  """On three devices, with batches of six for four, or two idle members."""
  run = tiny_network.make_run(tmp_path, **changes)
  run = dataclasses.replace(run, layout=parallel.layout(layout, 3))
  phase = tiny_network.tiny_phase(run)
  state = tiny_network.make_state(phase)
  values = validate(run, phase, state)
  split = run.dataset.validation
  assert {value.shape for value in values.values()} == {(4,)}
  noise = tiny_network.VARIANCES[1]
  for member, weight in enumerate(phase.population.loss_weights):
    expected = tiny_network.reference(
      state.variables, member, split, class_weights=run.class_weights
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
    noisy = tiny_network.reference(
      state.variables, member, split, variance=noise
    )
    np.testing.assert_allclose(
      values[f"accuracy_noise_{noise:g}"][member],
      np.mean(noisy["predicted"] == split.labels),
    )
  others = {name for name in values if name.endswith(f"_noise_{noise:g}")}
  assert others == {f"{name}_noise_{noise:g}" for name in arrays_lib.PER_IMAGE}


def test_validation_of_pretraining_is_the_super_resolution_loss(tmp_path):
  run = tiny_network.make_run(tmp_path, loss__normalize_weights=True)
  phase = tiny_network.tiny_phase(run, "pretrain")
  state = tiny_network.make_state(phase)
  values = validate(run, phase, state)
  assert "accuracy" not in values
  np.testing.assert_array_equal(values["loss"], values["loss_sr"])
  for member in range(2):
    expected = tiny_network.reference(
      state.variables, member, run.dataset.validation
    )
    np.testing.assert_allclose(values["loss"][member], expected["mse"], 1e-5)


def evaluate_phase(run, phase, variables):
  method = methods.of_phase(
    run,
    phase,
    variables,
    steps_done=tiny_network.STEPS,
    batch_norm="running",
  )
  return evaluate.evaluate(run, method)


def evaluate_bicubic(run):
  (bicubic_method,) = methods.untrained(run)
  return evaluate.evaluate(run, bicubic_method)


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory):
  """Bicubic and a joint phase, evaluated once on both splits."""
  run = tiny_network.make_run(
    tmp_path_factory.mktemp("run"), pretrain__num_epochs=0, eval__max_images=9
  )
  phase = tiny_network.tiny_phase(run)
  variables = tiny_network.make_state(phase).variables
  found = evaluate_bicubic(run), evaluate_phase(run, phase, variables)
  return run, phase, variables, found


def rows_of(evaluated):
  *_, found = evaluated
  return [row for evaluation in found for row in evaluation.rows]


def test_every_number_gets_its_row(evaluated):
  rows = rows_of(evaluated)
  assert len({row.key for row in rows}) == len(rows)
  for split in ("validation", "test"):
    of_split = [row for row in rows if row.split == split]
    network = [row for row in of_split if row.method == "sr2_fsrcnn"]
    found = {(row.member, row.step, row.condition) for row in network}
    assert found == {
      (member, step, rows_lib.Condition(variance))
      for member, step in zip(
        tiny_network.FOUR_MEMBERS, tiny_network.STEPS, strict=True
      )
      for variance in tiny_network.VARIANCES
    }
    assert {row.metric for row in network} == set(names.METRICS)
    assert len(network) == 4 * 2 * len(names.METRICS)
    assert {(r.phase, r.shared_layers) for r in network} == {("joint", 1)}
    # Two steps of batches of 4 in an epoch of 8 images.
    assert {(r.step, r.epochs) for r in network} == {
      (step, step / 2) for step in tiny_network.STEPS
    }
    assert {(r.batch_norm, r.pretrain_epochs) for r in network} == {
      ("running", 0)
    }
    other = [row for row in of_split if row.method == "bicubic"]
    assert {
      (r.phase, r.seed, r.l2, r.loss_weight, r.shared_layers, r.step)
      for r in other
    } == {("none", None, None, None, None, 0)}
    assert {(r.epochs, r.pretrain_epochs, r.batch_norm) for r in other} == {
      (None, None, None)
    }
    assert {row.metric for row in other} == {
      *metrics.IMAGE_METRICS,
      "loss_sr",
    }
    assert len(other) == 2 * (len(metrics.IMAGE_METRICS) + 1)
  assert {row.n for row in rows} == {9}
  assert {(r.experiment, r.dataset, r.scale) for r in rows} == {
    ("evaluated", "mnist5k", 2)
  }


def test_members_that_diverged_have_no_results(evaluated):
  """The others have those that they have beside them."""
  run, phase, variables, (_, everyone) = evaluated
  spoiled = jax.tree.map(np.array, variables)
  spoiled["params"]["gain"][[0, 2]] = np.nan
  method = methods.of_phase(
    run,
    phase,
    spoiled,
    steps_done=tiny_network.STEPS,
    batch_norm="running",
    places=(1, 3),
  )
  found = evaluate.evaluate(run, method)
  members = tiny_network.FOUR_MEMBERS[1::2]
  assert found.rows == [row for row in everyone.rows if row.member in members]
  for actual in (found.per_image["test"], found.examples):
    assert actual.members == members
    assert actual.steps == tiny_network.STEPS[1::2]
  for name, scores in everyone.per_image["test"].scores.items():
    np.testing.assert_array_equal(
      found.per_image["test"].scores[name], scores[1::2]
    )
  np.testing.assert_array_equal(
    found.examples.super_res, everyone.examples.super_res[1::2]
  )


def value_of(rows, **fields):
  (row,) = [
    row
    for row in rows
    if all(getattr(row, name) == value for name, value in fields.items())
  ]
  return row.value


@pytest.mark.parametrize("variance", tiny_network.VARIANCES)
def test_numbers_equal_a_loop_over_images(evaluated, variance):
  run, phase, variables, _ = evaluated
  rows = rows_of(evaluated)
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
      (
        "balanced_accuracy",
        sklearn.metrics.recall_score(
          split.labels,
          expected["predicted"],
          labels=np.unique(split.labels),
          average="macro",
        ),
      ),
      ("f1", f1),
    ):
      found = value_of(
        rows,
        method="sr2_fsrcnn",
        split="test",
        noise_variance=variance,
        metric=metric,
        member=phase.population.members[member],
      )
      np.testing.assert_allclose(found, value, rtol=2e-5, err_msg=metric)


def test_balanced_accuracy_is_the_mean_of_the_classes_beside_it(evaluated):
  run, rows = evaluated[0], rows_of(evaluated)
  found = [row for row in rows if row.class_accuracy is not None]
  assert {row.metric for row in found} == {"balanced_accuracy"}
  assert len(found) == sum(row.metric == "balanced_accuracy" for row in rows)
  for row in found:
    labels = getattr(run.dataset, row.split).labels[: row.n]
    counts = np.bincount(labels, minlength=run.dataset.num_classes)
    assert [x is None for x in row.class_accuracy] == (counts == 0).tolist()
    own = np.float64([x or 0 for x in row.class_accuracy])
    assert own[counts > 0].mean() == pytest.approx(row.value)
    [accuracy] = [
      other.value
      for other in rows
      if other.metric == "accuracy"
      and other.without(*rows_lib.MEASURED, "metric")
      == row.without(*rows_lib.MEASURED, "metric")
    ]
    assert own @ counts / counts.sum() == pytest.approx(accuracy)


def test_bicubic_gets_the_inputs_of_the_networks(evaluated):
  run, *_ = evaluated
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
      rows_of(evaluated),
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
  """Low-resolution inputs under one corruption."""
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
def test_every_corruption_gets_its_rows(tmp_path, layout):
  """Every method has them, from its outputs for the corrupted inputs.

  Four members on three devices leave two idle, and a batch of four becomes one
  of six; neither shows.
  """
  run = tiny_network.make_run(
    tmp_path, pretrain__num_epochs=0, eval__splits=("test",), **CORRUPTIONS
  )
  run = dataclasses.replace(run, layout=parallel.layout(layout, 3))
  phase = tiny_network.tiny_phase(run)
  variables = tiny_network.make_state(phase).variables
  network = evaluate_phase(run, phase, variables)
  rows = [*evaluate_bicubic(run).rows, *network.rows]
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
      own = {
        "method": "sr2_fsrcnn",
        "member": phase.population.members[member],
      }
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
  # Scores of each image are kept only under Gaussian noise.
  kept = network.per_image["test"].scores["ssim"]
  assert kept.shape == (4, len(tiny_network.VARIANCES), 9)


def test_evaluation_stops_between_batches(evaluated):
  """A real SIGTERM arrives during the second batch."""
  run, *_ = evaluated
  run = dataclasses.replace(run, stop=preemption.StopRequest())
  done = []

  def start(batch):
    if len(done) == 1:
      os.kill(os.getpid(), signal.SIGTERM)
    done.append(int(batch.mask.sum()))
    return {"ssim": np.ones((1, 1, 4), np.float32)}

  with run.stop.listening():
    items = evaluate._stoppable(run, evaluate.batches(run, "test"))
    with pytest.raises(errors.Stopped, match="evaluate again") as caught:
      scores_lib.measure(
        start, lambda x: x, items, num_classes=tiny_network.NUM_CLASSES
      )
  assert done == [4, 4]
  assert caught.value.exit_code == 143


@pytest.mark.parametrize("split", ["validation", "test"])
def test_scores_of_each_image_are_kept(evaluated, split):
  """Their means are the values of the rows."""
  run, _, variables, (other, network) = evaluated
  for evaluation, members in ((other, (rows_lib.Member(),)), (network, None)):
    kept = evaluation.per_image[split]
    assert kept.members == (members or tiny_network.FOUR_MEMBERS)
    np.testing.assert_array_equal(kept.noise_variances, tiny_network.VARIANCES)
    for metric, scores in kept.scores.items():
      assert scores.shape == (
        len(kept.members),
        len(tiny_network.VARIANCES),
        9,
      )
      means = [
        row.value
        for row in evaluation.rows
        if (row.split, row.metric) == (split, metric)
      ]
      np.testing.assert_allclose(
        scores.mean(axis=-1).ravel(), means, rtol=1e-6, atol=1e-6
      )
  assert network.per_image[split].steps == tiny_network.STEPS
  assert "accuracy" not in other.per_image[split].scores
  data = getattr(run.dataset, split)
  for member, level in np.ndindex(4, len(tiny_network.VARIANCES)):
    expected = tiny_network.reference(
      variables, member, data, variance=tiny_network.VARIANCES[level]
    )
    np.testing.assert_array_equal(
      network.per_image[split].scores["accuracy"][member, level],
      (expected["predicted"] == data.labels)[:9],
    )
    np.testing.assert_array_equal(
      network.per_image[split].predicted[member, level],
      expected["predicted"][:9],
    )
  np.testing.assert_array_equal(
    network.per_image[split].labels, data.labels[:9]
  )
  assert other.per_image[split].predicted is None


def test_evaluating_again_gives_the_same(evaluated):
  run, phase, variables, (_, before) = evaluated
  again = evaluate_phase(run, phase, variables)
  assert again.rows == before.rows
  for split, kept in before.per_image.items():
    jax.tree.map(
      np.testing.assert_array_equal,
      dict(again.per_image[split].scores),
      dict(kept.scores),
    )


def test_only_the_main_process_has_examples(evaluated, monkeypatch):
  run, phase, variables, (_, before) = evaluated
  assert before.examples is not None
  monkeypatch.setattr(parallel, "is_main_process", lambda: False)
  found = evaluate_phase(run, phase, variables)
  assert found.examples is None
  assert found.rows == before.rows
