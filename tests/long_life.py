"""A long life: many steps with flat memory and handles, and many kills.

  python -m tests.long_life [--steps=200000] [--kills=200] [--json=FILE]

First a tiny network trains for so many steps. It streams its images, makes
calls of several steps, and saves every 500. While it goes on, its anonymous
memory, open files and threads are counted; they must not grow. Then a run is
killed at random moments until it has finished, again and again, until there
were so many kills. Each time it must end with the bits of an undisturbed run.

Prints a table, and exits with 1 if anything was wrong. A file of results keeps
those of the other part if `--steps=0` or `--kills=0` leaves one out; what
tests/long_life.json has is shown in docs/faults.md. All together take about an
hour on two cores. `--seed` chooses the moments.
"""

import argparse
import collections
import contextlib
import dataclasses
import json
import os
import pathlib
import random
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

from tests import circumstances, run_contents

ROOT = pathlib.Path(__file__).parents[1]
RESULTS = ROOT / "tests" / "long_life.json"
# One member of FSRCNN, 100 steps an epoch in calls of 25.
TINY = (
  "--config=tests/tiny.py", "--config.joint.num_epochs=0",
  "--config.num_seeds=1", "--config.batch_size=4",
  "--config.data.max_train_images=400", "--config.data.device_bytes=1",
  "--config.steps_per_call=25", "--config.eval.max_images=8",
  "--config.eval.batch_norm_batches=2", "--config.eval.epochs=",
)  # fmt: skip
STEPS_PER_EPOCH = 100
STEPS_PER_SAVE = 500
STEADY = (
  f"--config.checkpoint.every_steps={STEPS_PER_SAVE}",
  "--config.eval.every_epochs=10",
  "--config.log.every_steps=25",
)  # fmt: skip
KILLED = ("--config.checkpoint.every_steps=50", "--config.eval.every_epochs=2")
KILLED_STEPS = 800
# What may come on top between the second and the last quarter of a run. Threads
# of pools come one by one, and each has an arena of its own, whose free memory
# counts. TensorStore keeps 300 bytes of each array that it saves.
MOST_BYTES_MORE, MOST_HANDLES_MORE, MOST_THREADS_MORE = 40_000_000, 2, 10
FEWEST_SAMPLES = 20


@dataclasses.dataclass(frozen=True)
class Sample:
  """What a process holds once it has done so many steps."""

  step: int
  nbytes: int
  handles: int
  threads: int


