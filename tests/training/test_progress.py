"""Progress lines and bars, with a clock of the tests' own."""

import io
import re
import time

import pytest

from sr2_jax.training import progress as progress_lib


class _Terminal(io.StringIO):
  def isatty(self):
    return True


class _Clock:
  def __init__(self, monkeypatch):
    self.now = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: self.now)


def _progress(stream, **changes):
  options = {
    "first_step": 0, "num_steps": 100, "images_per_step": 64, "stream": stream,
  }  # fmt: skip
  return progress_lib.Progress("pretrain", **(options | changes))


def test_lines_come_at_once_then_every_ten_seconds_then_the_last(monkeypatch):
  clock, stream = _Clock(monkeypatch), io.StringIO()
  with _progress(stream) as progress:
    assert stream.getvalue() == "pretrain 0/100   0% compiling\n"
    clock.now += 30
    for step in range(1, 101):
      progress.update(step, 0.125)
      clock.now += 0.5
  lines = stream.getvalue().splitlines()
  assert lines[1:] == [
    "pretrain 1/100   1% loss 0.125",
    "pretrain 21/100  21% loss 0.125, 128 img/s, ETA 0:40",
    "pretrain 41/100  41% loss 0.125, 128 img/s, ETA 0:30",
    "pretrain 61/100  61% loss 0.125, 128 img/s, ETA 0:20",
    "pretrain 81/100  81% loss 0.125, 128 img/s, ETA 0:10",
    "pretrain 100/100 100% loss 0.125, 128 img/s, ETA 0:00",
  ]


def test_the_last_step_before_an_error_is_shown(monkeypatch):
  clock, stream = _Clock(monkeypatch), io.StringIO()
  progress = _progress(stream, first_step=50)

  def fail():
    with progress:
      progress.update(51, 0.5)
      clock.now += 1
      progress.update(55)
      raise KeyboardInterrupt

  with pytest.raises(KeyboardInterrupt):
    fail()
  assert stream.getvalue().splitlines() == [
    "pretrain 50/100  50% compiling",
    "pretrain 51/100  51% loss 0.5",
    "pretrain 55/100  55% loss 0.5, 256 img/s, ETA 0:11",
  ]


def test_speed_leaves_out_the_first_step_and_pauses(monkeypatch):
  clock = _Clock(monkeypatch)
  with _progress(io.StringIO()) as progress:
    assert progress.images_per_second is None
    clock.now += 60
    progress.update(1)
    assert progress.images_per_second is None
    clock.now += 2
    progress.update(5)
    assert progress.images_per_second == 128
    with progress.paused():
      clock.now += 100
    assert progress.images_per_second == 128
    clock.now += 2
    progress.update(9)
    assert progress.images_per_second == 128


def test_a_terminal_gets_a_bar():
  pytest.importorskip("tqdm")
  stream = _Terminal()
  with _progress(stream) as progress:
    assert "compiling" in stream.getvalue()
    progress.update(1, 0.5)
    for step in range(2, 101):
      progress.update(step, 0.25)
  text = stream.getvalue()
  last = text.rstrip("\n").rsplit("\r", 1)[-1]
  assert re.match(r"pretrain 100%\|.*\| 100/100, loss 0\.25, ", last)
  assert text.endswith("\n")


def test_a_finished_phase_and_other_processes_show_nothing():
  for changes in ({"first_step": 100}, {"active": False}):
    for stream in (io.StringIO(), _Terminal()):
      with _progress(stream, **changes):
        pass
      assert stream.getvalue() == ""
  with _progress(stream, active=False) as progress:
    progress.update(1, 0.5)
  assert stream.getvalue() == ""


@pytest.mark.parametrize(
  ("seconds", "text"), [(0.4, "0:00"), (61, "1:01"), (3599.7, "1:00:00")]
)
def test_durations(seconds, text):
  assert progress_lib.duration(seconds) == text
