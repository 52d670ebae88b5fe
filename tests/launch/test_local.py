"""The order and the outcomes of jobs, with a program that trains nothing."""

import dataclasses
import json
import os
import pathlib
import signal
import sys
import threading
import time

import pytest

from launch import (
  attempts,
  engine,
  events,
  host,
  local,
  notify,
  shares,
  status,
)
from launch import jobs as jobs_lib
from sr2_jax.records import folder as folder_lib
from sr2_jax.records import provenance
from tests.launch import test_jobs, test_status

ROOT = pathlib.Path(__file__).parents[2]
TIMEOUT = 60  # seconds

# Does what the experiment's name says.
PROGRAM = """
import json, os, pathlib, signal, sys, time

flags = dict(argument.split("=", 1) for argument in sys.argv[1:])
name = flags["--config.experiment"]
folder = pathlib.Path(flags["--workdir"])
folder.mkdir(exist_ok=True)
(folder / "config.json").write_text('{"config": {}}')  # Of any config.
if flags.get("--mode") == "eval":
  name += ", evaluating at " + flags["--config.eval.noise_variances"]
print("hello from", name)
print("cores", *sorted(os.sched_getaffinity(0)))
if name == "fails":
  print("first\\n\\nsecond\\nthird\\nfourth", file=sys.stderr)
  sys.exit(2)
if name == "diverges":
  (folder / "DONE").write_text('{"seed": 1, "diverged_at": 7}\\n')
  print("seed 1 diverged")
  sys.exit(3)
if name.startswith("taken"):
  (folder / "starts").open("a").write("start\\n")
  if name == "taken" or (folder / "starts").read_text().count("start") == 1:
    print("another run is using this folder (process 7 on host b)")
    sys.exit(4)
if name.startswith(("dies", "preempted")):
  with (folder / "starts").open("a") as file:
    file.write("start\\n")
  is_last = (folder / "starts").read_text().count("start") == 3
  if not (is_last and name.endswith("twice")):
    number = signal.SIGTERM if name == "preempted_twice" else signal.SIGKILL
    os.kill(os.getpid(), number)
if name.startswith("meets"):
  (folder.parent / f"{name}.here").touch()
  end = time.monotonic() + 30
  while len(list(folder.parent.glob("meets*.here"))) < 2:
    if time.monotonic() > end:
      sys.exit(2)
    time.sleep(0.01)
if name == "hangs":
  if not (folder / "hung").exists():
    (folder / "hung").touch()
    time.sleep(600)
if name.startswith("waits"):
  got = []
  for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, lambda number, _: got.append(number))
  (folder / "ready").touch()
  while not got or (got == [signal.SIGINT] and not (folder / "end").exists()):
    time.sleep(0.01)
  print("signals", [int(number) for number in got])
  sys.exit(128 + got[0])
row = {"kind": "train", "phase": "pretrain", "step": 20}
(folder / "metrics.jsonl").write_text(json.dumps(row) + "\\n")
(folder / "DONE").touch()
"""


@pytest.fixture(autouse=True)
def _program(tmp_path, monkeypatch):
  monkeypatch.chdir(ROOT)
  path = tmp_path / "program.py"
  path.write_text(PROGRAM)
  monkeypatch.setattr(host, "COMMAND", (sys.executable, str(path)))


def make_jobs(tmp_path, *names, sources=None):
  sources = sources or {}
  runs = ", ".join(
    f"runs.Run({name!r}, 'tests/tiny.py', {{'joint.num_epochs': 0}} "
    f"if {name not in sources} else {{}}, {sources.get(name)!r})"
    for name in names
  )
  sweep = test_jobs.write_sweep(tmp_path, f"return [{runs}]")
  return jobs_lib.load(sweep, tmp_path)


def run(jobs, tmp_path, signals=None, tell=notify.nobody, at_once=1, **policy):
  outcomes = local.run(
    jobs,
    tmp_path,
    signals=signals or engine.Signals(),
    policy=attempts.Policy(**{"pauses": (0.0,), **policy}),
    tell=tell,
    at_once=at_once,
  )
  assert [outcome.name for outcome in outcomes] == [job.name for job in jobs]
  return outcomes


