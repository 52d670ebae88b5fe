import contextlib
import pathlib
import signal
import sys
from types import ModuleType

import pytest

from sr2_jax import errors
from sr2_jax.config import command_line, experiment_file

ROOT = pathlib.Path(__file__).parents[2]
QUICKSTART = "--config=experiments/quickstart.py"


def _parse(*arguments):
  return command_line.parse(["main.py", *arguments])


def _mistake(*arguments):
  with pytest.raises(errors.UserError) as caught:
    _parse(*arguments)
  message = str(caught.value)
  assert 1 <= len(message.splitlines()) <= 2
  assert "Traceback" not in message
  return message


@pytest.mark.parametrize(
  ("source", "expected"),
  [
    ("def get_config(:\n", "line 1, fails with SyntaxError"),
    ("import no_such_module\n", "line 1, fails with ModuleNotFoundError"),
    ("\ndef get_config():\n  return 1 / 0\n", "line 3, fails with ZeroDiv"),
    ("config = 1\n", "has to define get_config()"),
    ("def get_config():\n  return {'seed': 1}\n", "returns a ConfigDict"),
    (
      "from experiments import default\n"
      "def get_config():\n"
      "  config = default.get_config()\n"
      "  config.joint.loss_weight = 9.0\n"
      "  return config\n",
      "line 4, fails with TypeError",
    ),
    (
      "from experiments import default\n"
      "def get_config():\n"
      "  config = default.get_config()\n"
      "  config.model.shared_layer = 4\n"
      "  return config\n",
      "did you mean config.model.shared_layers?",
    ),
    (
      "import ml_collections\n"
      "def get_config():\n"
      "  return ml_collections.ConfigDict({'seed': 1})\n",
      "config.experiment is missing",
    ),
    (
      "from experiments import default\n"
      "def get_config():\n"
      "  config = default.get_config()\n"
      "  config.seed = None\n"
      "  return config\n",
      "config.seed has to be",
    ),
    ("\nraise SystemExit(0)\n", "line 2, fails with SystemExit: 0"),
    ("import sys\nsys.exit()\n", "line 2, fails with SystemExit"),
    ("raise KeyboardInterrupt\n", "line 1, fails with KeyboardInterrupt"),
    ("raise GeneratorExit\n", "line 1, fails with GeneratorExit"),
    ("def f(): f()\nf()\n", "line 1, fails with RecursionError"),
    ("raise ValueError('x' * 589_000)\n", "line 1, fails with ValueError: xxx"),
    ("raise ValueError('\\x1b[2J')\n", "fails with ValueError: \\x1b[2J"),
    (
      "class Odd(BaseException):\n"
      "  def __str__(self): raise SystemExit(0)\n"
      "raise Odd\n",
      "line 3, fails with Odd",
    ),
    (
      "class Odd(Exception):\n  def __str__(self): return 5\nraise Odd\n",
      "line 3, fails with Odd",
    ),
    (
      "from experiments import default\n"
      "def get_config():\n"
      "  config = default.get_config()\n"
      "  config.data = None\n"
      "  return config\n",
      "fails with TypeError",
    ),
    (
      "from experiments import default\n"
      "def get_config():\n"
      "  config = default.get_config()\n"
      "  config.data = config\n"
      "  return config\n",
      "fails with RecursionError",
    ),
    (
      "from experiments import default\n"
      "def get_config():\n"
      "  config = default.get_config()\n"
      "  config.seed = config.get_oneway_ref('num_seeds') // 0\n"
      "  return config\n",
      "line 4, fails with ZeroDivisionError",
    ),
  ],
)
def test_mistake_in_a_config_file(tmp_path, source, expected):
  path = tmp_path / "mine.py"
  path.write_text(source)
  message = _mistake(f"--config={path}")
  assert expected in message
  assert len(message) < 1000


def test_a_reference_is_computed_after_the_command_line(tmp_path):
  path = _config_file(
    tmp_path / "mine.py",
    "config.seed = 12 // config.get_oneway_ref('num_seeds')",
  )
  assert _parse(f"--config={path}", "--config.num_seeds=4").config.seed == 3
  message = _mistake(f"--config={path}", "--config.num_seeds=0")
  assert "fails with ZeroDivisionError" in message


