"""A run from start to finish: train, resume, evaluate, store, show."""

import collections
import contextlib
import functools
import itertools
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from sr2_jax import errors, memory, messages, output, parallel
from sr2_jax.config import derived
from sr2_jax.evaluation import evaluate, methods, phase_evaluation
from sr2_jax.records import metrics_log
from sr2_jax.records import rows as rows_lib
from sr2_jax.training import best as best_lib
from sr2_jax.training import (
  checkpoint,
  divergence,
  feed,
  footprint,
  log_lines,
  mirroring,
  steps,
  stored,
)
from sr2_jax.training import phase as phase_lib
from sr2_jax.training import progress as progress_lib
from sr2_jax.training import run as run_lib
from sr2_jax.training import start as start_lib
from sr2_jax.training import trace as trace_lib

# How many calls the host may run ahead of the devices.
_CALLS_AHEAD = 2


def train_and_evaluate(config: Any, workdir: str | pathlib.Path) -> None:
  """Trains and evaluates every phase of a config; resumes a stopped run.

  Args:
    config: validated.
    workdir: the run folder, a path or a URL of a bucket; a second call on it
      resumes the run.

  Raises:
    UserError: if the folder, the data or the devices do not fit the config.
    DivergedError: if members diverged, at the end or when none is left.
    Stopped: after a signal, once the step is saved.
  """
  with run_lib.open_run(config, workdir) as run:
    if run is None:
      divergence.check_done(mirroring.folder_of(workdir))
      return
    stored.check_can_go_on(run.folder)
    open_checkpoints = {
      name: checkpoint.Checkpoints(
        run.folder.checkpoints(name), keep=config.checkpoint.keep
      )
      for name in derived.phases(config)
    }
    start = start_lib.where_to_start(run, open_checkpoints)
    metric_writer = metrics_log.Writer(
      run.folder.path,
      tensorboard=config.log.tensorboard,
      active=parallel.is_main_process(),
    )
    divergences = start_lib.take_up(run, start, metric_writer)
    names = list(open_checkpoints)
    with run.stop.listening():
      state = start.state
      for name in names[names.index(start.phase.name) :]:
        if name != start.phase.name:
          start = start_lib.of_next_phase(run, name, state)
        evaluation = phase_evaluation.PhaseEvaluation(run, start.phase)
        state = train_phase(
          run,
          start,
          evaluation,
          checkpoints=open_checkpoints[name],
          metric_writer=metric_writer,
          divergences=divergences,
        )
        _finish_phase(
          run,
          evaluation,
          state,
          metric_writer=metric_writer,
          divergences=divergences,
        )
      evaluate.stop_if_asked(run)
    for checkpoints in open_checkpoints.values():
      checkpoints.close()
    metric_writer.close()
    _finish(run, divergences.lines_of_done(start.phase))
    divergences.check_all_alive(start.phase)


def evaluate_checkpoint(config: Any, workdir: str | pathlib.Path) -> None:
  """Evaluates a run's checkpoints again; merges the rows into results.jsonl.

  `eval.checkpoint` chooses the last or the best checkpoint of each phase. It
  may differ from the run's own config, and so may the noise variances,
  corruptions, splits and BatchNorm's statistics. Each row has the step of its
  weights, so rows of the best weights do not replace those of the last.

  Raises:
    UserError: if there is no checkpoint, or all are damaged.
    DivergedError: if all members of a phase diverged.
  """
  with run_lib.open_run(config, workdir, evaluate_only=True) as run:
    assert run is not None
    rows: list[rows_lib.Row] = []
    divergences = divergence.Divergences(divergence.on_record(run.folder.path))
    for name in derived.phases(config):
      phase = run.phase(name)
      restored = stored.weights(run.folder, phase, config.eval.checkpoint)
      if restored is not None:
        rows += _store_and_evaluate(
          run,
          phase_evaluation.PhaseEvaluation(run, phase),
          config.eval.checkpoint,
          restored,
          divergences,
          with_untrained=not rows,
        )
    if not rows:
      raise errors.UserError(
        f"{run.folder.path} has no {config.eval.checkpoint} checkpoint.\n"
        "Train first: the same command without --mode=eval."
      )
    if parallel.is_main_process():
      output.show(run, rows, checkpoint=config.eval.checkpoint)


