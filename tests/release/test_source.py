"""What of a run is released, and what is refused."""

import dataclasses
import json

import numpy as np
import pytest

from sr2_jax import errors
from sr2_jax.records import rows as rows_lib
from sr2_jax.records import weights as weights_lib
from sr2_jax.release import source
from tests import result_rows, tiny_predictor

ONE = np.ones(1, np.float32)
STEPS = 2 * 4  # Epochs of `joint`, times steps of an epoch.


def make(folder, *, method="sr2_fsrcnn", step=STEPS, seeds=(0, 1), **options):
  """A run folder with weights of nothing, its record and its rows."""
  first = tiny_predictor.origin(**options)
  config = json.loads(json.dumps(first.config))
  config["batch_size"], config["joint"]["num_epochs"] = 8, 2
  config["init_from"], config["data"]["path"] = "/home/me/old", "/home/me/pics"
  config["data"]["labels"] = "/home/me/labels.csv"
  config["data"]["low_res_path"] = "/home/me/small"
  for seed in seeds:
    weights_lib.write(
      folder / f"weights/joint_{method}/seed_{seed}/last.safetensors",
      {"params/sr": np.float32([seed]), "running_batch_stats/a": ONE},
      dataclasses.replace(
        tiny_predictor.origin(seed, **options),
        config=config, step=step, method=method, batch_norm="running",
      ),
    )  # fmt: skip
  record = {"config": config, "dataset": {"num_train_images": 33}}
  (folder / "config.json").write_text(json.dumps(record))
  rows = [
    result_rows.row(
      key, dataset=config["data"]["name"], scale=2, step=step, seed=seed,
      l2=0.0, loss_weight=1.0, epochs=2.0, pretrain_epochs=5,
      batch_norm="running", **changes,
    )
    for key in (method, "fsrcnn")
    for seed in seeds
    for changes in (
      {}, {"noise_variance": 1e-4}, {"noise_variance": 1e-5},
      {"metric": "f1"}, {"split": "validation"},
      {"corruption": "blur", "corruption_level": 1.5},
    )
  ]  # fmt: skip
  rows.append(
    result_rows.row("bicubic", dataset=config["data"]["name"], scale=2)
  )
  rows_lib.merge(folder, rows)
  return folder


def one(run, *others, **options):
  [found] = source.networks(str(run), [str(run), *others], **options)
  return found


def test_a_network_with_what_is_said_of_it(tmp_path):
  found = one(make(tmp_path))
  assert found.about["name"] == "sr2_fsrcnn_x2_mnist5k"
  assert found.about["seeds"] == [0]
  assert found.about["epochs"] == 2.0
  assert found.about["pretrain_epochs"] == 5
  of_run = found.beside["float32"]
  assert {row.seed for row in of_run} == {0, 1}
  assert {row.noise_variance for row in of_run} == {0.0, 1e-4}
  assert {row.method for row in of_run} == {"sr2_fsrcnn"}
  assert found.beside["control"] == []
  assert len(found.beside["bicubic"]) == 1
  assert one(tmp_path, seeds="all").about["seeds"] == [0, 1]


def test_paths_of_a_machine_are_not_released(tmp_path):
  found = one(make(tmp_path))
  [origin] = found.chosen.origins
  released = source.origin(origin)
  assert "/home" in json.dumps(origin.config)
  for fields in (released.config, found.about["config"]):
    assert "/home" not in json.dumps(fields)
    assert fields["init_from"] == "old"


def test_svhn_says_its_terms_in_its_name(tmp_path):
  found = one(make(tmp_path, data="svhn_cropped", channels=3))
  assert found.about["name"] == "sr2_fsrcnn_x2_svhn_recropped_noncommercial"


def test_a_control_is_compared_with_and_not_released(tmp_path):
  run = make(tmp_path / "run")
  control = make(tmp_path / "control", method="sr_continued_fsrcnn")
  assert source.networks(str(control), [str(control)]) == []
  rows = one(run, str(control)).beside["control"]
  assert {row.method for row in rows} == {"sr_continued_fsrcnn"}
  # One that trained longer is no control.
  longer = make(tmp_path / "longer", method="sr_continued_fsrcnn", step=80)
  assert one(run, str(longer)).beside["control"] == []


def test_what_is_half_trained_is_refused(tmp_path):
  make(tmp_path, step=STEPS - 1)
  with pytest.raises(errors.UserError, match="at step 7 of 8; what is half-"):
    one(tmp_path)


def test_the_best_weights_of_a_run_that_has_ended(tmp_path):
  run = make(tmp_path)
  rows = rows_lib.read(run)
  for seed, step in ((0, 4), (1, 8)):
    folder = run / f"weights/joint_sr2_fsrcnn/seed_{seed}"
    arrays, origin = weights_lib.read(folder / "last.safetensors")
    origin = dataclasses.replace(origin, step=step)
    weights_lib.write(folder / "best.safetensors", arrays, origin)
    rows_lib.merge(
      run,
      [
        dataclasses.replace(row, step=step, epochs=step / 4)
        for row in rows
        if row.seed == seed
      ],
    )
  found = one(run, checkpoint="best")
  assert found.about["checkpoint"] == "best"
  assert (found.about["step"], found.about["epochs"]) == (4, 1.0)
  steps = {(row.seed, row.step) for row in found.beside["float32"]}
  assert steps == {(0, 4), (1, 8)}
  assert one(run).about["checkpoint"] == "last"
  assert {row.step for row in one(run).beside["float32"]} == {8}
  # However good they are, the run has to end.
  half = make(tmp_path / "half", step=STEPS - 1)
  last = half / "weights/joint_sr2_fsrcnn/seed_0/last.safetensors"
  weights_lib.write(last.with_name("best.safetensors"), *weights_lib.read(last))
  with pytest.raises(errors.UserError, match="half-trained"):
    one(half, checkpoint="best")


def test_kernels_are_rounded_and_there_is_one_kind_of_statistics(tmp_path):
  path = tmp_path / "a.safetensors"
  written = {
    "params/kernel": np.float32([[1 / 3]]),
    "params/bias": np.float32([1 / 3]),
    "running_batch_stats/a": np.float32([1e9]),
  }
  weights_lib.write(path, written, tiny_predictor.origin())
  found = source.arrays(path, "float16")
  assert found == {
    "params/kernel": np.float16(1 / 3),
    "params/bias": np.float32(1 / 3),
  }
  assert found["params/kernel"].dtype == np.float16
  kernel = {"params/kernel": np.float32([[1e5]])}
  weights_lib.write(path, kernel, tiny_predictor.origin())
  assert source.arrays(path, "float32")["params/kernel"] == 1e5
  with pytest.raises(errors.UserError, match="kernel does not fit float16"):
    source.arrays(path, "float16")
