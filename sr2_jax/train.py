"""A run from start to finish: train, resume, evaluate, store, show."""

import collections
import contextlib
import dataclasses
import functools
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from sr2_jax import errors, messages, output, parallel
from sr2_jax.config import derived
from sr2_jax.evaluation import evaluate, methods
from sr2_jax.records import metrics_log
from sr2_jax.records import rows as rows_lib
from sr2_jax.training import best as best_lib
from sr2_jax.training import checkpoint, feed, steps
from sr2_jax.training import phase as phase_lib
from sr2_jax.training import progress as progress_lib
from sr2_jax.training import run as run_lib

# How many calls the host may run ahead of the devices.
_CALLS_AHEAD = 2


def train_and_evaluate(config: Any, workdir: str | pathlib.Path) -> None:
  """Trains and evaluates every phase of a config; resumes a stopped run.

  Args:
    config: validated.
    workdir: the run folder; a second call on it resumes the run.

  Raises:
    UserError: if the folder, the data or the devices do not fit the config.
    DivergedError: if a loss is not finite.
    Stopped: after a signal, once the step is saved.
  """
  with run_lib.open_run(config, workdir) as run:
    if run is None:
      return
    open_checkpoints = {
      name: checkpoint.Checkpoints(
        run.folder.checkpoints(name), keep=config.checkpoint.keep
      )
      for name in derived.phases(config)
    }
    start = where_to_start(run, open_checkpoints)
    metric_writer = metrics_log.Writer(
      run.folder.path,
      tensorboard=config.log.tensorboard,
      active=parallel.is_main_process(),
    )
    metric_writer.truncate(start.phase.name, start.step)
    names = list(open_checkpoints)
    with run.stop.listening():
      state, first_step = start.state, start.step
      for name in names[names.index(start.phase.name) :]:
        phase = run.phase(name)
        if name != start.phase.name:
          messages.say(f"preparing {name}")
          before = run.phase("pretrain").population
          state, first_step = phase.start_from(state, before), 0
        state = train_phase(
          run,
          phase,
          state,
          first_step=first_step,
          checkpoints=open_checkpoints[name],
          metric_writer=metric_writer,
        )
        _finish_phase(
          run,
          phase,
          state,
          with_untrained=name == names[0],
          metric_writer=metric_writer,
        )
      evaluate.stop_if_asked(run)
    for checkpoints in open_checkpoints.values():
      checkpoints.close()
    metric_writer.close()
    if parallel.is_main_process():
      output.show(run, rows_lib.read(run.folder.path))
      run.folder.set_done()


def evaluate_checkpoint(config: Any, workdir: str | pathlib.Path) -> None:
  """Evaluates a run's checkpoints again; merges the rows into results.jsonl.

  `eval.checkpoint` chooses the last or the best checkpoint of each phase. It
  may differ from the run's own config, and so may the noise variances,
  corruptions and splits. Each row has the step of its weights, so rows of the
  best weights do not replace those of the last.

  Raises:
    UserError: if there is no checkpoint, or all are damaged.
  """
  with run_lib.open_run(config, workdir, evaluate_only=True) as run:
    assert run is not None
    rows: list[rows_lib.Row] = []
    for name in derived.phases(config):
      phase = run.phase(name)
      restored = restore_for_evaluation(run, phase, config.eval.checkpoint)
      if restored is not None:
        variables, steps_done = restored
        output.store_weights(
          run, phase, config.eval.checkpoint, variables, steps_done
        )
        rows += _evaluate_and_store(
          run, phase, variables, steps_done, with_untrained=not rows
        )
    if not rows:
      raise errors.UserError(
        f"{run.folder.path} has no {config.eval.checkpoint} checkpoint.\n"
        "Train first: the same command without --mode=eval."
      )
    if parallel.is_main_process():
      output.show(run, rows, checkpoint=config.eval.checkpoint)


@dataclasses.dataclass(frozen=True)
class Start:
  """Where a run begins or resumes: phase, steps done in it, and its state."""

  phase: phase_lib.Phase
  step: int
  state: steps.TrainState


