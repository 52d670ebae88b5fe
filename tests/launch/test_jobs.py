"""The jobs that a sweep file makes; nothing is started here."""

import pathlib
import shutil

import pytest

from launch import jobs as jobs_lib
from sr2_jax import errors
from sr2_jax.config import derived

ROOT = pathlib.Path(__file__).parents[2]
PAIR = "tests/tiny_sweep.py"
TINY = "tests/tiny.py"


@pytest.fixture(autouse=True)
def _in_root(monkeypatch):
  monkeypatch.chdir(ROOT)


def mistake(*arguments, **keywords):
  with pytest.raises(errors.UserError) as caught:
    jobs_lib.load(*arguments, **keywords)
  message = str(caught.value)
  assert 1 <= len(message.splitlines()) <= 2
  return message


def write_sweep(tmp_path, *lines):
  path = tmp_path / "mine.py"
  head = "from experiments import runs\n\ndef sweep(budget='paper'):\n"
  path.write_text(head + "".join(f"  {line}\n" for line in lines))
  return str(path)


def test_jobs_of_a_sweep(tmp_path):
  first, control = jobs_lib.load(PAIR, tmp_path)
  assert (first.name, first.source) == ("first", None)
  assert (control.name, control.source) == ("control", "first")
  assert first.config.experiment == "first"
  assert first.config.joint.num_epochs == 0
  assert first.config.augmentation.fill == "zero"  # resolved
  assert control.config.init_from == str(tmp_path / "first")
  assert derived.phases(control.config) == ("joint",)
  assert first.folder.path == tmp_path / "first"
  assert first.arguments == (
    "--config=tests/tiny.py",
    "--config.checkpoint.keep_finished=false",
    "--config.joint.num_epochs=0",
    "--config.experiment=first",
    f"--workdir={tmp_path / 'first'}",
  )
  assert f"--config.init_from={tmp_path / 'first'}" in control.arguments


def test_arguments_mean_what_the_run_says(tmp_path):
  """A run reads back every kind of value."""
  sweep = write_sweep(
    tmp_path,
    "return [runs.Run('a', 'experiments/fsrcnn_x4.py', {",
    "  'joint.loss_weight': (0.11, 9.0), 'loss.l2': (1e-5,), 'num_seeds': 3,",
    "  'log.tensorboard': False, 'eval.splits': ('test',),",
    "  'data.name': 'mnist5k'})]",
  )
  [job] = jobs_lib.load(sweep, tmp_path)
  config = job.config
  assert config.joint.loss_weight == (0.11, 9.0)
  assert (config.loss.l2, config.num_seeds) == ((1e-5,), 3)
  assert config.log.tensorboard is False
  assert config.eval.splits == ("test",)
  assert config.data.name == "mnist5k"


def test_runs_may_share_the_name_of_their_rows(tmp_path):
  sweep = write_sweep(
    tmp_path,
    f"return [runs.Run(f'a_{{seed}}', '{TINY}', {{'seed': seed}},",
    "  experiment='a') for seed in (0, 1)]",
  )
  jobs = jobs_lib.load(sweep, tmp_path)
  assert [job.folder.path.name for job in jobs] == ["a_0", "a_1"]
  assert {job.config.experiment for job in jobs} == {"a"}


def test_budgets():
  cpu = jobs_lib.load("experiments/paper.py:cpu", "runs/paper")
  paper = jobs_lib.load("experiments/paper.py", "runs/paper")
  assert {job.config.pretrain.num_epochs for job in cpu} == {4}
  assert {job.config.pretrain.num_epochs for job in paper} == {120}


def test_workdir_has_one_spelling_below_the_current_folder():
  """init_from is part of a config, which a resumed run compares."""
  for typed in ("runs/paper", "./runs/paper/", ROOT / "runs" / "paper"):
    job = jobs_lib.load(PAIR, typed)[1]
    assert job.config.init_from == "runs/paper/first"


def test_shipped_sweeps_name_shipped_experiments(tmp_path, monkeypatch):
  """Whatever the current folder has under the same names."""
  monkeypatch.chdir(tmp_path)
  (tmp_path / "experiments").mkdir()
  (tmp_path / "experiments" / "fsrcnn_x4.py").write_text("1 / 0")
  by_name = jobs_lib.load("experiments/paper.py:smoke", "runs")
  by_path = jobs_lib.load(f"{ROOT / 'experiments/paper.py'}:smoke", "runs")
  assert [j.arguments for j in by_name] == [j.arguments for j in by_path]
  config = ROOT / "experiments" / "fsrcnn_x4.py"
  assert by_name[0].arguments[0] == f"--config={config}"