def test_ctrl_c_is_no_mistake_of_a_file(tmp_path):
  path = _write(
    tmp_path / "mine.py",
    "import os, signal, time",
    "os.kill(os.getpid(), signal.SIGINT)",
    "time.sleep(5)",
  )
  # A shell lets what it starts in the background ignore Ctrl-C.
  before = signal.signal(signal.SIGINT, signal.default_int_handler)
  try:
    with pytest.raises(KeyboardInterrupt):
      _parse(f"--config={path}")
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
  finally:
    signal.signal(signal.SIGINT, before)


def test_a_frozen_config_can_be_changed(tmp_path):
  path = _write(
    tmp_path / "mine.py",
    "import ml_collections",
    "from experiments import default",
    "def get_config():",
    "  return ml_collections.FrozenConfigDict(default.get_config())",
  )
  assert _parse(f"--config={path}", "--config.seed=3").config.seed == 3


def test_what_a_file_prints_is_no_output_of_the_program(tmp_path, capsys):
  path = _config_file(tmp_path / "mine.py", "print('loading')")
  _parse(f"--config={path}")
  captured = capsys.readouterr()
  assert (captured.out, captured.err) == ("", "loading\n")


@pytest.mark.parametrize("path", ["a" * 300, "~no_such_user/a.py", "a\0.py"])
def test_a_path_that_no_file_can_have(path):
  """As a sweep file may name it."""
  with pytest.raises(errors.UserError, match="config file="):
    experiment_file.find(path, kind="config file")


def test_config_file_outside_the_project(tmp_path):
  path = tmp_path / "mine.py"
  path.write_text((ROOT / "experiments" / "quickstart.py").read_text())
  assert _parse(f"--config={path}").config == _parse(QUICKSTART).config


def _write(path, *lines):
  path.parent.mkdir(parents=True, exist_ok=True)
  path.write_text("".join(f"{line}\n" for line in lines))
  return str(path)


def _config_file(path, *lines, of="default"):
  """Writes an experiment file that changes another one's config."""
  return _write(
    path,
    f"from experiments import {of}",
    "def get_config():",
    f"  config = {of}.get_config()",
    *(f"  {line}" for line in lines),
    "  return config",
  )


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
  """The current folder: not the project's."""
  monkeypatch.chdir(tmp_path)
  return tmp_path


@pytest.mark.parametrize("typed", ["experiments/", "./experiments/"])
def test_shipped_experiments_are_found_from_any_folder(elsewhere, typed):
  config = experiment_file.load_config(f"{typed}quickstart.py")
  assert config.experiment == "quickstart"


@pytest.mark.parametrize("package", [False, True])
def test_own_folder_shadows_only_the_files_that_it_has(elsewhere, package):
  if package:
    _write(elsewhere / "experiments/__init__.py", "raise AssertionError")
  _write(elsewhere / "experiments/default.py", "raise AssertionError")
  _config_file(elsewhere / "experiments/fsrcnn_x2.py", "config.seed = 7")
  shipped = experiment_file.load_config("experiments/fsrcnn_x4.py")
  assert shipped.experiment == "fsrcnn_x4"
  with pytest.raises(
    errors.UserError, match=r"experiments/fsrcnn_x2\.py, line"
  ):
    experiment_file.load_config("experiments/fsrcnn_x2.py")
  (elsewhere / "experiments/default.py").unlink()
  assert experiment_file.load_config("experiments/fsrcnn_x2.py").seed == 7


def test_own_files_import_their_neighbors_and_the_shipped(elsewhere):
  folder = elsewhere / "mine" / "experiments"
  _config_file(folder / "base.py", "config.seed = 3", of="wdsr_x2")
  path = _config_file(folder / "top.py", "config.num_seeds = 2", of="base")
  config = experiment_file.load_config(path)
  assert (config.model.trunk, config.seed, config.num_seeds) == ("wdsr", 3, 2)
  # Neighbors are those of a folder with this name only.
  _config_file(elsewhere / "others/base.py", of="wdsr_x2")
  path = _config_file(elsewhere / "others/top.py", of="base")
  with pytest.raises(errors.UserError, match="cannot import name 'base'"):
    experiment_file.load_config(path)


