"""Where a run begins or resumes, and what has diverged by then."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from sr2_jax import agreement, messages, parallel
from sr2_jax.buckets import address
from sr2_jax.records import divergence as records
from sr2_jax.records import metrics_log
from sr2_jax.records import rows as rows_lib
from sr2_jax.training import (
  checkpoint,
  divergence,
  fine_tuning,
  log_lines,
  lost,
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
    restored: whether it is a checkpoint of this run.
  """

  phase: phase_lib.Phase
  step: int
  state: steps.TrainState
  inherited: Sequence[records.Divergence] = ()
  logs: Mapping[str, Any] | None = None
  restored: bool = False


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
      logs = checkpoints[name].logs(step)
      return Start(phase, step, state, logs=logs, restored=True)

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
  if parallel.is_main_process():
    lost.tell_checkpoints(run, phase, step, restored=start.restored)
  metric_writer.truncate(phase.name, step)
  if start.logs and parallel.is_main_process():
    lost.tell_lines(run, start.logs, metric_writer)
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
    rows_lib.FILE_NAME: {"rows": lost.num_rows(run)},
    "files": run.folder.written(),
  }