def test_a_sweep_file_may_bring_its_own_experiments(tmp_path, monkeypatch):
  """A copy of the whole folder: its runs are of another class."""
  monkeypatch.chdir(tmp_path)
  shutil.copytree(ROOT / "experiments", tmp_path / "experiments")
  with (tmp_path / "experiments" / "fsrcnn_x2.py").open("a") as file:
    file.write("\ndef get_config():\n  1 / 0\n")
  assert jobs_lib.load("experiments/fig5_examples.py:cpu", "runs")
  assert "experiments/fsrcnn_x2.py, line" in mistake(
    "experiments/fig4_accuracy.py:cpu", "runs"
  )


def test_only(tmp_path):
  jobs = jobs_lib.load(
    "experiments/paper.py:cpu", tmp_path, only=["*fsrcnn_x4", "svhn_wdsr_x2"]
  )
  assert [job.name for job in jobs] == [
    "mnist_fsrcnn_x4",
    "mnist_sr_continued_fsrcnn_x4",
    "mnist_sequential_fsrcnn_x4",
    "svhn_wdsr_x2",
  ]


def test_settings_reach_every_run_and_come_last(tmp_path):
  settings = {"eval.clip": "true", "joint.num_epochs": "1"}
  for job in jobs_lib.load(PAIR, tmp_path, settings=settings):
    assert job.config.eval.clip is True
    assert job.config.joint.num_epochs == 1
    assert "--config.eval.clip=true" in job.arguments


@pytest.mark.parametrize(
  ("sweep", "expected"),
  [
    ("experiments/papers.py:cpu", "Did you mean experiments/paper.py?"),
    ("experiments/paper.py:cpv", 'no budget "cpv"; the budgets are paper'),
    ("experiments/fsrcnn_x4.py", "has to define sweep(budget)"),
    ("experiments", "no sweep file experiments"),
    ("requirements.txt", "not a .py file"),
  ],
)
def test_wrong_sweep(tmp_path, sweep, expected):
  assert expected in mistake(sweep, tmp_path)


@pytest.mark.parametrize(
  ("line", "expected"),
  [
    ("return 1 / 0", "line 4, fails with ZeroDivisionError"),
    ("raise SystemExit(0)", "line 4, fails with SystemExit: 0"),
    ("raise KeyboardInterrupt", "line 4, fails with KeyboardInterrupt"),
    (
      "return [runs.Run(5, 'tests/tiny.py', {})]",
      "has to define sweep(budget) that returns a list",
    ),
    (
      "return [runs.Run('a', 'tests/tiny.py', None)]",
      "has to define sweep(budget) that returns a list",
    ),
    (
      "return [runs.Run('a', 'tests/tiny.py', {'seed': type('T', (), "
      "{'__str__': lambda self: 1 / 0})()})]",
      "line 4, fails with ZeroDivisionError",
    ),
    (
      "return [runs.Run('../a', 'tests/tiny.py', {}, experiment='a')]",
      "a run has to have a name of at most 200 letters",
    ),
    (
      "return [runs.Run('a', 'b' * 300, {})]",
      "a name has more than 255 bytes",
    ),
    (
      "return [runs.Run('a', '~no_such_user/b.py', {})]",
      "~no_such_user has no home folder",
    ),
    ("return []", "has to define sweep(budget) that returns a list"),
    ("return ['a']", "has to define sweep(budget) that returns a list"),
    (
      "return 2 * [runs.Run('a', 'tests/tiny.py', {})]",
      "two runs are called a",
    ),
    (
      "return [runs.Run(name, 'tests/tiny.py', {}) for name in ('aB', 'Ab')]",
      "two runs are called aB and Ab, which some file systems",
    ),
    (
      "return [runs.Run('a', 'tests/tiny.py', {}, 'b')]",
      "a starts from b, which is not a run before it",
    ),
    (
      "return [runs.Run('a', 'tests/tiny.py', {'joint.epochs': 1})]",
      "a: There is no config.joint.epochs; did you mean",
    ),
    (
      "return [runs.Run('a', 'tests/tiny.py', {'num_seeds': 0})]",
      "a: config.num_seeds has to be a whole number from 1 to 10000",
    ),
    ("return [runs.Run('a', 'tests/no.py', {})]", "a: There is no config file"),
    ("return [runs.Run('a/b', 'tests/tiny.py', {})]", "config.experiment has"),
  ],
)
def test_mistake_in_a_sweep_file(tmp_path, line, expected):
  assert expected in mistake(write_sweep(tmp_path, line), tmp_path)


