"""That `python -m tests.long_life` would find what it looks for."""

import subprocess
import sys
import time

import pytest

from tests import long_life

# Goes a step for each line that it is given, and keeps something of each.
STAND_IN = """
import json, sys
kept, what = [], sys.argv[1]
with open(sys.argv[2] + "/metrics.jsonl", "w") as log:
  for step, _ in enumerate(sys.stdin, start=1):
    if what == "handles":
      kept.append(open("/dev/null"))
    if what == "nbytes":
      kept.append(bytearray(4_000_000))
    log.write(json.dumps({"step": step}) + "\\n")
    log.flush()
"""
STEPS = 40


@pytest.mark.parametrize("leak", ["nothing", "handles", "nbytes"])
def test_a_leak_of_a_process_is_found(tmp_path, leak):
  with subprocess.Popen(
    [sys.executable, "-c", STAND_IN, leak, str(tmp_path)],
    stdin=subprocess.PIPE,
  ) as process:

    def go():
      step = long_life.last_step(tmp_path)
      process.stdin.write(b"\n")
      process.stdin.flush()
      while process.poll() is None and long_life.last_step(tmp_path) == step:
        time.sleep(0.001)

    samples = long_life.sampled(process, tmp_path, steps=STEPS, wait=go)
    process.stdin.close()
  assert [sample.step for sample in samples] == [*range(STEPS)]
  wrong = long_life.growth(samples)
  if leak == "nothing":
    assert wrong == []
  else:
    [line] = wrong
    assert line.startswith(f"{leak} grew from ")


def samples(handles=lambda step: 30, threads=lambda step: 9):
  return [
    long_life.Sample(step, 10**9, handles(step), threads(step))
    for step in range(0, 1000, 10)
  ]


def test_growth_is_from_the_second_quarter_to_the_last():
  assert not long_life.growth(samples())
  # Warming up, and what a save has for a moment.
  assert not long_life.growth(samples(lambda step: 5 if step < 200 else 30))
  assert not long_life.growth(samples(lambda step: 30 + 50 * (step % 50 == 0)))
  found = long_life.growth(samples(threads=lambda step: 9 + step // 20))
  assert found == ["threads grew from 21 to 46"]


def test_too_few_samples_tell_nothing():
  for few in ([], samples()[:3], samples()[:60:12]):
    assert "which tell nothing" in long_life.growth(few)[0]


def test_another_end_is_a_difference(tmp_path):
  for name in ("one", "other"):
    folder = tmp_path / name
    (folder / "weights").mkdir(parents=True)
    for file in ("DONE", "metrics.jsonl", "results.jsonl", "weights/last"):
      (folder / file).write_text(name if file == "results.jsonl" else file)
  one = long_life.run_contents.contents(tmp_path / "one")
  assert long_life.differences(tmp_path / "one", one) == []
  assert long_life.differences(tmp_path / "other", one) == [
    "other: results.jsonl differs"
  ]
  (tmp_path / "one/weights/best").write_text("")
  assert long_life.differences(tmp_path / "one", one) == [
    "one: weights/best differs"
  ]


def test_moments_by_what_was_said_last():
  text = "loading mnist5k\npreparing the networks\npretrain 0% compiling"
  assert long_life.moment("") == "start"
  assert long_life.moment(text[:20]) == "loading"
  assert long_life.moment(text) == "compiling"
  assert long_life.moment(f"{text}\n50% loss 0.1") == "training"


def test_table():
  quarters = [
    {"steps": 1000 * (1 + x), "mb": 10.0 + x**2, "highest_mb": 30.4,
     "handles": 5, "threads": 6}
    for x in range(4)
  ]  # fmt: skip
  there = {"date": "D", "system": "S", "seconds": 1234}
  steps = there | {"steps": 4001, "quarters": quarters, "wrong": []}
  kills = there | {
    "kills": 5, "runs": 2, "moments": {"start": 3}, "wrong": ["it", "differs"],
  }  # fmt: skip
  text = long_life.table({"steps": steps, "kills": kills})
  assert "for 4,001 steps in 1,234 s (D, S):\n\n| steps |" in text
  assert "| 2,000 | 11 MB | 30 MB | 5 | 6 |" in text
  assert "that is 2.00 MB a checkpoint" in text
  assert "undisturbed one, in 1,234 s (D, S):\n\n| killed while |" in text
  assert "| start | 3 |" in text
  assert text.endswith(
    "\n\nSteps: nothing is wrong.\n\nKills: it.\n\nKills: differs."
  )
  # The undisturbed run may fail, and then there is nothing to count.
  assert long_life.table({"kills": {"wrong": ["it"]}}) == "Kills: it."


def test_a_file_keeps_the_other_part(tmp_path):
  path = tmp_path / "results.json"
  assert long_life.recorded(path) == {}
  long_life.keep(path, {"steps": 1, "kills": 2})
  long_life.keep(path, {"kills": 3})
  long_life.keep(None, {"kills": 4})
  assert long_life.recorded(path) == {"steps": 1, "kills": 3}


def test_flags():
  assert long_life.parse([]).steps == 200_000
  assert long_life.parse(["--kills=5"]).kills == 5
