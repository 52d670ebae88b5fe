"""The command, with a network that compiles in no time, and the library."""

import json
import pathlib
import re
import signal
import subprocess
import sys

import jax
import numpy as np
import pytest
from PIL import Image

from sr2_jax import compilation, cpu_tuning, errors, names, predict
from sr2_jax.prediction import command_line, pictures, session
from sr2_jax.records import weights
from sr2_jax.training import network as network_lib
from tests import tiny_predictor
from tests.training import test_network

ROOT = pathlib.Path(__file__).parents[1]
DIGIT = np.random.default_rng(0).integers(0, 100, (7, 7), np.uint8)


@pytest.fixture(scope="module")
def tiny():
  return tiny_predictor.make()


@pytest.fixture
def folder(tmp_path, monkeypatch, tiny):
  monkeypatch.chdir(tmp_path)
  monkeypatch.setattr(predict, "_predictor", lambda chosen: tiny)
  tiny_predictor.write(tmp_path / "run")
  Image.fromarray(DIGIT).save("a.png")
  return tmp_path


def main(text):
  return predict.main(["predict", *text.split()])


def test_done(folder, capsys):
  assert main("a.png --weights=run --out=out") == 0
  assert [path.name for path in (folder / "out").iterdir()] == ["a_x2.png"]
  assert capsys.readouterr().out == ""


def test_some_failed(folder):
  (folder / "b.png").write_text("")
  assert main("a.png b.png --weights=run") == session.SOME_FAILED


@pytest.mark.parametrize(
  ("text", "problem"),
  [
    ("a.png --wieghts=run", "did you mean --weights?"),
    ("a.png", "--weights is missing"),
    ("--weights=run", "Give the images"),
    ("a.png --weights=nowhere", "--weights=nowhere: there is no such"),
    ("b.png --weights=run", "b.png: there is no such"),
    ("a.png --weights=run --tile=20", "--tile=20: tiles of this network"),
    ("a.png --weights=run --suffix= --out=. --force", "image to read"),
  ],
)
def test_something_to_fix(folder, capsys, text, problem):
  before = sorted(folder.iterdir())
  assert main(text) == errors.TO_FIX
  captured = capsys.readouterr()
  assert problem in captured.err
  assert len(captured.err.splitlines()) <= 2
  assert captured.out == ""
  assert sorted(folder.iterdir()) == before


@pytest.mark.parametrize(
  ("number", "code", "name"),
  [(signal.SIGINT, 130, "Ctrl-C"), (signal.SIGTERM, 143, "SIGTERM")],
)
def test_stopped(folder, monkeypatch, request, capsys, number, code, name):
  # Processes of pytest-xdist ignore Ctrl-C.
  of_pytest = signal.signal(signal.SIGINT, signal.default_int_handler)
  request.addfinalizer(lambda: signal.signal(signal.SIGINT, of_pytest))
  real = session.outputs.write

  def stop(*arguments, **options):
    real(*arguments, **options)
    # At once: one from outside may come when the next file is done.
    signal.raise_signal(number)

  monkeypatch.setattr(session.outputs, "write", stop)
  Image.fromarray(DIGIT).save("b.png")
  before = signal.getsignal(signal.SIGTERM)
  command = "a.png b.png --weights=run --out=out --batch=1 --table=t.csv"
  assert main(command) == code
  assert signal.getsignal(signal.SIGTERM) == before
  assert (
    capsys.readouterr().err.splitlines()[-1].startswith(f"stopped by {name}; ")
  )
  assert "a_x2.png" in [path.name for path in (folder / "out").iterdir()]
  monkeypatch.setattr(session.outputs, "write", real)
  assert main(f"{command} --skip-existing") == 0
  assert len(list((folder / "out").iterdir())) == 2


def test_help_has_every_flag_and_code_and_what_it_is_not(capsys):
  assert main("--help") == 0
  text = capsys.readouterr().out
  for action in command_line._parser()._actions:
    for flag in action.option_strings:
      assert flag in text
  for code in ("0  ", "1  ", "2  ", "130"):
    assert f"\n  {code}" in text
  assert max(map(len, text.splitlines())) <= 80
  words = " ".join(text.split())
  assert words.count(names.CAUTION) == 1
  assert words.count(pictures.CAUTION) == 1


def _loaded(program):
  """What a program of ours loads, of all that takes seconds."""
  suspects = {
    "jax", "flax", "tensorflow", "tensorflow_datasets", "matplotlib", "orbax",
    "scipy", "mlxtend",
  }  # fmt: skip
  done = subprocess.run(
    [
      sys.executable,
      "-c",
      f"import sys\n{program}\nprint(*sorted({suspects!r} & {{*sys.modules}}))",
    ],
    check=True,
    capture_output=True,
    text=True,
    cwd=ROOT,
  )
  return done.stdout.splitlines()[-1].split()


