"""The command: from run folders to folders that predict loads by name."""

import json

import numpy as np
import pytest

from sr2_jax import compilation, cpu_tuning, errors, predict
from sr2_jax.prediction import choice
from sr2_jax.records import released
from sr2_jax.records import rows as rows_lib
from sr2_jax.records import weights as weights_lib
from sr2_jax.release import __main__ as command
from sr2_jax.release import folders
from sr2_jax.training import network as network_lib
from tests.release import made_run

NAME = "sr2_fsrcnn_x4_mnist5k"


@pytest.fixture(scope="module", autouse=True)
def _as_it_was():
  """Leaves out what changes the process of the tests for good."""
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(cpu_tuning, "prepare", lambda: None)
    patch.setattr(compilation, "use_cache", lambda: None)
    yield


@pytest.fixture(scope="module")
def run(tmp_path_factory):
  return made_run.make(tmp_path_factory.mktemp("run")).folder.path


@pytest.fixture(scope="module")
def out(run, tmp_path_factory):
  """What is released of both seeds, with the numbers of a control."""
  control = tmp_path_factory.mktemp("control")
  (control / "config.json").write_text((run / "config.json").read_text())
  rows = [
    {**row, "method": "sr_continued_fsrcnn", "loss_weight": 0.0}
    for row in map(json.loads, (run / "results.jsonl").read_text().splitlines())
    if row["method"] == "sr2_fsrcnn" and row["metric"] != "accuracy"
  ]
  (control / "results.jsonl").write_text("\n".join(map(json.dumps, rows)))
  folder = tmp_path_factory.mktemp("out")
  words = [str(run), str(control), f"--out={folder}", "--seeds=all"]
  assert command.main(words) == errors.DONE
  return folder


def test_the_files_are_the_runs_rounded_to_half_precision(run, out):
  chosen = choice.find(str(out / NAME))
  assert [origin.member.seed for origin in chosen.origins] == [0, 1]
  for seed, path in enumerate(chosen.paths):
    [before] = run.glob(f"weights/*/seed_{seed}*/last.safetensors")
    arrays, origin = weights_lib.read(path)
    expected, expected_origin = weights_lib.read(before)
    assert origin == expected_origin
    assert arrays.keys() == expected.keys()
    for name, array in arrays.items():
      whole = expected[name]
      rounded = np.float16(whole) if whole.ndim > 1 else whole
      np.testing.assert_array_equal(array, rounded)


def test_the_numbers_are_measured_from_the_files(run, out):
  rows = folders.read_metrics(out / NAME / folders.METRICS)
  before = {row.key: row.value for row in rows_lib.read(run)}
  assert {row.metric for row in rows["rows"]} == {
    "ssim", "ssim_uniform7_range2", "psnr_db", "accuracy",
  }  # fmt: skip
  assert {row.noise_variance for row in rows["rows"]} == {0.0, 1e-3}
  changed = 0
  for row in rows["rows"]:
    tolerance = 1 / 24 if row.metric == "accuracy" else 1e-2
    assert row.value == pytest.approx(before[row.key], abs=tolerance)
    changed += row.value != before[row.key]
  assert changed
  assert {row.key for row in rows["float32"]} == {r.key for r in rows["rows"]}
  assert {row.method for row in rows["control"]} == {"sr_continued_fsrcnn"}
  assert {row.method for row in rows["bicubic"]} == {"bicubic"}


def test_what_was_released_loads_by_its_name(out, monkeypatch):
  monkeypatch.setattr(released, "FOLDER", out)
  predictor = predict.load(NAME)
  images = np.random.default_rng(0).random((3, 7, 7, 1), np.float32)
  found = predictor(images)
  paths = [out / NAME / f"seed_{seed}/model.safetensors" for seed in (0, 1)]
  expected = network_lib.from_files(paths).apply(images)
  np.testing.assert_allclose(
    found.super_res, expected["super_res"].mean(0), atol=1e-5
  )
  assert found.labels is not None


def test_checking_finds_nothing_and_then_what_was_changed(out, capsys):
  assert command.main([f"--out={out}", "--check"]) == errors.DONE
  assert "1 of 1 networks" in capsys.readouterr().out
  card = out / NAME / folders.CARD
  text = card.read_text()
  card.write_text(text.replace("0", "1"))
  assert command.main([f"--out={out}", "--check"]) == errors.TO_FIX
  assert "README.md is not what" in capsys.readouterr().err
  assert command.main([f"--out={out}", "--cards"]) == errors.DONE
  assert card.read_text() == text


def test_nothing_is_replaced_unless_asked(run, out, capsys):
  before = (out / NAME / released.SUMS).read_bytes()
  assert command.main([str(run), f"--out={out}"]) == errors.TO_FIX
  assert "--force replaces it" in capsys.readouterr().err
  assert (out / NAME / released.SUMS).read_bytes() == before


def test_a_number_that_is_not_the_runs_is_refused(
  run, tmp_path, monkeypatch, capsys
):
  monkeypatch.setattr(
    command,
    "_measured",
    lambda found, models: [
      rows_lib.Row(**{**vars(row), "value": row.value + 0.1})
      for row in found.beside["float32"]
    ],
  )
  out = tmp_path / "out"
  assert command.main([str(run), f"--out={out}"]) == errors.TO_FIX
  assert "This is more than rounding" in capsys.readouterr().err
  assert not out.exists()


@pytest.mark.parametrize(
  ("words", "problem"),
  [
    ([], "Give runs to release"),
    (["{run}", "--check"], "Give runs to release"),
    (["nowhere"], "nowhere: no run folder"),
    (["{run}", "--method=wdsr"], "--method=wdsr: "),
    (["{run}", "--seeds=x"], "--seeds=x: "),
    (["{run}", "{run}"], f"{NAME} is in several of the runs"),
    (["az://bucket"], "is a URL"),
    (["--check"], "there is no weights.json"),
  ],
)
def test_something_to_fix(run, tmp_path, capsys, words, problem):
  out = tmp_path / "out"
  words = [word.format(run=run) for word in words]
  assert command.main([*words, f"--out={out}"]) == errors.TO_FIX
  captured = capsys.readouterr().err
  assert problem in captured
  assert len(captured.splitlines()) <= 2
  assert not out.exists()