def test_goes_on_past_a_failure(tmp_path, capsys):
  jobs = make_jobs(
    tmp_path,
    *("good", "fails", "after", "after_after", "dies", "last"),
    sources={"after": "fails", "after_after": "after", "last": "good"},
  )
  told = []
  outcomes = run(jobs, tmp_path, tell=told.append)
  assert told == [
    "good finished", "fails failed", "dies failed", "last finished",
  ]  # fmt: skip
  assert [outcome.state for outcome in outcomes] == [
    "finished", "failed", "skipped", "skipped", "failed", "finished",
  ]  # fmt: skip
  _, fails, after, after_after, dies, _ = outcomes
  assert fails.reason == (
    f"exit code 2, see {tmp_path / 'fails.log'}\nsecond\nthird\nfourth"
  )
  assert after.reason == "it starts from fails, which has not finished"
  assert after_after.reason == "it starts from after, which has not finished"
  assert "exit code 137" in dies.reason
  assert [outcome.seconds is None for outcome in outcomes] == [
    False, False, True, True, False, False,
  ]  # fmt: skip
  shown = capsys.readouterr().err
  assert shown.index("[1/6] good: 0 % of all steps") < shown.index(
    "hello from g"
  )
  assert "[6/6] last: " in shown
  assert f"fails failed: {fails.reason}\n" in shown


@pytest.fixture
def two_shares(monkeypatch):
  """Of whatever the machine has, which may be a core for both."""
  cores = provenance.cores()
  both = [tuple(cores[:1]), tuple(cores[-1:])]
  monkeypatch.setattr(shares, "of_cores", lambda at_once: both[:at_once])
  return both


def test_runs_side_by_side(tmp_path, capsys, two_shares):
  """Each of two waits for the other; what starts from one waits for it."""
  jobs = make_jobs(
    tmp_path, "meets1", "after", "meets2", "fails", "good",
    sources={"after": "meets1"},
  )  # fmt: skip
  outcomes = run(jobs, tmp_path, at_once=2)
  assert [outcome.state for outcome in outcomes] == [
    "finished", "finished", "finished", "failed", "finished",
  ]  # fmt: skip
  lines = [(e["run"], e["event"]) for e in events.read(tmp_path)]
  assert lines.index(("meets2", "started")) < 2
  assert lines.index(("after", "started")) > lines.index(("meets1", "ended"))
  (first,), (second,) = two_shares
  for name, core in (("meets1", first), ("meets2", second)):
    assert f"cores {core}\n" in (tmp_path / f"{name}.log").read_text()
  shown = capsys.readouterr().err
  assert f"[1/5] meets1 on core {first}: 0 % of all" in shown
  assert "hello from" not in shown  # Two logs at once cannot be read.
  assert "fourth" in shown


def test_a_step_of_one_of_two_counts_half(tmp_path, two_shares):
  """So that the time that is left is the same, however many run at once."""
  jobs = make_jobs(tmp_path, "meets1", "meets2")
  [part] = status.parts(jobs[0])
  begin = time.monotonic()
  run(jobs, tmp_path, at_once=2)
  seconds = time.monotonic() - begin
  speeds = json.loads((tmp_path / "speeds.json").read_text())
  counted, steps = speeds[part.kind]
  assert steps == 2 * 20 * 2
  assert 0 < counted <= seconds


def test_one_run_that_is_left_has_all_cores(tmp_path, two_shares):
  done, left = make_jobs(tmp_path, "done", "good")
  test_status.begin(done, done=True)
  run([done, left], tmp_path, at_once=2)
  everywhere = " ".join(map(str, provenance.cores()))
  assert f"cores {everywhere}\n" in (tmp_path / "good.log").read_text()


def test_a_log_that_cannot_be_opened_costs_one_run(tmp_path):
  (tmp_path / "bad.log").mkdir()
  told = []
  jobs = make_jobs(tmp_path, "bad", "good")
  bad, good = run(jobs, tmp_path, tell=told.append)
  assert (bad.state, good.state) == ("failed", "finished")
  assert "bad.log: " in bad.reason
  assert told == ["bad failed", "good finished"]
  of_bad = [e["event"] for e in events.read(tmp_path) if e["run"] == "bad"]
  assert of_bad == ["failed"]