def train_phase(
  run: run_lib.Run,
  start: start_lib.Start,
  evaluation: phase_evaluation.PhaseEvaluation,
  *,
  checkpoints: checkpoint.Checkpoints,
  metric_writer: metrics_log.Writer,
  divergences: divergence.Divergences,
) -> steps.TrainState:
  """The state at the end of a phase, as NumPy arrays.

  Args:
    run: configuration, images, devices and folder.
    start: the phase, the steps already done in it, and the state after them.
    evaluation: of the phase.
    checkpoints: where the states of this phase are saved.
    metric_writer: writes the log lines of metrics.jsonl.
    divergences: of the run; members that diverge here are added.

  Raises:
    DivergedError: if no member is left, once the state is saved; at once with
      `stop_on_divergence`.
    Stopped: after a signal, once the step is saved.
  """
  phase, first_step, state = start.phase, start.step, start.state
  config, layout = run.config, run.layout.of(phase.population.size)
  metric_writer.timing.begin(phase.name)
  divergences.check_any_alive(phase)
  if first_step == phase.num_steps:
    return state
  split = run.dataset.train
  how = feed.plan(
    config, layout, images=split.images, num_members=phase.population.size
  )
  train_steps = phase_lib.train_steps(
    phase,
    config,
    layout,
    steps_per_call=how.steps_per_call,
    check=footprint.step_check(run, phase),
  )
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
  on_devices = layout.put_members(
    steps.Running(state, divergences.alive(phase))
  )

  if footprint.evaluation_may_be_short(run, phase.name):
    messages.say("compiling the evaluation first, which needs much memory")
    evaluation.rehearse(state.variables)

  def settle(calls_ahead: int) -> None:
    """Waits for all but the last few calls, and writes their log lines."""
    while len(pending) > calls_ahead:
      call, metrics = pending.popleft()
      values = layout.fetch_members(metrics)
      alive = values.pop(steps.ALIVE)
      rows = log_lines.of_call(
        phase,
        call,
        values,
        before=divergences.alive(phase),
        after=alive,
        every=config.log.every_steps,
      )
      if rows:
        checkpoints.check()
        run.place.check()
      metric_writer.write(rows)
      for index, step in enumerate(call):
        divergences.add(phase, step + 1, alive[:, index])
      last = len(call) - 1
      if alive[:, last].any():
        last_loss = values["loss"][alive[:, last], last]
        progress.update(call.stop, float(last_loss.mean()))
      if rows and progress.images_per_second:
        metric_writer.throughput(
          phase.name, call.stop, progress.images_per_second
        )

  calls = feed.calls(phase, config, layout, split, first_step=first_step)
  trace = trace_lib.Trace(run, start)
  with progress, contextlib.closing(calls), contextlib.closing(trace):
    for call, inputs in calls:
      trace.before(call, on_devices)
      on_devices, metrics = train_steps(on_devices, *inputs)
      trace.after(call, on_devices)
      pending.append((call, metrics))

      done = call.stop
      is_end = done == phase.num_steps
      epochs, steps_left = divmod(done, phase.steps_per_epoch)
      signal_number = run.stop.after_step()
      validates = is_end or (
        steps_left == 0 and epochs % config.eval.every_epochs == 0
      )
      saves = (
        is_end
        or signal_number is not None
        or done % config.checkpoint.every_steps == 0
      )
      evaluates = (
        not is_end and steps_left == 0 and epochs in config.eval.epochs
      )
      settle(0 if validates or evaluates or saves else _CALLS_AHEAD)
      before = divergences.alive(phase)
      if validates and before.any():
        with progress.paused(), metric_writer.timing.timed("validation", done):
          values = evaluation.validate(on_devices.state)
        alive = before & np.isfinite(values["loss"])
        metric_writer.write(
          log_lines.of_step(
            "validation", phase, done, values, shown=before, alive=alive
          )
        )
        if (alive != before).any():
          divergences.add(phase, done, alive)
          on_devices = on_devices.replace(alive=layout.put_members(alive))
        best.update(
          done,
          np.where(alive, values["loss"], np.inf),
          functools.partial(layout.fetch_members, on_devices.state.variables),
        )
      none_left = not divergences.alive(phase).any()
      if evaluates and not none_left:
        with progress.paused(), metric_writer.timing.timed("evaluation", done):
          rows = evaluation.rows_while_training(
            layout.fetch_members(on_devices.state.variables),
            done,
            places=np.flatnonzero(divergences.alive(phase)).tolist(),
          )
          output.store_rows(run, rows)
        run.place.request()
      if none_left:
        # Their state has not changed since the last of them diverged.
        done = divergences.last_step(phase)
      if saves or none_left:
        metric_writer.sync()
        with progress.paused():
          # A run that resumes here does not repeat this validation, so its
          # best weights must be on disk first.
          best.wait()
          state = layout.fetch_members(on_devices.state)
          checkpoints.save(done, state, start_lib.logs(run, metric_writer))
          memory.give_back_freed()
        run.place.request(checkpoints.is_saving)
      if none_left:
        checkpoints.wait()
        divergences.check_any_alive(phase)
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
  run.place.share()
  return state