def test_a_neighbor_is_read_when_a_file_imports_it(elsewhere):
  """Also if another folder has had a file of this name."""
  for seed in (1, 2):
    folder = elsewhere / str(seed) / "experiments"
    _config_file(folder / "base.py", f"config.seed = {seed}")
    path = _write(
      folder / "top.py",
      "def get_config():",
      "  from experiments import base",
      "  return base.get_config()",
    )
    assert experiment_file.load_config(path).seed == seed


@pytest.mark.parametrize("fails", [False, True])
def test_modules_that_were_loaded_before_stay(elsewhere, monkeypatch, fails):
  own = {
    name: ModuleType(name)
    for name in ("experiment", "experiments", "experiments.default")
  }
  for name, module in own.items():
    monkeypatch.setitem(sys.modules, name, module)
  path = _config_file(elsewhere / "mine.py", *(["1 / 0"] if fails else []))
  before = dict(sys.modules)
  with pytest.raises(errors.UserError) if fails else contextlib.nullcontext():
    experiment_file.load_config(path)
  assert {n: m for n, m in sys.modules.items() if n.startswith("exp")} == {
    n: m for n, m in before.items() if n.startswith("exp")
  }


def test_a_file_may_define_dataclasses(elsewhere):
  """These look up their module where annotations are strings."""
  path = _write(
    elsewhere / "mine.py",
    "from __future__ import annotations",
    "import dataclasses",
    "from experiments import default",
    "@dataclasses.dataclass",
    "class Settings:",
    "  seed: int = 5",
    "def get_config():",
    "  config = default.get_config()",
    "  config.seed = Settings().seed",
    "  return config",
  )
  assert experiment_file.load_config(path).seed == 5


def test_messages_say_where_a_file_was_looked_for(elsewhere):
  with pytest.raises(errors.UserError) as caught:
    experiment_file.find("experiments/quickstrat.py", kind="config file")
  assert str(caught.value) == (
    "There is no config file experiments/quickstrat.py here, nor in "
    f"{ROOT}. Did you mean experiments/quickstart.py?"
  )
  with pytest.raises(errors.UserError) as caught:
    experiment_file.find("quickstart.py", kind="config file")
  assert str(caught.value) == "There is no config file quickstart.py."


def test_messages_say_where_a_file_was_found(elsewhere):
  path = experiment_file.find("experiments/runs.py", kind="config file")
  assert path == ROOT / "experiments" / "runs.py"
  with pytest.raises(errors.UserError, match=f"file {path} has to define"):
    experiment_file.load_config("experiments/runs.py")
  _write(elsewhere / "mine.py", "", "1 / 0")
  with pytest.raises(errors.UserError, match=r"file mine\.py, line 2, fails"):
    experiment_file.load_config("mine.py")


def test_home_is_found_in_the_path(elsewhere, monkeypatch):
  monkeypatch.setenv("HOME", str(elsewhere / "home"))
  _config_file(elsewhere / "home/mine.py", "config.seed = 4")
  assert experiment_file.load_config("~/mine.py").seed == 4


def test_a_sweep_file_names_its_neighbors(elsewhere):
  """Before the files of the current folder, which may have the same names."""
  for folder in ("here", "there"):
    _write(elsewhere / folder / "experiments/wdsr_x2.py")

  def find(named_in):
    return experiment_file.find(
      "experiments/wdsr_x2.py", kind="config file", named_in=named_in
    )

  sweep = elsewhere / "there/experiments/sweep.py"
  assert find(sweep) == sweep.with_name("wdsr_x2.py")
  shipped = experiment_file.SHIPPED / "paper.py"
  assert find(shipped) == shipped.with_name("wdsr_x2.py")
  assert find(elsewhere / "sweep.py") == shipped.with_name("wdsr_x2.py")


def test_a_corruption_that_a_file_leaves_out_has_no_levels(elsewhere):
  path = _config_file(
    elsewhere / "mine.py",
    "del config.eval.corruptions['jpeg']",
    "config.lock()",
  )
  config = command_line.parse(["main.py", f"--config={path}"]).config
  assert config.eval.corruptions.jpeg == ()
  path = _config_file(elsewhere / "mine.py", "del config.eval['corruptions']")
  typed = "--config.eval.corruptions.blur=0.5"
  config = command_line.parse(["main.py", f"--config={path}", typed]).config
  assert config.eval.corruptions.blur == (0.5,)
  assert config.eval.corruptions.jpeg == ()
