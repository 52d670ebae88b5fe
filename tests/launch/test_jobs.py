"""What a sweep file comes to; nothing is started here."""

import json
import pathlib

import pytest

from launch import jobs as jobs_lib
from sr2_jax import errors
from sr2_jax.config import derived, record

ROOT = pathlib.Path(__file__).parents[2]
PAIR = "tests/tiny_sweep.py"


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


def begin(job, *rows, num_train_images=32, done=False):
  """Leaves in the run folder what a run has once it is under way."""
  job.folder.path.mkdir(parents=True, exist_ok=True)
  job.folder.record(
    {
      "config": record.to_dict(job.config),
      "dataset": {"num_train_images": num_train_images},
    }
  )
  text = "".join(
    json.dumps({"kind": "train", "phase": phase, "step": step}) + "\n"
    for phase, step in rows
  )
  (job.folder.path / "metrics.jsonl").write_text(text)
  if done:
    job.folder.set_done()


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
    "--config.joint.num_epochs=0",
    "--config.experiment=first",
    f"--workdir={tmp_path / 'first'}",
  )
  assert f"--config.init_from={tmp_path / 'first'}" in control.arguments


def test_arguments_mean_what_the_run_says(tmp_path):
  """However a value is typed, the run reads it back."""
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
    ("return []", "has to define sweep(budget) that returns a list"),
    ("return ['a']", "has to define sweep(budget) that returns a list"),
    (
      "return 2 * [runs.Run('a', 'tests/tiny.py', {})]",
      "two runs are called a",
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
      "a: config.num_seeds has to be a whole number >= 1",
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


def test_steps_by_the_official_sizes(tmp_path):
  """48,000 and 58,606 + 126,743 images in batches of 64."""
  jobs = {
    job.name: job for job in jobs_lib.load("experiments/paper.py:cpu", tmp_path)
  }
  assert jobs_lib.parts(jobs["mnist_fsrcnn_x4"]) == [
    jobs_lib.Part("pretrain", "fsrcnn_x4 mnist", 3, 3000),
    jobs_lib.Part("joint", "sr2_fsrcnn_x4 mnist", 6, 750),
  ]
  assert jobs_lib.parts(jobs["mnist_sr_continued_wdsr_x2"]) == [
    jobs_lib.Part("joint", "sr_continued_wdsr_x2 mnist", 3, 750)
  ]
  joint = jobs_lib.parts(jobs["svhn_wdsr_x4_4_shared"])[1]
  assert joint.num_steps == (58_606 + 126_743) // 64
  [first, _] = jobs_lib.load(PAIR, tmp_path)
  assert jobs_lib.parts(first)[0].num_steps == 5 * (32 // 8)


def test_steps_by_what_a_run_has_recorded(tmp_path):
  """The run itself, or another on the same data beside it."""
  first, mnist, second = jobs_lib.load(
    "experiments/paper.py:cpu",
    tmp_path,
    only=["svhn_wdsr_x4", "svhn_wdsr_x2", "mnist_wdsr_x2"],
  )
  assert not jobs_lib.has_recorded(first)
  begin(first, num_train_images=58_606)
  for job in (first, second):
    assert jobs_lib.has_recorded(job)
    assert jobs_lib.parts(job)[0].num_steps == 4 * 915
  assert not jobs_lib.has_recorded(mnist)


def test_steps_on_an_image_folder_are_unknown_before_the_first_start(tmp_path):
  sweep = write_sweep(
    tmp_path,
    "return [runs.Run('a', 'tests/tiny.py', {",
    f"  'data.name': 'folder', 'data.path': {str(tmp_path)!r}}})]",
  )
  [job] = jobs_lib.load(sweep, tmp_path)
  assert jobs_lib.parts(job) is None
  assert jobs_lib.steps_done(job) == {"pretrain": 0, "joint": 0}


def test_state_and_steps_done(tmp_path):
  job = jobs_lib.load(PAIR, tmp_path, settings={"joint.num_epochs": "2"})[0]
  assert jobs_lib.state(job) == "not started"
  assert jobs_lib.steps_done(job) == {"pretrain": 0, "joint": 0}
  begin(job, ("pretrain", 6), ("pretrain", 7))
  assert jobs_lib.state(job) == "unfinished, 25 %"
  assert jobs_lib.steps_done(job) == {"pretrain": 7, "joint": 0}
  begin(job, ("pretrain", 20), ("joint", 1))
  assert jobs_lib.steps_done(job) == {"pretrain": 20, "joint": 1}
  with (job.folder.path / "metrics.jsonl").open("a") as file:
    file.write('{"kind": "train", "phase": "joint", "st')  # being written
  assert jobs_lib.steps_done(job) == {"pretrain": 20, "joint": 1}
  with job.folder.claim():
    assert jobs_lib.state(job) == "running"
  begin(job, ("pretrain", 20), ("joint", 8), done=True)
  assert jobs_lib.state(job) == "finished"
  assert jobs_lib.steps_done(job) == {"pretrain": 20, "joint": 8}


def test_finished_with_the_same_config_or_another(tmp_path):
  first, control = jobs_lib.load(PAIR, tmp_path)
  assert not jobs_lib.is_finished(first)
  begin(control, done=True)
  assert jobs_lib.is_finished(control)
  changed = jobs_lib.load(PAIR, tmp_path, settings={"loss.l2": "0"})[1]
  assert jobs_lib.state(changed) == "finished with another config"
  with pytest.raises(
    errors.UserError, match=r"loss.l2: \(1e-05,\) -> \(0.0,\)"
  ):
    jobs_lib.is_finished(changed)


def test_a_moved_workdir_stays_finished(tmp_path):
  """Where a run's source lies is no reason to train it again."""
  begin(jobs_lib.load(PAIR, tmp_path / "old")[1], done=True)
  (tmp_path / "old").rename(tmp_path / "new")
  assert jobs_lib.is_finished(jobs_lib.load(PAIR, tmp_path / "new")[1])


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
  """SRMD trained anew has no joint phase to be longer."""
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