def _finish(run: run_lib.Run, members: bytes) -> None:
  """Shows what a run has come to, and marks it as done."""
  keeps_states = run.config.checkpoint.keep_finished
  if not keeps_states:
    phases = map(run.phase, derived.phases(run.config))
    stored.keep_final(run.folder, phases)
  if parallel.is_main_process():
    output.show(run, rows_lib.read(run.folder.path))
    run.folder.set_done(members)
  if not keeps_states:
    stored.drop_states(run.folder)


def _finish_phase(
  run: run_lib.Run,
  evaluation: phase_evaluation.PhaseEvaluation,
  state: steps.TrainState,
  *,
  metric_writer: metrics_log.Writer,
  divergences: divergence.Divergences,
) -> None:
  """Stores the weights of a phase that has ended, and evaluates its state."""
  phase = evaluation.phase
  try:
    best = stored.weights(run.folder, phase, "best")
    if best is not None:
      _store_weights(run, evaluation, "best", best, divergences)
  except (errors.UserError, errors.DivergedError) as error:
    messages.say(f"the best weights are lost: {error}")
  with metric_writer.timing.timed("evaluation", phase.num_steps):
    _store_and_evaluate(
      run,
      evaluation,
      "last",
      (state.variables, [phase.num_steps] * phase.population.size),
      divergences,
      with_untrained=phase.name == derived.phases(run.config)[0],
      metric_writer=metric_writer,
    )
  metric_writer.timing.write("end", phase.num_steps)
  run.place.request()


def _store_weights(
  run: run_lib.Run,
  evaluation: phase_evaluation.PhaseEvaluation,
  kind: str,
  restored: tuple[Any, Sequence[int]],
  divergences: divergence.Divergences,
) -> tuple[phase_evaluation.OfKinds, tuple[int, ...]]:
  """Weights with each kind of statistics, and places of usable members."""
  variables, steps_done = restored
  places = divergences.usable(evaluation.phase, kind, variables)
  of_kinds = evaluation.with_statistics(variables)
  output.store_weights(
    run, evaluation.phase, kind, of_kinds, steps_done, places=places
  )
  return of_kinds, places


def _store_and_evaluate(
  run: run_lib.Run,
  evaluation: phase_evaluation.PhaseEvaluation,
  kind: str,
  restored: tuple[Any, Sequence[int]],
  divergences: divergence.Divergences,
  *,
  with_untrained: bool,
  metric_writer: metrics_log.Writer | None = None,
) -> list[rows_lib.Row]:
  """Rows of a phase's networks and, on request, of the untrained methods.

  Their weights, rows, arrays and pictures are in the run folder then.

  Args:
    run: configuration, images, devices and folder.
    evaluation: of the phase that trained the networks.
    kind: "last" or "best".
    restored: weights of its population, NumPy arrays [M, ...], and training
      steps of each member.
    divergences: of the run; those members are left out.
    with_untrained: evaluate bicubic and the released SRMD as well.
    metric_writer: shows examples in TensorBoard.
  """
  of_kinds, places = _store_weights(
    run, evaluation, kind, restored, divergences
  )
  others = methods.untrained(run) if with_untrained else []
  rows: list[rows_lib.Row] = []
  for evaluated in itertools.chain(
    (evaluate.evaluate(run, method) for method in others),
    evaluation.evaluations(of_kinds, restored[1], places=places),
  ):
    output.store(run, evaluated, metric_writer)
    rows += evaluated.rows
  return rows
