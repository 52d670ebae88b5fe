"""Progress lines and bars, with a clock of the tests' own."""

import io
import re
import time

import pytest
import tqdm.std

from sr2_jax.training import progress as progress_lib


class _Terminal(io.StringIO):
  def isatty(self):
    return True


class _Clock:
  def __init__(self, monkeypatch):
    self.now = 1000.0
    monkeypatch.setattr(time, "time", lambda: self.now)
    monkeypatch.setattr(tqdm.std, "time", lambda: self.now)


def _progress(stream, **changes):
  options = {
    "first_step": 0, "num_steps": 100, "images_per_step": 64, "stream": stream,
  }  # fmt: skip
  return progress_lib.Progress("pretrain", **(options | changes))


def test_lines_come_at_once_then_every_ten_seconds_then_the_last(monkeypatch):
  clock, stream = _Clock(monkeypatch), io.StringIO()
  with _progress(stream) as progress:
    assert stream.getvalue() == "pretrain   0% 0/100, compiling, ETA ?\n"
    clock.now += 30
    for step in range(1, 101):
      progress.update(step, 0.125)
      clock.now += 0.5
  lines = stream.getvalue().splitlines()
  assert lines[1:] == [
    "pretrain   1% 1/100, loss 0.125, ETA ?",
    "pretrain  21% 21/100, loss 0.125, 128 img/s, ETA 00:39",
    "pretrain  41% 41/100, loss 0.125, 128 img/s, ETA 00:29",
    "pretrain  61% 61/100, loss 0.125, 128 img/s, ETA 00:19",
    "pretrain  81% 81/100, loss 0.125, 128 img/s, ETA 00:09",
    "pretrain 100% 100/100, loss 0.125, 128 img/s, ETA 00:00",
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
    "pretrain  50% 50/100, compiling, ETA ?",
    "pretrain  51% 51/100, loss 0.5, ETA ?",
    "pretrain  55% 55/100, loss 0.5, 256 img/s, ETA 00:11",
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


def test_a_pause_hides_no_last_line(monkeypatch):
  """Tqdm takes a start after the last print for a bar never shown."""
  clock, stream = _Clock(monkeypatch), io.StringIO()
  with _progress(stream) as progress:
    for step in range(1, 101):
      progress.update(step, 0.125)
      clock.now += 0.01
    with progress.paused():
      clock.now += 60
  last = stream.getvalue().splitlines()[-1]
  assert last.startswith("pretrain 100% 100/100, loss 0.125, ")
  assert stream.getvalue().count("100/100") == 1


def test_a_terminal_gets_a_bar():
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
