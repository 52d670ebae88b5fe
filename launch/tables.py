"""What a sweep prints of its runs: before the start, meanwhile and at the end.

All of it comes from the run folders and events.jsonl, without an engine.
"""

import collections
import datetime
from collections.abc import Mapping, Sequence

from launch import attempts, costs, engine, estimate, fill, slices, status
from launch import jobs as jobs_lib
from sr2_jax.buckets import owner as owner_lib


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


def plan(
  plans: Sequence[fill.Plan], slice_: slices.Slice, price: float = 0.0
) -> str:
  """A table of what each run uses of a slice, and what all of them need."""
  rows = [("run", "state", "wave", "devices", "time", "GB")]
  for one in plans:
    rows.append(
      (
        one.job.name,
        status.in_words(one.job),
        str(one.wave),
        one.choice.line,
        _time(one.need),
        f"{one.disk.most / 1e9:.1f}",
      )
    )
  to_go = fill.to_go(plans, slice_)
  chips = sum(one.choice.available for one in plans)
  idle = sum(one.choice.idle for one in plans)
  hosts = "1 host" if slice_.hosts == 1 else f"{slice_.hosts} hosts"
  text = [
    *_aligned(rows),
    "",
    f"Each run gets {slice_.name}: {slice_.chips} chips of {hosts}; "
    f"{100 * idle // chips} % of all chips idle.",
    f"{len(plans)} runs in {max(one.wave for one in plans)} waves; "
    f"{to_go.in_words(price)}.",
    _disk([one.disk for one in plans]),
  ]
  return "\n".join([*text, *filter(None, [fill.advice(plans, slice_)])])


def _disk(disks: Sequence[fill.Disk]) -> str:
  """How much room runs need, and what is left once all are done."""
  kept = [d.with_state if d.keeps_state else d.without_state for d in disks]
  keeps = any(disk.keeps_state for disk in disks)
  other = [d.without_state if keeps else d.with_state for d in disks]
  setting = f"checkpoint.keep_finished={str(not keeps).lower()}"
  most, left, instead = (
    f"{sum(sizes) / 1e9:.1f} GB"
    for sizes in ([disk.most for disk in disks], kept, other)
  )
  return (
    f"About {most} on disk at most, and {left} once all are done; "
    f"{instead} with --set {setting}."
  )


def _time(need: costs.Need) -> str:
  """The time that is left, marked where it is only estimated."""
  if need.seconds is None:
    return "unknown"
  return f"{'~' if need.is_guess else ''}{estimate.duration(need.seconds)}"


def progress(
  jobs: Sequence[jobs_lib.Job],
  speeds: estimate.Speeds,
  tallies: Mapping[str, attempts.Tally],
  *,
  slice_: str = "",
  chips: int = 0,
  price: float = 0.0,
  owners: Mapping[str, owner_lib.Seen] | None = None,
) -> str:
  """The line of a sweep under way, and a table with a line for each run.

  Args:
    jobs: all of the sweep.
    speeds: measured where they run.
    tallies: of runs that have been started.
    slice_: name of what each run gets; "" on this machine.
    chips: of such a slice.
    price: of a chip-hour; 0 is unknown.
    owners: of runs in a bucket, by name.
  """
  now = datetime.datetime.now().astimezone()
  where = "where (emulated)" if slices.is_emulated(slice_) else "where"
  rows = [("run", "state", "step", "starts", "crashes", "time", "left", where)]
  hours = ["chip-hours"]
  needs = costs.needs(jobs, speeds)
  owners = owners or {}
  states = [
    _state(job, tallies.get(job.name), owners.get(job.name)) for job in jobs
  ]
  counts = collections.Counter(state.partition(",")[0] for state in states)
  running = counts["running"] or 1
  # Speeds are those of a slice, or of this machine, which its runs share.
  at_once, sharing = (running, 1) if slice_ else (1, running)
  for job, state, need in zip(jobs, states, needs, strict=True):
    tally = tallies.get(job.name, attempts.Tally())
    place = _owner(owners.get(job.name)) or tally.place
    left = (need.seconds or 0) * (sharing if state == "running" else 1)
    rows.append((job.name, state, _step(job), *_amounts(tally, left, place)))
    is_running = state == "running" and not tally.last
    hours.append(
      costs.amount(costs.used(tally, is_running=is_running, now=now))
    )
  if chips:
    rows = [(*row, spent) for row, spent in zip(rows, hours, strict=True)]
  words = ", ".join(f"{count} {state}" for state, count in counts.items())
  line = f"[{now:%H:%M}] {mark(slice_)}{len(jobs)} runs: {words}; "
  line += estimate.overall(jobs, speeds, at_once=at_once)
  if chips:
    line += f"; {spent_and_to_go(jobs, tallies, needs, chips, price)}"
  return "\n".join([line, "", *_aligned(rows)])