def where_to_start(
  run: run_lib.Run, checkpoints: dict[str, checkpoint.Checkpoints]
) -> Start:
  """The start of a run: the first of these that exists.

  1. The newest good checkpoint of the last phase that has one. (If that phase
     has ended, it is only evaluated, and its weights start the next phase.)
  2. `init_from`: joint training, from the pretrained weights of another run.
  3. The first phase, initialized from the seeds.
  """
  messages.say("preparing the networks")  # Tracing them takes seconds.
  for name in reversed(checkpoints):
    phase = run.phase(name)
    newest = checkpoints[name].restore_latest(phase.abstract_state())
    if newest is not None:
      step, state = newest
      messages.say(f"resuming {name} at step {step:,} of {phase.num_steps:,}")
      return Start(phase, step, state)

  phase = run.phase(next(iter(checkpoints)))
  if run.config.init_from:
    pretrained, members = run_lib.pretrained_state(run)
    messages.say(f"starting from the weights of {run.config.init_from}")
    return Start(phase, 0, phase.start_from(pretrained, members))
  return Start(phase, 0, phase.create_state())


def train_phase(
  run: run_lib.Run,
  phase: phase_lib.Phase,
  state: steps.TrainState,
  *,
  first_step: int,
  checkpoints: checkpoint.Checkpoints,
  metric_writer: metrics_log.Writer,
) -> steps.TrainState:
  """The state at the end of a phase, as NumPy arrays.

  Args:
    run: configuration, images, devices and folder.
    phase: what to train.
    state: NumPy arrays, after `first_step` steps.
    first_step: steps already done.
    checkpoints: where the states of this phase are saved.
    metric_writer: writes the log lines of metrics.jsonl.

  Raises:
    DivergedError: if a loss is not finite.
    Stopped: after a signal, once the step is saved.
  """
  config, layout = run.config, run.layout
  if first_step == phase.num_steps:
    return state
  split = run.dataset.train
  how = feed.plan(
    config, layout, images=split.images, num_members=phase.population.size
  )
  train_steps = phase_lib.train_steps(
    phase, config, layout, steps_per_call=how.steps_per_call
  )
  validate = evaluate.validation(run, phase)
  best = best_lib.Best(
    run.folder.checkpoints(phase.name, "best"),
    phase.abstract_state().variables,
  )
  progress = progress_lib.Progress(
    phase.name,
    first_step=first_step,
    num_steps=phase.num_steps,
    images_per_step=config.batch_size * phase.population.size,
    active=parallel.is_main_process(),
  )
  pending: collections.deque[tuple[range, Any]] = collections.deque()
  on_devices = layout.put_members(state)

  def settle(calls_ahead: int) -> None:
    """Waits for all but the last few calls, and writes their log lines."""
    while len(pending) > calls_ahead:
      call, metrics = pending.popleft()
      values = layout.fetch_members(metrics)
      rows = _train_rows(phase, call, values, every=config.log.every_steps)
      if rows:
        checkpoints.check()
      metric_writer.write(rows)
      _check_finite(phase, call, values["loss"])
      last_loss = values["loss"][:, len(call) - 1]
      progress.update(call.stop, float(last_loss.mean()))
      if rows and progress.images_per_second:
        metric_writer.throughput(
          phase.name, call.stop, progress.images_per_second
        )

  calls = feed.calls(phase, config, layout, split, first_step=first_step)
  with progress, contextlib.closing(calls):
    for call, inputs in calls:
      on_devices, metrics = train_steps(on_devices, *inputs)
      pending.append((call, metrics))
      settle(_CALLS_AHEAD)

      done = call.stop
      is_end = done == phase.num_steps
      epochs, steps_left = divmod(done, phase.steps_per_epoch)
      signal_number = run.stop.after_step()
      if is_end or (steps_left == 0 and epochs % config.eval.every_epochs == 0):
        settle(0)
        with progress.paused():
          values = validate(on_devices)
        metric_writer.write(_rows("validation", phase, done, values))
        best.update(
          done,
          values["loss"],
          functools.partial(layout.fetch_members, on_devices.variables),
        )
      if (
        is_end
        or signal_number is not None
        or done % config.checkpoint.every_steps == 0
      ):
        settle(0)
        metric_writer.sync()
        with progress.paused():
          # A run that resumes here does not repeat this validation, so its
          # best weights must be on disk first.
          best.wait()
          state = layout.fetch_members(on_devices)
          checkpoints.save(done, state)
      if signal_number is not None and not is_end:
        checkpoints.wait()
        best.close()
        metric_writer.close()
        raise errors.Stopped(
          signal_number,
          f"stopped: {phase.name} is saved at step {done:,} of "
          f"{phase.num_steps:,}; run the same command to continue.",
        )
  checkpoints.wait()
  best.close()
  return state


