import datetime
import os
import resource

from launch import events


def test_events_come_back_in_their_order(tmp_path):
  log = events.Log(tmp_path)
  log.add("a", "started", place="slice-a")
  events.Log(tmp_path).add("ü", "ended", codes=[0, None])
  first, second = events.read(tmp_path)
  time = datetime.datetime.fromisoformat(first.pop("time"))
  assert time.tzinfo is not None
  assert first == {"run": "a", "event": "started", "place": "slice-a"}
  assert second["run"] == "ü"
  assert second["codes"] == [0, None]


def test_damaged_lines_are_left_out_and_cost_no_other(tmp_path):
  """As a full disk or a kill leaves one."""
  log = events.Log(tmp_path)
  log.add("a", "started")
  with (tmp_path / events.NAME).open("ab") as file:
    file.write(b'[1]\n{"run": "b"}\n{"time": "2026-11-')
  log.add("c", "started")
  log.add("d", "started")
  assert [event["run"] for event in events.read(tmp_path)] == ["a", "c", "d"]


def test_no_file_is_no_event(tmp_path):
  assert events.read(tmp_path) == []


def test_a_full_disk_costs_only_the_line(tmp_path):
  log = events.Log(tmp_path)
  log.add("a", "started")
  # A file that may not grow any more is refused its bytes as well.
  before = resource.getrlimit(resource.RLIMIT_FSIZE)
  size = (tmp_path / events.NAME).stat().st_size
  resource.setrlimit(resource.RLIMIT_FSIZE, (size + 10, before[1]))
  try:
    log.add("b", "started")
  finally:
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
  log.add("c", "started")
  assert [event["run"] for event in events.read(tmp_path)] == ["a", "c"]


def test_the_slice_of_the_last_start(tmp_path):
  log = events.Log(tmp_path)
  assert events.last_slice(events.read(tmp_path)) == ("", 0)
  log.add("a", "started", slice="v5e-2x4", chips=8)
  log.add("b", "started", slice="v5e-2x2", chips=4)
  log.add("a", "ended", end="finished", chips=8)
  assert events.last_slice(events.read(tmp_path)) == ("v5e-2x2", 4)
  log.add("a", "started")  # on this machine
  assert events.last_slice(events.read(tmp_path)) == ("", 0)


def test_a_file_that_others_have_written_costs_no_sweep(tmp_path):
  path = tmp_path / events.NAME
  for text in ('{"run": [1], "event": 2}', "[" * 9999, '{"run": "a"}', "3"):
    path.write_text(f"{text}\n")
    assert events.read(tmp_path) == []
  path.unlink()
  os.mkfifo(path)
  events.Log(tmp_path).add("a", "started")
  assert events.read(tmp_path) == []