def test_mistakes_are_answered_before_jax_is_loaded(folder):
  (folder / "sr2_out").mkdir()
  (folder / "sr2_out/a_x2.png").write_text("")
  run, image = folder / "run", folder / "a.png"
  calls = [
    "['', '--help']",
    "['', '--weihgts=a']",
    f"['', '{image}', '--weights=nowhere']",
    f"['', 'nowhere.png', '--weights={run}']",
    f"['', '{image}', '--weights={run}', '--out={folder / 'sr2_out'}']",
  ]
  program = "from sr2_jax import predict\n" + "\n".join(
    f"assert predict.main({call}) == {code}"
    for call, code in zip(calls, (0, 2, 2, 2, 2), strict=True)
  )
  assert not _loaded(program)


@pytest.fixture
def as_it_was(monkeypatch):
  """Leaves out what changes the process of the tests for good."""
  monkeypatch.setattr(cpu_tuning, "prepare", lambda: None)
  monkeypatch.setattr(compilation, "use_cache", lambda: None)


@pytest.fixture(scope="module")
def real_run(tmp_path_factory):
  """The weights of a network with a classifier, as a run leaves them."""
  folder = tmp_path_factory.mktemp("real")
  config = test_network.make_config()
  network = network_lib.build(config, (28, 28, 1), 10)
  shapes = jax.eval_shape(network.init, np.uint32(0))
  rng = np.random.default_rng(0)
  for seed in (0, 1):

    def draw(leaf):
      if len(leaf.shape) == 1:
        return rng.uniform(0.1, 0.6, leaf.shape)
      return rng.normal(0, np.prod(leaf.shape[:-1]) ** -0.5, leaf.shape)

    weights.write(
      folder / f"weights/joint_sr2_fsrcnn/seed_{seed}/last.safetensors",
      network_lib.flatten(jax.tree.map(draw, shapes)),
      tiny_predictor.origin(
        seed,
        config=config.to_dict(),
        image_shape=(28, 28, 1),
        class_names=tuple("0123456789"),
      ),
    )
  return folder


@pytest.mark.usefixtures("as_it_was")
def test_the_library_is_the_mean_of_the_loaded_networks(real_run):
  predictor = predict.load(real_run)
  images = np.random.default_rng(1).random((2, 14, 14, 1), np.float32)
  found = predictor(images)
  expected = network_lib.load(real_run).apply(images)
  for values, reference in (
    (found.super_res, expected["super_res"].mean(0)),
    (found.spread, expected["super_res"].std(0, ddof=1)),
    (
      found.probabilities,
      np.asarray(jax.nn.softmax(expected["logits"], -1)).mean(0),
    ),
  ):
    np.testing.assert_allclose(values, reference, atol=1e-5)
  assert found.class_names == tuple("0123456789")
  assert predict.load(str(real_run), seeds="first").seeds == (0,)
  with pytest.raises(errors.UserError, match="no seed 9"):
    predict.load(real_run, seeds=(9,))


@pytest.mark.usefixtures("as_it_was")
def test_damaged_weights_end_before_anything_is_written(
  tmp_path, monkeypatch, capsys
):
  folder = tiny_predictor.write(tmp_path / "run").parent
  monkeypatch.chdir(folder)
  Image.fromarray(DIGIT).save("a.png")
  path = folder / "run/weights/joint_sr2_fsrcnn/seed_1/last.safetensors"
  data = bytearray(path.read_bytes())
  data[-1] ^= 1
  path.write_bytes(data)
  assert main("a.png --weights=run") == 2
  assert "damaged; its sha256" in capsys.readouterr().err
  assert not (folder / "sr2_out").exists()


def test_the_readme_and_the_manual_say_what_it_is_not():
  text = " ".join((ROOT / "docs" / "predict.md").read_text().split())
  assert names.CAUTION in text
  assert pictures.CAUTION in text
  # Every flag of the help is explained there too.
  for flag in re.findall(r"^  (--[a-z-]+)", predict.__doc__, re.MULTILINE):
    if flag != "--help":
      assert flag in text, flag


def test_rows_on_standard_output_are_json(folder, capsys):
  assert main("a.png --weights=run --json") == 0
  row, summary = map(json.loads, capsys.readouterr().out.splitlines())
  assert row["output"] == "sr2_out/a_x2.png"
  assert summary["summary"]["done"] == 1
