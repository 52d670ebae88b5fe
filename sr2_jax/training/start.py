"""Where a run begins or resumes, and what has diverged by then."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from sr2_jax import agreement, messages, parallel, paths
from sr2_jax.buckets import address
from sr2_jax.records import divergence as records
from sr2_jax.records import metrics_log, row_files
from sr2_jax.records import rows as rows_lib
from sr2_jax.training import (
  checkpoint,
  divergence,
  fine_tuning,
  log_lines,
  population,
  steps,
)
from sr2_jax.training import phase as phase_lib
from sr2_jax.training import run as run_lib


@dataclasses.dataclass(frozen=True)
class Start:
  """Where a run begins or resumes.

  Attributes:
    phase: the phase.
    step: steps done in it.
    state: after that step.
    inherited: what diverged in the pretraining that `init_from` names.
    logs: what the run's logs held at that step; None if unknown.
  """

  phase: phase_lib.Phase
  step: int
  state: steps.TrainState
  inherited: Sequence[records.Divergence] = ()
  logs: Mapping[str, Any] | None = None


def where_to_start(
  run: run_lib.Run, checkpoints: Mapping[str, checkpoint.Checkpoints]
) -> Start:
  """The start of a run: the first of these that exists.

  1. The newest good checkpoint of the last phase that has one. (If that phase
     has ended, it is only evaluated, and its weights start the next phase.)
  2. `init_from`: joint training, from the pretrained weights of another run;
     or, with `fine_tune`, the first phase, from any network's weights.
  3. The first phase, initialized from the seeds.
  """
  messages.say("preparing the networks")  # Tracing them takes seconds.
  phases = {name: run.phase(name) for name in checkpoints}
  for name, phase in reversed(phases.items()):
    newest = checkpoints[name].restore_latest(phase.abstract_state)
    if newest is not None:
      step, state = newest
      messages.say(f"resuming {name} at step {step:,} of {phase.num_steps:,}")
      return Start(phase, step, state, logs=checkpoints[name].logs(step))

  phase = next(iter(phases.values()))
  if run.config.fine_tune:
    messages.say(f"fine-tuning {run.config.init_from}")
    state = _tuned(run, phase, phase.create_state(), takes_trunk=True)
    return Start(phase, 0, state)
  if run.config.init_from:
    pretrained, members = run_lib.pretrained_state(run)
    # No process has to share that folder with the others.
    agreement.on_data(
      f"the weights in {run.config.init_from}",
      population.fingerprint(pretrained),
    )
    messages.say(f"starting from the weights of {run.config.init_from}")
    inherited = divergence.of_pretraining(
      address.local(run.config.init_from), members, phase
    )
    return Start(phase, 0, phase.start_from(pretrained, members), inherited)
  return Start(phase, 0, phase.create_state())


def of_next_phase(
  run: run_lib.Run, name: str, state: steps.TrainState
) -> Start:
  """The start of `joint` from the end of this run's own `pretrain`."""
  if run.config.fine_tune and parallel.is_main_process():
    fine_tuning.check_same(run.config, run.folder.read() or {})
  messages.say(f"preparing {name}")
  phase = run.phase(name)
  before = run.phase("pretrain").population
  state = phase.start_from(state, before)
  if run.config.fine_tune:
    state = _tuned(run, phase, state, takes_trunk=False)
  return Start(phase, 0, state)


def _tuned(
  run: run_lib.Run,
  phase: phase_lib.Phase,
  state: steps.TrainState,
  *,
  takes_trunk: bool,
) -> steps.TrainState:
  """A phase's initial state with the weights of the network in `init_from`."""
  source = fine_tuning.read(run.config, channels=run.image_shape[2])
  # No process has to share that folder with the others.
  agreement.on_data(
    f"the weights in {run.config.init_from}",
    population.fingerprint(source.variables),
  )
  return fine_tuning.started(
    source,
    phase,
    state,
    class_names=run.dataset.class_names,
    takes_trunk=takes_trunk,
  )


def take_up(
  run: run_lib.Run, start: Start, metric_writer: metrics_log.Writer
) -> divergence.Divergences:
  """What has diverged by the start of a run; its log is cut back to there.

  Adds a line to metrics.jsonl for what that file does not tell: members that
  another run's pretraining has lost, and states restored that are not finite,
  as an older version may have saved them.

  Args:
    run: configuration and folder.
    start: where it begins.
    metric_writer: writes metrics.jsonl; nothing has been written by it.

  Raises:
    DivergedError: if there is any, and `stop_on_divergence` says so.
  """
  phase, step = start.phase, start.step
  metric_writer.truncate(phase.name, step)
  if start.logs and parallel.is_main_process():
    _tell_losses(run, start.logs, metric_writer)
  known = divergence.on_record(run.folder.path, until=(phase.name, step))
  new = [x for x in start.inherited if x not in known]
  metric_writer.write([log_lines.of_divergence(x) for x in new])
  found = divergence.Divergences(
    (*known, *new), stop_at_once=run.config.stop_on_divergence
  )
  finite = population.are_finite(start.state)
  metric_writer.write(
    log_lines.of_step(
      "train", phase, step, {}, shown=found.alive(phase) & ~finite, alive=finite
    )
  )
  found.add(phase, step, finite)
  return found


def logs(run: run_lib.Run, metric_writer: metrics_log.Writer) -> dict[str, Any]:
  """What the logs of a run hold now, for the checkpoint of this step."""
  return {
    metrics_log.FILE_NAME: metric_writer.held,
    rows_lib.FILE_NAME: {"rows": _num_rows(run)},
    "files": run.folder.written(),
  }


def _num_rows(run: run_lib.Run) -> int:
  return row_files.count(run.folder.path / rows_lib.FILE_NAME)


def _tell_losses(
  run: run_lib.Run,
  logs: Mapping[str, Any],
  metric_writer: metrics_log.Writer,
) -> None:
  """Says what a run folder has lost since a checkpoint, and records it.

  The state is whole, so the run goes on: nothing else would bring it back.
  """
  lost = []
  if problem := metric_writer.make_up(logs[metrics_log.FILE_NAME]):
    lost.append(f"{metrics_log.FILE_NAME}: {problem}")
  before, found = logs[rows_lib.FILE_NAME]["rows"], _num_rows(run)
  if found < before:
    lost.append(
      f"{rows_lib.FILE_NAME}: {before - found:,} of {before:,} rows are gone"
    )
  if gone := sorted({*logs["files"]} - {*run.folder.written()}):
    lost.append(f"{paths.listed(gone)}: gone")
  if not lost:
    return
  messages.say(
    f"note: {run.folder.path} has changed since this step was saved: "
    f"{'; '.join(lost)}.\nOnce the run is done, --mode=eval writes again what "
    "belongs to the end of each phase."
  )
  recorded = run.folder.read()
  if recorded is not None:
    later = [*recorded.get("later", []), {"mode": "train", "lost": lost}]
    run.folder.record({**recorded, "later": later})
