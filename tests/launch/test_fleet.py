"""Faults on a cluster that is only played, at a clock that the test turns."""

import pathlib
import signal

import pytest

from launch import attempts, engine, estimate, fleet, seats, slices
from launch import events as events_lib
from launch import jobs as jobs_lib
from sr2_jax import errors
from tests.launch import test_jobs, test_status

ROOT = pathlib.Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _in_root(monkeypatch):
  monkeypatch.chdir(ROOT)


class Gang:
  def __init__(self, job, seat, workdir):
    self.job, self.size, self.codes = job, len(seat.bundles), {}
    self.logs = [workdir / f"{job.name}.{i}.log" for i in range(self.size)]
    self.sent, self.is_closed = [], False

  def poll(self):
    assert not self.is_closed

  def send(self, number):
    self.sent.append(number)

  def close(self):
    assert not self.is_closed
    self.is_closed = True

  def end(self, *codes):
    """All processes end, by index; with DONE where that is due."""
    if set(codes) == {0}:
      test_status.begin(self.job, done=True)
    self.codes = dict(enumerate(codes))


class Cluster:
  def __init__(self, workdir, *names):
    self.names, self.workdir = list(names), workdir
    self.gangs, self.leaving, self.broken = [], {}, []
    self.is_taken, self.bad = False, ""

  def offers(self):
    found = [
      seats.Seat(name, (f"{name}-0", f"{name}-1"), [{}, {}], [{}, {}])
      for name in self.names
    ]
    return found, self.broken

  def draining(self):
    return self.leaving

  def start(self, job, seat):
    if self.is_taken:
      raise TimeoutError(f"{seat.name} was taken by somebody else")
    if seat.name == self.bad:
      raise errors.UserError(f"{seat.name} is bad")
    self.gangs.append(Gang(job, seat, self.workdir))
    return self.gangs[-1]


class Play:
  """A fleet and its clock."""

  def __init__(self, tmp_path, *names, sweep=test_jobs.PAIR, **keywords):
    self.jobs = jobs_lib.load(sweep, tmp_path)
    self.cluster = Cluster(tmp_path, *names)
    self.signals = engine.Signals()
    self.now, self.workdir = 1000.0, tmp_path
    policy = keywords.pop("policy", attempts.Policy())
    self.fleet = fleet.Fleet(
      self.cluster, self.jobs, tmp_path, signals=self.signals, policy=policy,
      speeds=estimate.Speeds(tmp_path / "s.json"),
      **{"slice_": slices.find("v4", "2x2x1"), **keywords},
    )  # fmt: skip
    self.step()

  def step(self, seconds=1.0):
    self.now += seconds
    self.fleet.step(self.now)
    return self

  @property
  def gang(self):
    return self.cluster.gangs[-1]

  @property
  def started(self):
    return [gang.job.name for gang in self.cluster.gangs]

  @property
  def places(self):
    events = events_lib.read(self.workdir)
    return [e["place"] for e in events if e["event"] == "started"]

  def states(self):
    assert self.fleet._schedule.is_over
    return [str(o.state) for o in self.fleet._schedule.in_order()]


def independent(tmp_path, count):
  runs = ", ".join(
    f"runs.Run('r{i}', 'tests/tiny.py', {{'seed': {i}}})" for i in range(count)
  )
  return test_jobs.write_sweep(tmp_path, f"return [{runs}]")


def test_a_run_waits_for_its_source_and_others_do_not(tmp_path):
  play = Play(tmp_path, "a", "b")
  assert play.started == ["first"]
  play.gang.end(0, 0)
  assert not (tmp_path / "s.json").exists()
  assert play.step().started == ["first", "control"]
  assert (tmp_path / "s.json").exists()  # For --status, meanwhile.
  play.gang.end(0, 0)
  assert play.step().states() == ["finished", "finished"]
  # The same command again starts nothing.
  again = Play(tmp_path, "a")
  assert again.started == []
  assert again.states() == ["finished before"] * 2


def test_each_slice_has_one_run_at_once(tmp_path):
  play = Play(tmp_path, "a", "b", sweep=independent(tmp_path, 5))
  assert play.started == ["r0", "r1"]
  assert play.step(500).started == ["r0", "r1"]
  play.cluster.gangs[0].end(0, 0)
  assert play.step().started == ["r0", "r1", "r2"]
  assert play.places == ["a", "b", "a"]


def test_a_hundred_runs_on_two_slices(tmp_path):
  """As many are started at once as there are slices, whatever waits."""
  play = Play(tmp_path, "a", "b", sweep=independent(tmp_path, 100))
  num_closed = 0
  while not play.fleet._schedule.is_over:
    running = [gang for gang in play.cluster.gangs if not gang.is_closed]
    assert len(running) == 2
    assert len(play.started) == num_closed + 2
    for gang in running[: 1 + num_closed % 2]:
      gang.end(0, 0)
      num_closed += 1
    play.step()
    if num_closed >= 99:
      break
  assert len(set(play.started)) == len(play.started)


