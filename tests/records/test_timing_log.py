import os

import pytest

from sr2_jax.records import timing_log


@pytest.fixture
def clock(monkeypatch):
  """Seconds that tests set."""

  class Clock:
    now = 100.0

  monkeypatch.setattr(timing_log.time, "monotonic", lambda: Clock.now)
  return Clock


def test_lines_have_the_time_of_their_phase(tmp_path, clock):
  log = timing_log.TimingLog(tmp_path)
  log.begin("pretrain")
  clock.now = 102.0
  log.write("train", 50, images_per_second=1234.56789)
  with log.timed("validation", 60):
    clock.now = 105.5
  log.begin("joint")
  log.write("end", 70)
  lines = timing_log.read(tmp_path / "timing.jsonl")
  for line in lines:
    assert line.pop("time").endswith("+00:00")
    assert line.pop("start") == 0
  assert lines == [
    {
      "kind": "train",
      "phase": "pretrain",
      "step": 50,
      "phase_seconds": 2.0,
      "images_per_second": 1234.568,
    },
    {
      "kind": "validation",
      "phase": "pretrain",
      "step": 60,
      "phase_seconds": 5.5,
      "seconds": 3.5,
    },
    {"kind": "end", "phase": "joint", "step": 70, "phase_seconds": 0.0},
  ]


def test_a_phase_is_the_sum_of_its_starts(tmp_path, clock):
  """Whatever a kill wasted or tore counts or is skipped."""
  path = tmp_path / "timing.jsonl"
  for number, seconds in enumerate((10.0, 4.0)):
    log = timing_log.TimingLog(tmp_path)
    log.begin("pretrain")
    clock.now += seconds
    log.write("train", 5)
    assert timing_log.read(path)[-1]["start"] == number
    with path.open("a") as file:
      file.write('{"start": 9, "phase')
  log.begin("joint")
  clock.now += 1
  log.write("end", 5)
  assert len(timing_log.read(path)) == 3
  assert timing_log.seconds_of_phases(path) == {"pretrain": 14.0, "joint": 1.0}


def test_a_block_that_fails_has_no_line(tmp_path):
  log = timing_log.TimingLog(tmp_path)
  with pytest.raises(KeyError), log.timed("evaluation", 1):
    raise KeyError
  assert timing_log.seconds_of_phases(tmp_path / "timing.jsonl") == {}


def test_other_processes_write_nothing(tmp_path):
  log = timing_log.TimingLog(tmp_path, active=False)
  log.begin("pretrain")
  with log.timed("validation", 1):
    pass
  log.write("train", 1)
  assert os.listdir(tmp_path) == []