def restore_for_evaluation(
  run: run_lib.Run, phase: phase_lib.Phase, kind: str
) -> tuple[Any, list[int]] | None:
  """The "last" or "best" weights and each member's steps; None if missing."""
  folder = run.folder.checkpoints(phase.name, kind)
  if not folder.is_dir():
    return None
  saved = checkpoint.Checkpoints(folder, read_only=True)
  if kind == "best":
    wanted = best_lib.abstract_state(phase.abstract_state().variables)
    newest = saved.restore_latest(wanted, required=False)
    if newest is None:
      if saved.steps:
        raise errors.UserError(
          f"no good checkpoint is left in {folder}.\n"
          "Restore the folder from a copy, or evaluate the last weights: "
          "--config.eval.checkpoint=last."
        )
      return None
    return newest[1]["variables"], newest[1]["step"].tolist()
  newest = saved.restore_latest(phase.abstract_state())
  if newest is None:
    return None
  step, state = newest
  return state.variables, [step] * phase.population.size


def _finish_phase(
  run: run_lib.Run,
  phase: phase_lib.Phase,
  state: steps.TrainState,
  *,
  with_untrained: bool,
  metric_writer: metrics_log.Writer,
) -> None:
  """Stores the weights of a phase that has ended, and evaluates its state."""
  steps_done = [phase.num_steps] * phase.population.size
  output.store_weights(run, phase, "last", state.variables, steps_done)
  try:
    best = restore_for_evaluation(run, phase, "best")
  except errors.UserError as error:
    messages.say(f"the best weights are lost: {error}")
  else:
    if best is not None:
      output.store_weights(run, phase, "best", *best)
  _evaluate_and_store(
    run,
    phase,
    state.variables,
    steps_done,
    with_untrained=with_untrained,
    metric_writer=metric_writer,
  )


def _evaluate_and_store(
  run: run_lib.Run,
  phase: phase_lib.Phase,
  variables: Any,
  steps_done: Sequence[int],
  *,
  with_untrained: bool,
  metric_writer: metrics_log.Writer | None = None,
) -> list[rows_lib.Row]:
  """Rows of a phase's networks and, on request, of the untrained methods.

  Args:
    run: configuration, images, devices and folder.
    phase: what trained the networks.
    variables: of its population, NumPy arrays [M, ...].
    steps_done: training steps of each member.
    with_untrained: evaluate bicubic and the released SRMD as well.
    metric_writer: shows examples in TensorBoard.
  """
  evaluated = methods.of_phase(run, phase, variables, steps_done=steps_done)
  others = methods.untrained(run) if with_untrained else []
  rows: list[rows_lib.Row] = []
  for method in (*others, evaluated):
    evaluation = evaluate.evaluate(run, method)
    output.store(run, evaluation, metric_writer)
    rows += evaluation.rows
  return rows


def _train_rows(
  phase: phase_lib.Phase,
  call: range,
  values: dict[str, np.ndarray],
  *,
  every: int,
) -> list[dict[str, Any]]:
  """Log lines of a call: every `every` steps and at the phase's end.

  They stop before the first step with a loss that is not finite, as the run
  does.
  """
  finite = np.isfinite(values["loss"][:, : len(call)]).all(axis=0)
  num_finite = len(call) if finite.all() else int(finite.argmin())
  return [
    row
    for index, step in enumerate(call[:num_finite])
    if (step + 1) % every == 0 or step + 1 == phase.num_steps
    for row in _rows(
      "train",
      phase,
      step + 1,
      {name: value[:, index] for name, value in values.items()},
    )
  ]


def _rows(
  kind: str, phase: phase_lib.Phase, step: int, values: dict[str, np.ndarray]
) -> list[dict[str, Any]]:
  """One line of metrics.jsonl for each member."""
  return [
    {
      "kind": kind,
      "phase": phase.name,
      "step": step,
      **dataclasses.asdict(member),
      **{name: float(value[place]) for name, value in values.items()},
    }
    for place, member in enumerate(phase.population.members)
  ]


def _check_finite(
  phase: phase_lib.Phase, call: range, loss: np.ndarray
) -> None:
  """Raises DivergedError unless all losses [M, K] of a call are finite."""
  bad = ~np.isfinite(loss[:, : len(call)])
  if bad.any():
    index = int(bad.any(axis=0).argmax())
    members = np.flatnonzero(bad[:, index])
    seeds = sorted({phase.population.seeds[member] for member in members})
    raise errors.DivergedError(
      f"The loss is not finite at step {call[index] + 1:,} of {phase.name}, "
      f"seed {', '.join(map(str, seeds))}.\n"
      f"Lower config.{phase.name}.learning_rate, or leave the seed out."
    )