def test_one_bad_slice_costs_no_run(tmp_path, capsys):
  """Whose hosts do not share the folder, say; the first one ends the sweep."""
  play = Play(tmp_path, "a", sweep=independent(tmp_path, 2))
  play.cluster.names, play.cluster.bad = ["a", "b"], "b"
  play.step()
  assert play.started == ["r0"]
  assert "r1: b is bad" in capsys.readouterr().err
  play.gang.end(0, 0)
  assert play.step().started == ["r0", "r1"]
  assert play.places == ["a", "a"]
  other = Play(tmp_path / "other")
  other.cluster.names, other.cluster.bad = ["b"], "b"
  with pytest.raises(errors.UserError, match="b is bad"):
    other.step()


def test_at_once(tmp_path):
  sweep = independent(tmp_path, 3)
  assert Play(tmp_path, "a", "b", sweep=sweep, at_once=1).started == ["r0"]


@pytest.mark.parametrize(
  ("codes", "end"),
  [((137, 5), "crashed"), ((5, 137), "crashed"), ((5, 1), "crashed")],
)
def test_a_crash_is_tried_again_and_then_has_failed(tmp_path, codes, end):
  play = Play(tmp_path, "a", policy=attempts.Policy(retries=1))
  play.gang.end(*codes)
  assert play.step().started == ["first"]
  assert play.step(8).started == ["first"]
  assert play.step(2).started == ["first", "first"]
  play.gang.end(*codes)
  assert play.step().states() == ["failed", "skipped"]
  ends = [e["end"] for e in events_lib.read(tmp_path) if e["event"] == "ended"]
  assert ends == [end, end]


def test_two_is_never_tried_again(tmp_path):
  play = Play(tmp_path, "a")
  play.gang.logs[1].write_text("first line\nbatch_size is odd\n")
  play.gang.end(5, 2)
  assert play.step().states() == ["failed", "skipped"]
  outcome = play.fleet._schedule.in_order()[0]
  assert "exit code 2" in outcome.reason
  assert "batch_size is odd" in outcome.reason  # of the process that said it


def test_members_that_diverged_do_not_cost_the_runs_after(tmp_path):
  play = Play(tmp_path, "a")
  test_status.begin(play.jobs[0], done=True)
  play.gang.end(3, 3)
  assert play.step().started == ["first", "control"]
  play.gang.end(3, 3)  # and without DONE, all of them
  assert play.step().states() == ["diverged", "failed"]


def test_a_lost_host_is_no_failure_and_its_slice_is_left(tmp_path):
  play = Play(tmp_path, "a", "b", policy=attempts.Policy(retries=0))
  for lost, other in ((0, 1), (1, 0)):
    play.gang.codes = {other: 5, lost: None}
    play.step()
    play.step(11)
  assert play.places == ["a", "b"]  # both cool down
  assert play.step(60).places == ["a", "b", "a"]
  tally = play.fleet._schedule.tallies["first"]
  assert (tally.crashes, tally.preemptions) == (0, 2)


def test_who_is_left_behind_is_killed(tmp_path):
  """A process fails, and the other neither ends nor says a word."""
  play = Play(tmp_path, "a")
  gang = play.gang
  gang.codes = {1: 1}
  play.step(1)
  play.step(19)
  assert not gang.is_closed
  play.step(3)
  assert gang.is_closed


def test_a_drained_host_lets_the_run_save(tmp_path):
  play = Play(tmp_path, "a", "b", policy=attempts.Policy(retries=0))
  gang = play.gang
  play.cluster.leaving = {"a-1": 60.0}
  play.step()
  play.step()
  assert gang.sent == [signal.SIGTERM]
  assert not gang.is_closed
  gang.codes = {0: 143, 1: 143}
  play.step()
  play.step(11)
  assert play.places == ["a", "b"]
  assert play.fleet._schedule.tallies["first"].crashes == 0


def test_a_run_that_does_not_save_is_killed_at_the_deadline(tmp_path):
  play = Play(tmp_path, "a", policy=attempts.Policy(retries=0))
  gang = play.gang
  play.cluster.leaving = {"a-0": 60.0}
  play.step()
  play.cluster.leaving = {"a-0": 1.0}
  play.step(59)
  assert not gang.is_closed
  play.step(2)
  assert gang.is_closed
  assert play.fleet._schedule.tallies["first"].preemptions == 1