def test_a_process_that_cannot_be_started_costs_one_run(
  tmp_path, monkeypatch, two_shares
):
  """As where memory is short; the others go on."""
  start = host.Process

  def short_of_memory(command, log, **options):
    if log.name == "bad.log":
      raise OSError(12, "Cannot allocate memory")
    return start(command, log, **options)

  monkeypatch.setattr(host, "Process", short_of_memory)
  jobs = make_jobs(tmp_path, "bad", "good", "last")
  outcomes = run(jobs, tmp_path, at_once=2)
  assert [o.state for o in outcomes] == ["failed", "finished", "finished"]
  assert "Cannot allocate memory" in outcomes[0].reason


def test_members_that_diverge_do_not_cost_the_runs_after_theirs(
  tmp_path, monkeypatch
):
  """And such a run is never started again."""
  jobs = make_jobs(tmp_path, "diverges", "after", sources={"after": "diverges"})
  diverges, after = run(jobs, tmp_path)
  assert diverges.state == "diverged"
  assert diverges.is_good
  assert diverges.reason.startswith("exit code 3, see ")
  assert diverges.reason.endswith("seed 1 diverged")
  assert after.state == "finished"
  monkeypatch.setattr(host.subprocess, "Popen", None)
  for job in jobs:
    done = (job.folder.path / "DONE").read_text()
    test_status.begin(job, done=True)
    (job.folder.path / "DONE").write_text(done)
  diverges, after = run(jobs, tmp_path)
  assert (diverges.state, after.state) == ("diverged", "finished before")
  assert str(jobs[0].folder.path / "DONE") in diverges.reason


def test_folder_that_is_taken_at_the_last_moment_is_waited_for(tmp_path):
  """Between the look at its lock and the start of the run."""
  once, always = run(make_jobs(tmp_path, "taken_once", "taken"), tmp_path)
  assert once.state == "finished"
  assert (tmp_path / "taken_once" / "starts").read_text() == "start\n" * 2
  assert always.state == "in use"
  assert not always.is_good
  assert "process 7 on host b" in always.reason
  assert (tmp_path / "taken" / "starts").read_text() == "start\n" * 3


def test_a_crash_is_tried_again_and_counted(tmp_path, capsys):
  twice, always = run(make_jobs(tmp_path, "dies_twice", "dies"), tmp_path)
  assert (twice.state, twice.reason) == ("finished", "")
  assert always.state == "failed"
  assert "exit code 137" in always.reason
  for name in ("dies_twice", "dies"):
    assert (tmp_path / name / "starts").read_text() == "start\n" * 3
  assert "dies_twice crashed, starts again (2 of 2 retries): exit code 137" in (
    capsys.readouterr().err
  )
  ends = [
    (event["run"], event["end"], event["codes"])
    for event in events.read(tmp_path)
    if event["event"] == "ended"
  ]
  assert ends == [
    *[("dies_twice", "crashed", [137])] * 2,
    ("dies_twice", "finished", [0]),
    *[("dies", "crashed", [137])] * 3,
  ]
  # It has failed: the same command tries as often again.
  [again] = run(make_jobs(tmp_path, "dies"), tmp_path, retries=0)
  assert again.state == "failed"
  assert (tmp_path / "dies" / "starts").read_text() == "start\n" * 4


def test_a_killed_sweep_does_not_lose_count(tmp_path):
  jobs = make_jobs(tmp_path, "dies")
  events.Log(tmp_path).add("dies", "ended", end="crashed")
  run(jobs, tmp_path, retries=2)
  assert (tmp_path / "dies" / "starts").read_text() == "start\n" * 2


def test_a_run_that_is_stopped_from_outside_goes_on_uncounted(tmp_path):
  jobs = make_jobs(tmp_path, "preempted_twice")
  [outcome] = run(jobs, tmp_path, retries=0)
  assert outcome.state == "finished"
  assert (tmp_path / "preempted_twice" / "starts").read_text() == "start\n" * 3


