"""Whole exports; a network without classifier compiles fast."""

import contextlib
import hashlib
import io
import json
import pathlib
import re

import jax
import numpy as np
import pytest

from sr2_jax import errors, files
from sr2_jax.export import command_line, plan, programs, stablehlo, work
from sr2_jax.training import network as network_lib
from tests import random_network

pytest.importorskip("flatbuffers")

PAGE = pathlib.Path(__file__).parents[2] / "docs" / "export.md"
STEM = "sr_continued_fsrcnn_x2_seed_"


@pytest.fixture(scope="module")
def trained():
  return random_network.make(seeds=(0, 1))


@pytest.fixture
def folder(tmp_path, monkeypatch, trained):
  monkeypatch.chdir(tmp_path)
  # One more is that of the training's images, 7x7.
  monkeypatch.setattr(programs, "SIZES", ((1, 1),))
  random_network.write(tmp_path / "run", trained)
  return tmp_path


def export(text):
  planned = plan.prepare(command_line.parse(["run", *text.split()]))
  trained = network_lib.from_files(planned.chosen.paths)
  work.Work(planned, trained).do()


def test_every_file_of_every_seed(folder, trained, capsys):
  export("--to=safetensors,stablehlo --out=out")
  out = folder / "out"
  assert {path.name for path in out.iterdir()} == {
    f"{STEM}{seed}.{end}"
    for seed in (0, 1)
    for end in ("safetensors", "safetensors.sha256", "stablehlo", "json")
  }
  images = np.random.default_rng(1).random((2, 3, 9, 1), np.float32)
  expected = trained.apply(images)["super_res"]
  for seed in (0, 1):
    path = out / f"{STEM}{seed}.stablehlo"
    found = stablehlo.load(path)(images)
    assert found.keys() == {"super_res"}
    np.testing.assert_allclose(found["super_res"], expected[seed], atol=1e-5)
    again = network_lib.from_files([out / f"{STEM}{seed}.safetensors"])
    [origin] = again.origins
    assert origin.member == trained.origins[seed].member
    jax.tree.map(
      np.testing.assert_array_equal,
      programs.variables_of(again, 0),
      programs.variables_of(trained, seed),
    )
    about = json.loads((out / f"{STEM}{seed}.json").read_text())
    assert about["class_names"] == []
    assert about["outputs"].keys() == {"super_res"}
    assert about["trained_size"] == {"height": 7, "width": 7}
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert about["sha256"] == {path.name: digest}
    assert 0 < about["difference_from_jax"]["stablehlo"] < 1e-5
  captured = capsys.readouterr()
  assert captured.out == ""
  assert "equal to JAX within" in captured.err
  # The same command gives the same bytes.
  before = {path: path.read_bytes() for path in out.iterdir()}
  export("--to=safetensors,stablehlo --out=out --force --quiet")
  assert {path: path.read_bytes() for path in out.iterdir()} == before
  assert capsys.readouterr().err == ""


def test_float16_is_half_as_large_and_says_what_it_costs(
  folder, trained, capsys
):
  export("--dtype=float16 --to=safetensors,stablehlo --seeds=1 --out=out")
  assert f"{STEM}1_float16: on 200 MNIST digits, " in capsys.readouterr().err
  out = folder / "out"
  about = json.loads((out / f"{STEM}1_float16.json").read_text())
  assert about["cost_of_float16"]["num_images"] == 200
  assert about["cost_of_float16"]["labels"] is None
  sizes = {
    end: (out / f"{STEM}1_float16.{end}").stat().st_size
    for end in ("safetensors", "stablehlo")
  }
  # 63,408 weights, and what is said of them.
  assert 2 * 63_408 < sizes["safetensors"] < 2.2 * 63_408
  assert 2 * 63_408 < sizes["stablehlo"] < 4 * 63_408
  images = np.random.default_rng(1).random((2, 7, 7, 1), np.float32)
  exact = programs.variables_of(trained, 1)
  narrow = programs.Reference(trained).outputs(programs.rounded(exact), images)[
    "super_res"
  ]
  again = network_lib.from_files([out / f"{STEM}1_float16.safetensors"])
  np.testing.assert_allclose(
    again.apply(images)["super_res"][0], narrow, atol=1e-5
  )
  found = stablehlo.load(out / f"{STEM}1_float16.stablehlo")(images)
  np.testing.assert_allclose(found["super_res"], narrow, atol=1e-5)


def test_nothing_is_written_if_a_program_is_wrong(folder, monkeypatch):
  monkeypatch.setattr(programs, "TOLERANCE", 0.0)
  with pytest.raises(errors.UserError, match=r"0\.stablehlo is wrong at 1x1"):
    export("--to=safetensors,stablehlo --out=out")
  assert not (folder / "out").exists()


def test_a_full_disk_leaves_whole_files(folder, monkeypatch):
  real = files.write_atomically

  def write(path, data, **options):
    if path.suffix == ".json":
      raise OSError(28, "No space left on device", str(path))
    real(path, data, **options)

  monkeypatch.setattr(files, "write_atomically", write)
  with pytest.raises(errors.UserError, match=r"json: No space left on device"):
    export("--to=safetensors --out=out")
  assert {path.name for path in (folder / "out").iterdir()} == {
    f"{STEM}0.safetensors", f"{STEM}0.safetensors.sha256",
  }  # fmt: skip


@pytest.mark.onnx
def test_the_examples_of_the_manual_run(tmp_path, monkeypatch):
  pytest.importorskip("jax2onnx", reason="the extra `export` is missing")
  monkeypatch.chdir(tmp_path)
  monkeypatch.setattr(programs, "SIZES", ((1, 1),))
  sr2 = random_network.make("fsrcnn", "parallel", 4, 1)
  random_network.write(tmp_path / "run", sr2)
  export("--out=exported")
  blocks = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), re.S | re.M)
  assert len(blocks) == 2
  for block in blocks:
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
      found = {}
      exec(block, found)
    assert "(5, 28, 28, 1)" in printed.getvalue()
  about = json.loads(next(tmp_path.glob("exported/*.json")).read_text())
  assert about["class_names"] == list("0123456789")
  assert about["difference_from_jax"].keys() == {"stablehlo", "onnx"}
  assert about["made_with"].keys() >= {"jax", "jax2onnx", "onnxruntime"}