def test_a_stalled_run_is_killed_and_counted(tmp_path):
  play = Play(tmp_path, "a", policy=attempts.Policy(retries=1, stall=60.0))
  gang = play.gang
  play.step(50)
  gang.logs[1].write_text("a sign of life")
  play.step(20)
  play.step(50)
  assert not gang.is_closed
  play.step(20)
  assert gang.is_closed
  assert play.fleet._schedule.tallies["first"].crashes == 1
  assert play.step(20).started == ["first", "first"]


def test_a_folder_in_use_is_waited_for(tmp_path):
  """As by a stray process of a host that was lost."""
  play = Play(tmp_path, "a", policy=attempts.Policy(retries=0))
  for count in range(1, 5):
    assert play.started == ["first"] * count
    play.gang.end(4, 5)
    play.step()
    play.step(11)
  play.gang.end(0, 0)
  assert play.step().started[-1] == "control"


def test_a_slice_that_somebody_else_took(tmp_path, capsys):
  play = Play(tmp_path)
  play.cluster.names, play.cluster.is_taken = ["a"], True
  play.step()
  assert play.started == []
  assert "another slice is tried" in capsys.readouterr().err
  play.cluster.is_taken = False
  assert play.step(5).started == []
  assert play.step(30).started == ["first"]


def test_a_slice_that_is_given_back_is_free_a_little_later(tmp_path, capsys):
  play = Play(tmp_path, "a")
  play.gang.end(0, 0)
  play.cluster.names = []
  play.step().step(3)
  assert "no slice is free" not in capsys.readouterr().err
  play.step(3)
  assert "no slice is free" in capsys.readouterr().err


def test_no_slice_is_said_now_and_then(tmp_path, capsys):
  told = []
  play = Play(tmp_path, tell=told.append)
  play.cluster.broken = ["slice-a has 1 of 2 hosts"]
  for _ in range(100):
    play.step(1)
  assert capsys.readouterr().err.count("no slice is free") == 1
  assert not told
  play.step(300)
  assert len(told) == 1
  assert "slice-a has 1 of 2 hosts" in capsys.readouterr().err
  play.cluster.names = ["slice-a"]
  assert play.step().started == ["first"]


def test_waiting_has_an_end_where_one_is_set(tmp_path):
  play = Play(tmp_path, wait=600.0)
  play.step(599)
  assert not play.fleet._schedule.is_over
  assert play.step(2).states() == ["not started"] * 2


def test_signals_reach_the_runs_and_end_the_sweep(tmp_path):
  play = Play(tmp_path, "a", sweep=independent(tmp_path, 2))
  gang = play.gang
  play.signals.received += [signal.SIGHUP, signal.SIGINT]
  play.step()
  assert gang.sent == [signal.SIGTERM, signal.SIGINT]
  gang.codes = {0: 143, 1: 143}
  assert play.step().states() == ["stopped", "not started"]


def test_a_run_that_does_not_stop_is_killed(tmp_path):
  play = Play(tmp_path, "a")
  play.signals.received.append(signal.SIGTERM)
  play.step()
  play.step(119)
  assert not play.gang.is_closed
  assert play.step(2).states() == ["stopped", "not started"]


def test_the_end_gives_every_slice_back(tmp_path, monkeypatch):
  play = Play(tmp_path, "a")
  monkeypatch.setattr(fleet.time, "sleep", lambda _: 1 / 0)
  with pytest.raises(ZeroDivisionError):
    play.fleet.run()
  assert play.gang.is_closed


def test_lines_name_the_log_and_what_it_costs(tmp_path, capsys):
  play = Play(tmp_path, "a", price=2.0)
  start, overall = capsys.readouterr().err.splitlines()
  assert start == (
    f"first starts on a, log {tmp_path / 'first.0.log'}: 2 runs: 1 running, 1 "
    "waiting"
  )
  assert "; 0 % of all steps done, time left unknown" in overall
  assert "0.0 chip-hours used (0.00 at 2.00 per chip-hour)" in overall
  play.step(299)
  assert capsys.readouterr().err == ""
  play.step(2)
  assert "chip-hours to go" in capsys.readouterr().err
  [started] = events_lib.read(tmp_path)
  assert (started["slice"], started["chips"]) == ("v4-2x2x1", 4)


def test_each_line_of_an_emulated_cluster_says_so(tmp_path, capsys):
  play = Play(tmp_path, "a", slice_=slices.emulated(2, 2))
  play.cluster.leaving = {"a-0": 60.0}
  play.step()
  play.gang.codes = {0: 143, 1: 143}
  play.step()
  play.cluster.names = []
  play.step(400)
  lines = capsys.readouterr().err.splitlines()
  assert len(lines) >= 5
  assert all(line.startswith("emulated: ") for line in lines)
