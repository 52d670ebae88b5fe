"""How far jobs have come, by what is in their folders."""

import json
import os
import pathlib

import pytest

from launch import jobs as jobs_lib
from launch import status
from sr2_jax import errors
from sr2_jax.config import record
from tests.launch import test_jobs

ROOT = pathlib.Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _in_root(monkeypatch):
  monkeypatch.chdir(ROOT)


@pytest.fixture
def jobs(tmp_path):
  return jobs_lib.load(test_jobs.PAIR, tmp_path)


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


def on_a_folder(tmp_path):
  """A job on own images."""
  sweep = test_jobs.write_sweep(
    tmp_path,
    "return [runs.Run('a', 'tests/tiny.py', {",
    f"  'data.name': 'folder', 'data.path': {str(tmp_path)!r}}})]",
  )
  [job] = jobs_lib.load(sweep, tmp_path)
  return job


def test_steps_by_the_official_sizes(tmp_path):
  """48,000 and 58,606 + 126,743 images in batches of 64."""
  jobs = {
    job.name: job for job in jobs_lib.load("experiments/paper.py:cpu", tmp_path)
  }
  assert status.parts(jobs["mnist_fsrcnn_x4"]) == [
    status.Part("pretrain", "fsrcnn_x4 mnist", 3, 3000),
    status.Part("joint", "sr2_fsrcnn_x4 mnist", 6, 750),
  ]
  assert status.parts(jobs["mnist_sr_continued_wdsr_x2"]) == [
    status.Part("joint", "sr_continued_wdsr_x2 mnist", 3, 750)
  ]
  pretrain, joint = status.parts(jobs["svhn_wdsr_x4_4_shared"])
  assert pretrain.kind == "wdsr_x4 svhn_cropped"
  assert joint.kind == "sr2_wdsr_x4 svhn_cropped, model.shared_layers=4"
  assert joint.num_steps == (58_606 + 126_743) // 64
  [first, _] = jobs_lib.load(test_jobs.PAIR, tmp_path)
  assert status.parts(first)[0].num_steps == 5 * (32 // 8)


@pytest.mark.parametrize(
  ("settings", "in_pretrain", "in_joint"),
  [
    ({"model.classifier_strides": "2,2,2"}, False, True),
    ({"model.dtype": "bfloat16"}, True, True),
    ({"batch_size": "32", "data.max_train_images": "64"}, True, True),
    ({"joint.learning_rate.sr": "0"}, False, False),
    ({"seed": "3"}, False, False),
  ],
)
def test_a_kind_is_of_what_makes_steps_longer(
  tmp_path, settings, in_pretrain, in_joint
):
  """Speeds of one kind stand for all runs of it."""

  def kinds(**changes):
    [job] = jobs_lib.load(
      "experiments/paper.py:paper",
      tmp_path,
      only=["mnist_wdsr_x2"],
      settings=changes,
    )
    return [part.kind for part in status.parts(job)]

  changed = [
    one != other for one, other in zip(kinds(), kinds(**settings), strict=True)
  ]
  assert changed == [in_pretrain, in_joint]


def test_steps_by_what_a_run_has_recorded(tmp_path):
  """The run itself, or another on the same data beside it."""
  first, mnist, second = jobs_lib.load(
    "experiments/paper.py:cpu",
    tmp_path,
    only=["svhn_wdsr_x4", "svhn_wdsr_x2", "mnist_wdsr_x2"],
  )
  assert not status.has_recorded(first)
  begin(first, num_train_images=58_606)
  for job in (first, second):
    assert status.has_recorded(job)
    assert status.parts(job)[0].num_steps == 4 * 915
  assert not status.has_recorded(mnist)


def test_a_folder_without_counts_is_not_searched_at_every_call(
  tmp_path, monkeypatch
):
  now = [100.0]
  monkeypatch.setattr(status.time, "monotonic", lambda: now[0])
  first, second = jobs_lib.load(
    "experiments/paper.py:cpu", tmp_path, only=["svhn_wdsr_x4", "svhn_wdsr_x2"]
  )
  assert not status.has_recorded(second)
  begin(first, num_train_images=58_606)
  assert not status.has_recorded(second)
  now[0] += 5.0
  assert status.has_recorded(second)


def test_steps_by_what_an_older_version_has_recorded(tmp_path):
  [first, *_] = jobs_lib.load(
    "experiments/paper.py:cpu", tmp_path, only=["svhn_wdsr_x4"]
  )
  begin(first, num_train_images=58_606)
  path = first.folder.path / "config.json"
  recorded = json.loads(path.read_text())
  del recorded["config"]["data"]["labels"]
  path.write_text(json.dumps(recorded))
  assert status.has_recorded(first)


def test_steps_on_an_image_folder_are_unknown_before_the_first_start(tmp_path):
  job = on_a_folder(tmp_path)
  assert status.parts(job) is None
  assert status.steps_done(job) == {"pretrain": 0, "joint": 0}


def test_an_image_folder_stays_finished_whose_shift_is_open_now(tmp_path):
  job = on_a_folder(tmp_path)
  begin(job, done=True)
  path = job.folder.path / "config.json"
  recorded = json.loads(path.read_text())
  recorded["config"]["augmentation"]["max_shift"] = 3
  path.write_text(json.dumps(recorded))
  assert status.is_finished(job)


def test_state_and_steps_done(tmp_path):
  job = jobs_lib.load(
    test_jobs.PAIR, tmp_path, settings={"joint.num_epochs": "2"}
  )[0]
  assert status.in_words(job) == "not started"
  assert status.steps_done(job) == {"pretrain": 0, "joint": 0}
  begin(job, ("pretrain", 6), ("pretrain", 7))
  assert status.in_words(job) == "unfinished, 25 %"
  assert status.steps_done(job) == {"pretrain": 7, "joint": 0}
  begin(job, ("pretrain", 20), ("joint", 1))
  assert status.steps_done(job) == {"pretrain": 20, "joint": 1}
  with (job.folder.path / "metrics.jsonl").open("a") as file:
    file.write('{"kind": "train", "phase": "joint", "st')  # being written
  assert status.steps_done(job) == {"pretrain": 20, "joint": 1}
  with job.folder.claim():
    assert status.in_words(job) == "running"
  begin(job, ("pretrain", 20), ("joint", 8), done=True)
  assert status.in_words(job) == "finished"
  assert status.steps_done(job) == {"pretrain": 20, "joint": 8}
  lines = '{"seed": 0}\n{"seed": 1, "diverged_at": 7}\n'
  (job.folder.path / "DONE").write_text(lines)
  assert status.in_words(job) == "finished, members diverged"


def test_finished_with_the_same_config_or_another(tmp_path):
  first, control = jobs_lib.load(test_jobs.PAIR, tmp_path)
  assert not status.is_finished(first)
  begin(control, done=True)
  assert status.is_finished(control)
  stops = {"stop_on_divergence": "true", "log.profile_steps": "2,3"}
  assert status.is_finished(
    jobs_lib.load(test_jobs.PAIR, tmp_path, settings=stops)[1]
  )
  changed = jobs_lib.load(test_jobs.PAIR, tmp_path, settings={"loss.l2": "0"})[
    1
  ]
  assert status.in_words(changed) == "finished with another config"
  with pytest.raises(
    errors.UserError, match=r"loss.l2: \(1e-05,\) -> \(0.0,\)"
  ):
    status.is_finished(changed)


def test_another_network_that_is_fine_tuned_is_another_run(tmp_path):
  def load(source):
    sweep = test_jobs.write_sweep(
      tmp_path,
      "return [runs.Run('a', 'tests/tiny.py', {",
      f"  'fine_tune': True, 'init_from': {source!r}}})]",
    )
    [job] = jobs_lib.load(sweep, tmp_path)
    return job

  begin(load("sr2_fsrcnn_x4_mnist"), done=True)
  assert status.is_finished(load("sr2_fsrcnn_x4_mnist"))
  with pytest.raises(errors.UserError, match="init_from"):
    status.is_finished(load("fsrcnn_x4_mnist"))


def test_a_moved_workdir_stays_finished(tmp_path):
  """A new path of its source is no reason to train a run again."""
  begin(jobs_lib.load(test_jobs.PAIR, tmp_path / "old")[1], done=True)
  (tmp_path / "old").rename(tmp_path / "new")
  assert status.is_finished(jobs_lib.load(test_jobs.PAIR, tmp_path / "new")[1])


@pytest.mark.parametrize(
  "line", ['{"phase": "pretrain", "step": 1e999}', "[" * 9999, "3", "[]", ""]
)
def test_a_damaged_line_is_passed_over(jobs, line):
  begin(jobs[0], ("pretrain", 7))
  with (jobs[0].folder.path / "metrics.jsonl").open("a") as file:
    file.write(f"{line}\n")
  assert status.steps_done(jobs[0])["pretrain"] == 7


def test_logs_that_are_pipes_are_not_waited_for(jobs):
  begin(jobs[0], done=True)
  (jobs[0].folder.path / "metrics.jsonl").unlink()
  for name in ("metrics.jsonl", "DONE"):
    (jobs[0].folder.path / name).unlink(missing_ok=True)
    os.mkfifo(jobs[0].folder.path / name)
  assert status._last_row(jobs[0].folder.path / "metrics.jsonl") is None
  assert not status.has_diverged(jobs[0])


def test_a_finished_run_without_its_record_is_not_believed(jobs):
  begin(jobs[0], done=True)
  assert status.is_finished(jobs[0])
  (jobs[0].folder.path / "config.json").unlink()
  with pytest.raises(errors.UserError, match=r"no longer its config\.json"):
    status.is_finished(jobs[0])