def command(workdir, steps, *arguments):
  epochs = -(-steps // STEPS_PER_EPOCH)
  return (
    sys.executable, "-m", "sr2_jax.main", *TINY, *arguments,
    f"--config.pretrain.num_epochs={epochs}", f"--workdir={workdir}",
  )  # fmt: skip


@contextlib.contextmanager
def started(arguments, log, cache):
  """A process, which is dead at the end."""
  environment = os.environ | {
    "JAX_PLATFORMS": "cpu", "SR2_JAX_CACHE_DIR": str(cache),
  }  # fmt: skip
  with log.open("a") as file:
    process = subprocess.Popen(
      arguments, cwd=ROOT, env=environment, stdout=file, stderr=file
    )
    try:
      yield process
    finally:
      process.kill()
      process.wait()


def last_step(workdir):
  """Of the last complete line of metrics.jsonl; 0 if there is none."""
  try:
    with (workdir / "metrics.jsonl").open("rb") as file:
      file.seek(max(0, file.seek(0, os.SEEK_END) - 10_000))
      lines = file.read().split(b"\n")[:-1]
    return json.loads(lines[-1])["step"]
  except (OSError, IndexError, ValueError):
    return 0


def sampled(process, workdir, *, steps, wait):
  """Samples of a process, until it has done its steps or has ended.

  `wait` is called after each.
  """
  proc, found = pathlib.Path(f"/proc/{process.pid}"), []
  while process.poll() is None and (step := last_step(workdir)) < steps:
    with contextlib.suppress(OSError, TypeError):  # It is ending.
      status = (proc / "status").read_text()
      numbers = [
        int(re.search(rf"^{name}:\s*(\d+)", status, re.MULTILINE)[1])
        for name in ("RssAnon", "Threads")
      ]
      handles = len(os.listdir(proc / "fd"))
      found.append(Sample(step, 1024 * numbers[0], handles, numbers[1]))
    wait()
  return found


def quarters(samples):
  """The samples of each quarter of the steps; the first is for warming up."""
  last = max((sample.step for sample in samples), default=0)
  found = [[] for _ in range(4)]
  for sample in samples:
    if sample.step:
      found[min(3, 4 * sample.step // (last + 1))].append(sample)
  return found


def growth(samples):
  """What is wrong with samples, in lines; none if nothing grows."""
  _, second, _, last = quarters(samples)
  if min(len(second), len(last)) < FEWEST_SAMPLES // 4:
    return [f"only {len(samples)} samples, which tell nothing"]
  return [
    f"{name} grew from {before:,} to {after:,}"
    for name, most in (
      ("nbytes", MOST_BYTES_MORE),
      ("handles", MOST_HANDLES_MORE),
      ("threads", MOST_THREADS_MORE),
    )
    for before, after in [[_typical(x, name) for x in (second, last)]]
    if after - before > most
  ]


def _typical(samples, name):
  """Of memory the median, for it swings; of the others the least.

  A save has files and threads of its own, so that the least is without one.
  """
  values = [getattr(sample, name) for sample in samples]
  return round(statistics.median(values)) if name == "nbytes" else min(values)


def live_long(folder, cache, steps):
  """A row of the table for each quarter, and what is wrong."""
  workdir, log = folder / "steady", folder / "steady.log"
  begin = time.monotonic()
  with started(command(workdir, steps, *STEADY), log, cache) as process:
    pause = min(1.0, steps / 10_000)
    samples = sampled(
      process, workdir, steps=steps, wait=lambda: time.sleep(pause)
    )
    code = process.wait()
  wrong = growth(samples)
  if code:
    wrong.append(f"ended with {code}: {log.read_text()[-500:]}")
  rows = [
    {
      "steps": max(sample.step for sample in quarter),
      "mb": _typical(quarter, "nbytes") / 1e6,
      "highest_mb": max(sample.nbytes for sample in quarter) / 1e6,
      "handles": _typical(quarter, "handles"),
      "threads": _typical(quarter, "threads"),
    }
    for quarter in quarters(samples)
    if quarter
  ]
  return {
    "steps": steps, "seconds": round(time.monotonic() - begin),
    "samples": len(samples), "quarters": rows, "wrong": wrong,
  }  # fmt: skip


def moment(text):
  """Where a run was, by the end of what it had said."""
  for word, name in (
    ("evaluating", "evaluation"), ("loss", "training"),
    ("compiling", "compiling"), ("preparing", "preparing"),
    ("loading", "loading"),
  ):  # fmt: skip
    if word in text[-200:]:
      return name
  return "start"


def be_killed(folder, cache, kills, dice):
  """How many kills there were where, and what is wrong."""
  begin = time.monotonic()
  seconds = []
  for number in range(2):  # The first one compiles.
    expected_at = folder / f"undisturbed_{number}"
    arguments = command(expected_at, KILLED_STEPS, *KILLED)
    begin_of_run = time.monotonic()
    with started(arguments, folder / "undisturbed.log", cache) as process:
      code = process.wait()
    if code:
      return {"wrong": [f"the undisturbed run ended with {code}"]}
    seconds.append(time.monotonic() - begin_of_run)
  expected = run_contents.contents(expected_at)
  wrong, moments, done, runs = [], collections.Counter(), 0, 0
  while done < kills and not wrong:
    workdir = folder / f"killed_{runs}"
    log = folder / f"killed_{runs}.log"
    while not (workdir / "DONE").exists() and not wrong:
      size = log.stat().st_size if log.exists() else 0
      arguments = command(workdir, KILLED_STEPS, *KILLED)
      # Once there were enough kills, the run goes on to its end.
      limit = dice.uniform(0, seconds[-1]) if done < kills else None
      with started(arguments, log, cache) as process:
        try:
          code = process.wait(limit)
        except subprocess.TimeoutExpired:
          process.kill()
          done += 1
          moments[moment(log.read_text()[size:])] += 1
        else:
          if code:
            wrong.append(f"{workdir.name} ended with {code}")
    runs += 1
    wrong += differences(workdir, expected)
    shutil.rmtree(workdir)
  return {
    "seconds": round(time.monotonic() - begin), "kills": done, "runs": runs,
    "moments": dict(moments.most_common()), "wrong": wrong,
  }  # fmt: skip


def differences(workdir, expected):
  """What a run has come to that is not as expected, in lines."""
  if not (workdir / "DONE").exists():
    return [f"{workdir.name} has not finished"]
  found = run_contents.contents(workdir)
  return [
    f"{workdir.name}: {name} differs"
    for name in sorted(found.keys() | expected.keys())
    if found.get(name) != expected.get(name)
  ]


def table(results):
  """The results as a page has them, in Markdown."""
  lines = []
  if len((found := results.get("steps", {})).get("quarters", ())) == 4:
    lines += [
      f"A tiny network trained for {found['steps']:,} steps in "
      f"{found['seconds']:,} s ({where(found)}):",
      "",
      "| steps | memory, median | memory, most | open files | threads |",
      "|---|---|---|---|---|",
      *(
        f"| {row['steps']:,} | {row['mb']:.0f} MB | {row['highest_mb']:.0f} MB "
        f"| {row['handles']} | {row['threads']} |"
        for row in found["quarters"]
      ),
      "",
      f"From the second quarter to the last that is {kept(found):.2f} MB a "
      "checkpoint. TensorStore keeps something of every array that it saves.",
      "",
    ]
  if "moments" in (found := results.get("kills", {})):
    lines += [
      f"{found['kills']} kills in {found['runs']} runs, each compared with an "
      f"undisturbed one, in {found['seconds']:,} s ({where(found)}):",
      "",
      "| killed while | times |",
      "|---|---|",
      *(f"| {name} | {count} |" for name, count in found["moments"].items()),
      "",
    ]
  for part, found in results.items():
    for text in found["wrong"] or ["nothing is wrong"]:
      lines += [f"{part.capitalize()}: {text}.", ""]
  return "\n".join(lines[:-1])


def kept(found):
  """MB by which memory grows with a checkpoint, warming up apart."""
  _, first, _, last = found["quarters"]
  saves = (last["steps"] - first["steps"]) / STEPS_PER_SAVE
  return (last["mb"] - first["mb"]) / saves


def where(found):
  """When and with what a part was run."""
  return f"{found['date']}, {found['system']}"


def parse(arguments=None):
  parser = argparse.ArgumentParser(
    prog="python -m tests.long_life", allow_abbrev=False
  )
  parser.add_argument("--steps", type=int, default=200_000)
  parser.add_argument("--kills", type=int, default=200)
  parser.add_argument("--seed", type=int, default=0)
  parser.add_argument("--json", type=pathlib.Path, help="file of the results")
  return parser.parse_args(arguments)


def main(arguments=None):
  chosen = parse(arguments)
  results = {}
  with tempfile.TemporaryDirectory(prefix="sr2_jax_long_life_") as name:
    folder = pathlib.Path(name)
    cache = folder / "cache"
    if chosen.steps:
      found = live_long(folder, cache, chosen.steps)
      results["steps"] = found | circumstances.now()
      keep(chosen.json, results)
      print(table(results), flush=True)
    if chosen.kills:
      dice = random.Random(chosen.seed)
      found = be_killed(folder, cache, chosen.kills, dice)
      results["kills"] = found | circumstances.now()
  keep(chosen.json, results)
  print(table(results))
  return int(any(found["wrong"] for found in results.values()))


def keep(path, results):
  """Adds these results to a file, if there is one."""
  if path is not None:
    path.write_text(json.dumps(recorded(path) | results, indent=1) + "\n")


def recorded(path=RESULTS):
  """The results in a file; none if it is not there."""
  return json.loads(path.read_text()) if path.exists() else {}


if __name__ == "__main__":
  sys.exit(main())