def test_a_stalled_run_is_killed_and_tried_again(tmp_path, capsys):
  [outcome] = run(make_jobs(tmp_path, "hangs"), tmp_path, stall=1.0)
  assert outcome.state == "finished"
  assert "killed after 0:01 min without progress" in (capsys.readouterr().err)


def test_a_signal_ends_the_wait_for_a_retry(tmp_path):
  jobs = make_jobs(tmp_path, "dies", "good")
  signals = engine.Signals()

  def send():
    wait_for(lambda: "ended" in [e["event"] for e in events.read(tmp_path)])
    signals.received.append(signal.SIGTERM)

  thread, failures = in_background(send)
  outcomes = run(jobs, tmp_path, signals, pauses=(600.0,))
  thread.join()
  assert not failures
  assert [o.state for o in outcomes] == ["stopped", "not started"]


def test_logs_are_appended_and_shown(tmp_path, capsys):
  jobs = make_jobs(tmp_path, "fails")
  for _ in range(2):
    run(jobs, tmp_path)
  log = (tmp_path / "fails.log").read_text()
  assert log.count("hello from fails\n") == 2
  # The second start only shows its own part of the log.
  assert capsys.readouterr().err.count("hello from fails\n") == 2


def test_finished_runs_are_skipped_without_a_process(tmp_path, monkeypatch):
  names = [f"run{number}" for number in range(20)]
  jobs = make_jobs(tmp_path, *names)
  for job in jobs:
    test_status.begin(job, done=True)
  monkeypatch.setattr(host.subprocess, "Popen", None)
  assert {o.state for o in run(jobs, tmp_path)} == {"finished before"}
  assert not list(tmp_path.glob("*.log"))


def test_finished_with_another_config_is_a_failure(tmp_path):
  [job] = make_jobs(tmp_path, "good")
  test_status.begin(job, done=True)
  path = tmp_path / "good" / "config.json"
  path.write_text(path.read_text().replace('"seed": 0', '"seed": 7'))
  [outcome] = run([job], tmp_path)
  assert outcome.state == "failed"
  assert "seed: 7 -> 0" in outcome.reason
  assert not list(tmp_path.glob("*.log"))


def test_finished_runs_are_evaluated_again(tmp_path, capsys):
  """With fields of `eval` that they were not trained with."""
  sweep = test_jobs.write_sweep(
    tmp_path, "return [runs.Run('good', 'tests/tiny.py', {})]"
  )
  [trained] = jobs_lib.load(sweep, tmp_path)
  test_status.begin(trained, done=True)
  settings = {"eval.noise_variances": "0.5"}
  [refused] = run(jobs_lib.load(sweep, tmp_path, settings=settings), tmp_path)
  assert "--mode=eval evaluates it again" in refused.reason
  jobs = jobs_lib.load(sweep, tmp_path, settings=settings, mode="eval")
  (tmp_path / "good" / "DONE").rename(tmp_path / "done")
  [unfinished] = run(jobs, tmp_path)
  assert unfinished.state == "failed"
  assert "has not finished training" in unfinished.reason
  (tmp_path / "done").rename(tmp_path / "good" / "DONE")
  [outcome] = run(jobs, tmp_path)
  assert outcome.state == "finished"
  shown = capsys.readouterr().err
  assert "hello from good, evaluating at 0.5" in shown
  assert "of all steps done" not in shown
  assert json.loads((tmp_path / "speeds.json").read_text()) == {}


def test_evaluating_needs_no_source(tmp_path):
  jobs = make_jobs(tmp_path, "fails", "good", sources={"good": "fails"})
  for job in jobs:
    test_status.begin(job, done=True)
  jobs = [dataclasses.replace(job, mode="eval") for job in jobs]
  assert [o.state for o in run(jobs, tmp_path)] == ["failed", "finished"]