def test_wrong_name_and_setting(tmp_path):
  assert "--only thrid matches no run" in mistake(
    PAIR, tmp_path, only=["first", "thrid"]
  )
  assert "did you mean config.eval.clip?" in mistake(
    PAIR, tmp_path, settings={"eval.clp": "1"}
  )
  assert "first: config.eval.clip has to be" in mistake(
    PAIR, tmp_path, settings={"eval.clip": "maybe"}
  )


def test_a_source_that_is_left_out_has_to_be_there(tmp_path):
  with pytest.raises(errors.UserError, match="control starts from first"):
    jobs_lib.load(PAIR, tmp_path, only=["control"])
  assert jobs_lib.load(PAIR, tmp_path, only=["control"], mode="eval")
  (tmp_path / "first").mkdir()
  [job] = jobs_lib.load(PAIR, tmp_path, only=["control"])
  assert job.config.init_from == str(tmp_path / "first")


def test_settings_that_leave_a_run_without_a_phase_are_refused(tmp_path):
  with pytest.raises(errors.UserError, match=r"control: .*nothing to train"):
    jobs_lib.load(PAIR, tmp_path, settings={"joint.num_epochs": "0"})


def test_settings_leave_what_a_run_has_fixed(tmp_path):
  """Retrained SRMD has no joint phase that could be longer."""
  jobs = jobs_lib.load(
    "experiments/paper.py:cpu",
    tmp_path,
    settings={"joint.num_epochs": "3", "loss.l2": "0.1"},
  )
  l2s = {job.config.loss.l2 for job in jobs if "srmd" in job.name}
  assert l2s == {(0.0,)}
  epochs = {job.name: job.config.joint.num_epochs for job in jobs}
  assert epochs.pop("mnist_srmd_retrained_x2") == 0
  assert epochs.pop("mnist_srmd_retrained_x4") == 0
  assert set(epochs.values()) == {3}


@pytest.mark.parametrize("field", jobs_lib._OF_NAMES)
def test_what_runs_are_named_after_cannot_be_set(tmp_path, field):
  with pytest.raises(errors.UserError, match="named after"):
    jobs_lib.load(PAIR, tmp_path, settings={field: "4"})


@pytest.mark.parametrize("field", ["experiment", "init_from"])
def test_what_each_run_has_of_its_own_cannot_be_set(tmp_path, field):
  with pytest.raises(errors.UserError, match="is set by"):
    jobs_lib.load(PAIR, tmp_path, settings={field: "x"})


def _two_runs_of(tmp_path, *lines):
  """Runs a and b of one config file, with lines in its `get_config`."""
  config = tmp_path / "counted.py"
  config.write_text(
    "import pathlib\n"
    "from tests import tiny\n\n"
    "class Number(int):\n"
    "  pass\n\n"
    "def get_config():\n"
    f"  with pathlib.Path({str(tmp_path / 'calls')!r}).open('a') as file:\n"
    "    file.write('x')\n"
    "  config = tiny.get_config()\n"
    + "".join(f"  {line}\n" for line in lines)
    + "  return config\n"
  )
  sweep = write_sweep(
    tmp_path,
    f"mine = {str(config)!r}",
    "return [runs.Run('a', mine, {'num_seeds': 3}), runs.Run('b', mine, {})]",
  )
  return [job.config for job in jobs_lib.load(sweep, tmp_path)]


def test_a_file_is_run_once_for_all_runs_that_name_it(tmp_path):
  a, b = _two_runs_of(tmp_path)
  assert (a.num_seeds, b.num_seeds) == (3, 2)
  assert (tmp_path / "calls").read_text() == "x"


@pytest.mark.parametrize(
  ("line", "seeds"),
  [
    ("config.seed = config.get_oneway_ref('num_seeds') * 10", (30, 20)),
    ("config.seed = Number(4)", (4, 4)),
  ],
)
def test_a_config_that_cannot_be_kept_is_read_again(tmp_path, line, seeds):
  a, b = _two_runs_of(tmp_path, line)
  assert (a.seed, b.seed) == seeds
