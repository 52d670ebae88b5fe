"""What a sweep prints of its runs: before the start, meanwhile and at the end.

All of it comes from the run folders and events.jsonl, without an engine.
"""

import collections
import datetime
from collections.abc import Mapping, Sequence

from launch import attempts, engine, estimate, fill, slices, status
from launch import jobs as jobs_lib


def listing(jobs: Sequence[jobs_lib.Job], speeds: estimate.Speeds) -> str:
  """A table of the runs: how far each has come, and its number of steps."""
  if all(job.mode == "eval" for job in jobs):
    states = [
      (job.name, "to be evaluated" if job.folder.is_done else "not finished")
      for job in jobs
    ]
    return "\n".join(_aligned([("run", "state"), *states]))
  lines, is_official = [], False
  for job in jobs:
    parts = status.parts(job)
    steps = "unknown before its images are read"
    if parts is not None:
      mark = "" if status.has_recorded(job) else "~"
      is_official = is_official or bool(mark)
      steps = ", ".join(
        f"{part.phase} {mark}{part.num_steps:,} x {part.num_members}"
        for part in parts
      )
    lines.append((job.name, status.in_words(job), steps))
  text = _aligned([("run", "state", "steps x members"), *lines])
  text.append("")
  if is_official:
    text.append("~ by the official size of the data set; yours may be smaller")
  text.append(f"{len(jobs)} runs: {estimate.overall(jobs, speeds)}.")
  return "\n".join(text)


def plan(plans: Sequence[fill.Plan], slice_: slices.Slice) -> str:
  """A table of what each run uses of a slice, and what all of them need."""
  rows = [("run", "state", "wave", "devices", "time", "GB")]
  for one in plans:
    seconds = one.seconds
    rows.append(
      (
        one.job.name,
        status.in_words(one.job),
        str(one.wave),
        one.choice.line,
        "unknown" if seconds is None else estimate.duration(seconds),
        f"{one.num_bytes / 1e9:.1f}",
      )
    )
  hours, num_unknown = fill.chip_hours(plans, slice_)
  chips = sum(one.choice.available for one in plans)
  idle = sum(one.choice.idle for one in plans)
  hosts = "1 host" if slice_.hosts == 1 else f"{slice_.hosts} hosts"
  needs = f"{hours:.1f} chip-hours to go" if num_unknown < len(plans) else ""
  if num_unknown:
    needs += f"{', and ' if needs else ''}unknown for {num_unknown} runs before"
    needs += " their first steps"
  text = [
    *_aligned(rows),
    "",
    f"Each run gets {slice_.name}: {slice_.chips} chips of {hosts}; "
    f"{100 * idle // chips} % of all chips idle.",
    f"{len(plans)} runs in {max(one.wave for one in plans)} waves; {needs};"
    f" about {sum(one.num_bytes for one in plans) / 1e9:.0f} GB on disk.",
  ]
  return "\n".join([*text, *filter(None, [fill.advice(plans, slice_)])])


def progress(
  jobs: Sequence[jobs_lib.Job],
  speeds: estimate.Speeds,
  tallies: Mapping[str, attempts.Tally],
) -> str:
  """The line of a sweep under way, and a table with a line for each run."""
  rows = [("run", "state", "step", "starts", "crashes", "time", "where")]
  counts: collections.Counter[str] = collections.Counter()
  for job in jobs:
    tally = tallies.get(job.name, attempts.Tally())
    state = status.in_words(job)
    if tally.last == attempts.End.FAILED and not job.folder.is_claimed:
      state = "failed"
    counts[state.partition(",")[0]] += 1
    rows.append(
      (
        job.name,
        state,
        _step(job),
        str(tally.starts or "-"),
        str(tally.crashes or "-"),
        estimate.duration(tally.seconds) if tally.seconds else "-",
        tally.place or "-",
      )
    )
  words = ", ".join(f"{count} {state}" for state, count in counts.items())
  now = datetime.datetime.now().astimezone().strftime("%H:%M")
  overall = estimate.overall(jobs, speeds)
  return "\n".join(
    [f"[{now}] {len(jobs)} runs: {words}; {overall}", "", *_aligned(rows)]
  )


def _step(job: jobs_lib.Job) -> str:
  """The phase that a run is in, and its step, as in "joint 3/750"."""
  parts, done = status.parts(job), status.steps_done(job)
  for part in reversed(parts or []):
    if done.get(part.phase):
      return f"{part.phase} {done[part.phase]:,}/{part.num_steps:,}"
  return "-"


def summary(outcomes: Sequence[engine.Outcome]) -> str:
  """A table of what became of each run, and why those that failed did."""
  rows = [("run", "state", "time")]
  for outcome in outcomes:
    seconds = outcome.seconds
    time = "-" if seconds is None else estimate.duration(seconds)
    rows.append((outcome.name, outcome.state, time))
  text = ["", *_aligned(rows), "", count(outcomes)]
  for outcome in outcomes:
    if outcome.reason:
      text += ["", f"{outcome.name} {outcome.state}:"]
      text += [f"  {line}" for line in outcome.reason.splitlines()]
  return "\n".join(text)


def count(outcomes: Sequence[engine.Outcome]) -> str:
  """How many have finished: "3/4 runs finished"."""
  num_good = sum(outcome.is_good for outcome in outcomes)
  return f"{num_good}/{len(outcomes)} runs finished"


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
  widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
  return ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