def test_speeds_are_kept_while_a_run_goes_on(tmp_path, monkeypatch):
  """A kill of the sweep must not cost what it has measured."""
  monkeypatch.setattr(local, "_SECONDS_BETWEEN_OVERALL", 0.0)
  saves = []
  monkeypatch.setattr(local.estimate.Speeds, "save", lambda _: saves.append(0))
  run(make_jobs(tmp_path, "good"), tmp_path)
  assert len(saves) > 1


def test_speeds_are_measured_and_kept(tmp_path):
  jobs = make_jobs(tmp_path, "good")
  [part] = status.parts(jobs[0])
  run(jobs, tmp_path)
  speeds = json.loads((tmp_path / "speeds.json").read_text())
  seconds, steps = speeds[part.kind]
  assert steps == 20 * 2
  assert 0 < seconds < TIMEOUT


def in_background(work):
  """Runs work, which sends signals to this process, and reports errors."""
  failures = []

  def call():
    try:
      work()
    except BaseException as error:
      failures.append(error)
      os.kill(os.getpid(), signal.SIGTERM)

  thread = threading.Thread(target=call)
  thread.start()
  return thread, failures


def wait_for(condition):
  deadline = time.monotonic() + TIMEOUT
  while not condition():
    assert time.monotonic() < deadline
    time.sleep(0.01)


@pytest.fixture
def heeds_hangups():
  """As a terminal starts a program, even where nohup has started the tests."""
  before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
  yield
  signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize(
  ("numbers", "passed_on"),
  [
    ([signal.SIGTERM], [15]),
    ([signal.SIGHUP], [15]),
    ([signal.SIGINT, signal.SIGTERM], [2, 15]),
  ],
)
def test_signals_reach_the_run_and_end_the_sweep(
  tmp_path, capsys, numbers, passed_on, heeds_hangups
):
  jobs = make_jobs(tmp_path, "waits", "good")
  signals = engine.Signals()

  def send():
    for number in numbers:
      wait_for((tmp_path / "waits" / "ready").exists)
      os.kill(os.getpid(), number)
      wait_for(lambda number=number: number in signals.received)
      time.sleep(3 * local._POLL_SECONDS)

  with signals.listening():
    thread, failures = in_background(send)
    outcomes = run(jobs, tmp_path, signals)
    thread.join()
  assert not failures
  assert [outcome.state for outcome in outcomes] == ["stopped", "not started"]
  assert signals.received == numbers
  assert f"signals {passed_on}" in capsys.readouterr().err


def test_a_signal_reaches_all_that_run(tmp_path, two_shares):
  """And nothing else starts."""
  jobs = make_jobs(tmp_path, "waits", "waits2", "good")
  signals = engine.Signals()

  def send():
    for name in ("waits", "waits2"):
      wait_for((tmp_path / name / "ready").exists)
    os.kill(os.getpid(), signal.SIGTERM)

  with signals.listening():
    thread, failures = in_background(send)
    outcomes = run(jobs, tmp_path, signals, at_once=2)
    thread.join()
  assert not failures
  assert [o.state for o in outcomes] == ["stopped", "stopped", "not started"]
  for name in ("waits", "waits2"):
    assert "signals [15]" in (tmp_path / f"{name}.log").read_text()


def test_waits_for_a_run_that_a_killed_sweep_has_left(tmp_path, capsys):
  """And need not start it again if that run has finished."""
  [job] = make_jobs(tmp_path, "good")
  claim = folder_lib.RunFolder(job.folder.path).claim()
  claim.__enter__()

  def finish():
    time.sleep(5 * local._POLL_SECONDS)
    test_status.begin(job, done=True)
    claim.__exit__(None, None, None)

  thread, failures = in_background(finish)
  [outcome] = run([job], tmp_path)
  thread.join()
  assert not failures
  assert outcome.state == "finished before"
  shown = capsys.readouterr().err
  assert (
    f"still at work in {job.folder.path} (process {os.getpid()} on" in shown
  )


def test_waiting_can_be_stopped(tmp_path):
  [job] = make_jobs(tmp_path, "good")
  signals = engine.Signals()
  signals.received.append(signal.SIGINT)
  with folder_lib.RunFolder(job.folder.path).claim():
    [outcome] = run([job], tmp_path, signals)
  assert outcome.state == "not started"