def _state(
  job: jobs_lib.Job,
  tally: attempts.Tally | None,
  owner: owner_lib.Seen | None,
) -> str:
  state = status.in_words(job, is_at_work=bool(owner and owner.is_alive))
  has_failed = tally is not None and tally.last == attempts.End.FAILED
  return "failed" if has_failed and state != "running" else state


def _amounts(
  tally: attempts.Tally, left: float, place: str
) -> tuple[str, str, str, str, str]:
  """Starts, crashes, time, time left and place, with "-" for none."""
  return (
    str(tally.starts or "-"),
    str(tally.crashes or "-"),
    estimate.duration(tally.seconds) if tally.seconds else "-",
    estimate.duration(left) if left else "-",
    place or "-",
  )


def _owner(owner: owner_lib.Seen | None) -> str:
  """Who works on a run in a bucket, or did until nothing was heard of it."""
  if owner is None or owner.is_alive:
    return owner.who if owner else ""
  return f"{owner.who}; silent for {estimate.duration(owner.silent)}"


def mark(slice_: str) -> str:
  """What a line begins with, so that no log is taken for one of real chips."""
  return "emulated: " if slices.is_emulated(slice_) else ""


def spent_and_to_go(
  jobs: Sequence[jobs_lib.Job],
  tallies: Mapping[str, attempts.Tally],
  needs: Sequence[costs.Need],
  chips: int,
  price: float = 0.0,
) -> str:
  """Chip-hours used and to go, as in the line of `progress`."""
  now = datetime.datetime.now(datetime.UTC)
  used = costs.total_used(jobs, tallies, now=now)
  to_go = costs.to_go(needs, chips)
  return f"{costs.used_in_words(used, price)}, {to_go.in_words(price)}"


def _step(job: jobs_lib.Job) -> str:
  """The phase that a run is in, and its step, as in "joint 3/750"."""
  parts, done = status.parts(job), status.steps_done(job)
  for part in reversed(parts or []):
    if done.get(part.phase):
      return f"{part.phase} {done[part.phase]:,}/{part.num_steps:,}"
  return "-"


def summary(
  outcomes: Sequence[engine.Outcome],
  tallies: Mapping[str, attempts.Tally] | None = None,
  *,
  slice_: str = "",
  price: float = 0.0,
) -> str:
  """A table of what became of each run, and why those that failed did.

  Args:
    outcomes: of all runs.
    tallies: of runs that have been started, in all sweeps; of a cluster.
    slice_: name of what each run got; "" on this machine.
    price: of a chip-hour; 0 is unknown.
  """
  spent = {
    name: tally.chip_seconds / 3600 for name, tally in (tallies or {}).items()
  }
  time = "time (emulated)" if slices.is_emulated(slice_) else "time"
  rows = [("run", "state", time, *(["chip-hours"] if slice_ else []))]
  for outcome in outcomes:
    seconds = outcome.seconds
    took = "-" if seconds is None else estimate.duration(seconds)
    row = (outcome.name, outcome.state, took)
    of_run = costs.amount(spent.get(outcome.name, 0.0))
    rows.append((*row, of_run) if slice_ else row)
  last = f"{mark(slice_)}{count(outcomes)}"
  if slice_:
    total = sum(spent.get(outcome.name, 0.0) for outcome in outcomes)
    last += f"; {costs.used_in_words(total, price)}"
  text = ["", *_aligned(rows), "", last]
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
