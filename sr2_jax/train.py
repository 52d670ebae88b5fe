"""A run from start to finish: train, resume, evaluate, report."""

import collections
import dataclasses
import functools
import pathlib
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from sr2_jax import (
  checkpoint,
  errors,
  evaluate,
  parallel,
  results,
  rng,
  steps,
  writer,
)
from sr2_jax import config as config_lib
from sr2_jax import phase as phase_lib
from sr2_jax import run as run_lib

# Training steps that the host may be ahead of the devices.
_STEPS_AHEAD = 2


def train_and_evaluate(config: Any, workdir: str | pathlib.Path) -> None:
  """Trains and evaluates every phase of a config, or goes on where it stopped.

  Args:
    config: validated.
    workdir: the run folder; the same call on it again resumes.

  Raises:
    UserError: if the folder, the data or the devices do not fit the config.
    DivergedError: if a loss is not finite.
    Stopped: after a signal, with the step saved.
  """
  with run_lib.open_run(config, workdir) as run:
    if run is None:
      return
    open_checkpoints = {
      name: checkpoint.Checkpoints(
        run.folder.checkpoints(name), keep=config.checkpoint.keep
      )
      for name in config_lib.phases(config)
    }
    start = where_to_start(run, open_checkpoints)
    metric_writer = writer.Writer(
      run.folder.path,
      tensorboard=config.log.tensorboard,
      active=parallel.is_main_process(),
    )
    metric_writer.truncate(start.phase.name, start.step)
    names = list(open_checkpoints)
    with run.stop.listening():
      state = start.state
      for name in names[names.index(start.phase.name) :]:
        phase = run.phase(name)
        if name == start.phase.name:
          first_step = start.step
        else:
          run_lib.say(f"preparing {name}")
          state, first_step = phase.start_from(state), 0
        state = train_phase(
          run,
          phase,
          state,
          first_step=first_step,
          checkpoints=open_checkpoints[name],
          metric_writer=metric_writer,
        )
        if name == names[0]:
          evaluate.evaluate_bicubic(run, phase)
        evaluate.evaluate_phase(
          run,
          phase,
          evaluate.variables_of(state),
          steps_done=[phase.num_steps] * phase.population.size,
          metric_writer=metric_writer,
        )
      evaluate.stop_if_asked(run)
    for checkpoints in open_checkpoints.values():
      checkpoints.close()
    metric_writer.close()
    if parallel.is_main_process():
      evaluate.report(run, results.read(run.folder.path))
      run.folder.set_done()


def evaluate_checkpoint(config: Any, workdir: str | pathlib.Path) -> None:
  """Evaluates a run's checkpoints again, into its results.jsonl.

  Every phase that has one is evaluated at its last checkpoint, or at its best
  with `eval.checkpoint` "best". That field, the noise variances and the splits
  may differ from the run's. Rows of other weights have another step.

  Raises:
    UserError: if there is no checkpoint, or none that is good.
  """
  with run_lib.open_run(config, workdir, evaluate_only=True) as run:
    assert run is not None
    rows: list[results.Row] = []
    for name in config_lib.phases(config):
      phase = run.phase(name)
      restored = restore_for_evaluation(run, phase)
      if restored is not None:
        variables, steps_done = restored
        if not rows:
          rows += evaluate.evaluate_bicubic(run, phase)
        rows += evaluate.evaluate_phase(
          run, phase, variables, steps_done=steps_done
        )
    if not rows:
      raise errors.UserError(
        f"{run.folder.path} has no {config.eval.checkpoint} checkpoint.\n"
        "Train first: the same command without --mode=eval."
      )
    if parallel.is_main_process():
      evaluate.report(run, rows)


@dataclasses.dataclass(frozen=True)
class Start:
  """Where a run begins or goes on: phase, steps done in it, and its state."""

  phase: phase_lib.Phase
  step: int
  state: steps.TrainState


def where_to_start(
  run: run_lib.Run, checkpoints: dict[str, checkpoint.Checkpoints]
) -> Start:
  """The first of these that there is.

  1. The newest good checkpoint of the last phase that has any. (At the end of
     a phase nothing is left to train in it: it is evaluated, and its weights
     start the next phase.)
  2. `init_from`: joint, from the pretrained weights of another run.
  3. The first phase, from the seeds.
  """
  run_lib.say("preparing the networks")  # Tracing them takes seconds.
  for name in reversed(checkpoints):
    phase = run.phase(name)
    newest = checkpoints[name].restore_latest(phase.form())
    if newest is not None:
      step, state = newest
      run_lib.say(f"resuming {name} at step {step:,} of {phase.num_steps:,}")
      return Start(phase, step, state)

  phase = run.phase(next(iter(checkpoints)))
  if run.config.init_from:
    pretrained = run_lib.pretrained_state(run)
    run_lib.say(f"starting from the weights of {run.config.init_from}")
    return Start(phase, 0, phase.start_from(pretrained))
  return Start(phase, 0, phase.create_state())


def train_phase(
  run: run_lib.Run,
  phase: phase_lib.Phase,
  state: steps.TrainState,
  *,
  first_step: int,
  checkpoints: checkpoint.Checkpoints,
  metric_writer: writer.Writer,
) -> steps.TrainState:
  """Trains a phase to its end.

  Args:
    run: the run.
    phase: the phase.
    state: NumPy arrays, after `first_step` steps.
    first_step: steps done before.
    checkpoints: of the phase.
    metric_writer: gets the rows.

  Returns:
    The state at the end, NumPy arrays.
  """
  config, layout = run.config, run.layout
  if first_step == phase.num_steps:
    return state
  train_step = phase_lib.train_step(phase, config, layout)
  members = layout.put_members(phase.population.arrays())
  images = layout.put_shared(run.dataset.train.images)
  labels = layout.put_shared(run.dataset.train.labels)
  epoch_orders = _epoch_orders(phase, len(run.dataset.train.images))
  validate = evaluate.validation(run, phase)
  best = checkpoint.Best(
    run.folder.checkpoints(phase.name, "best"),
    evaluate.variables_of(phase.form()),
  )
  progress = writer.Progress(
    phase.name,
    first_step=first_step,
    num_steps=phase.num_steps,
    images_per_step=config.batch_size * phase.population.size,
    active=parallel.is_main_process(),
  )
  pending: collections.deque[tuple[int, Any]] = collections.deque()
  on_devices = layout.put_members(state)
  order = None

  def settle(steps_ahead: int) -> dict[str, np.ndarray]:
    """Waits for all but the last few steps; the newest metrics there are."""
    values: dict[str, np.ndarray] = {}
    while len(pending) > steps_ahead:
      step, metrics = pending.popleft()
      values = layout.fetch_members(metrics)
      _check_finite(phase, step, values["loss"])
      progress.update(step, float(values["loss"].mean()))
    return values

  with progress:
    for step in range(first_step, phase.num_steps):
      epoch, step_in_epoch = divmod(step, phase.steps_per_epoch)
      if order is None or step_in_epoch == 0:
        order = layout.put_members(epoch_orders(epoch))
      on_devices, metrics = train_step(
        on_devices, (members, order), (images, labels, np.int32(step))
      )
      done = step + 1
      pending.append((done, metrics))
      settle(_STEPS_AHEAD)

      is_end = done == phase.num_steps
      signal_number = run.stop.after_step()
      if is_end or done % config.log.every_steps == 0:
        values = settle(0)
        checkpoints.check()
        metric_writer.write(_rows("train", phase, done, values))
        if progress.images_per_second:
          metric_writer.throughput(phase.name, done, progress.images_per_second)
      if is_end or (
        step_in_epoch == phase.steps_per_epoch - 1
        and (epoch + 1) % config.eval.every_epochs == 0
      ):
        settle(0)
        with progress.paused():
          values = validate(on_devices)
        metric_writer.write(_rows("validation", phase, done, values))
        best.update(
          done,
          values["loss"],
          functools.partial(
            layout.fetch_members, evaluate.variables_of(on_devices)
          ),
        )
      if (
        is_end
        or signal_number is not None
        or done % config.checkpoint.every_steps == 0
      ):
        settle(0)
        metric_writer.sync()
        with progress.paused():
          # A run that resumes here does not come to this validation again.
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
          f"{phase.num_steps:,}; the same command goes on from there.",
        )
  checkpoints.wait()
  best.close()
  return state


def restore_for_evaluation(
  run: run_lib.Run, phase: phase_lib.Phase
) -> tuple[Any, list[int]] | None:
  """Weights that `eval.checkpoint` means and each member's steps, if any."""
  kind = run.config.eval.checkpoint
  folder = run.folder.checkpoints(phase.name, kind)
  if not folder.is_dir():
    return None
  saved = checkpoint.Checkpoints(folder, read_only=True)
  if kind == "best":
    form = checkpoint.best_form(evaluate.variables_of(phase.form()))
    newest = saved.restore_latest(form, required=False)
    if newest is None:
      if saved.steps:
        raise errors.UserError(
          f"no good checkpoint is left in {folder}.\n"
          "Restore the folder from a copy, or evaluate the last weights: "
          "--config.eval.checkpoint=last."
        )
      return None
    return newest[1]["variables"], newest[1]["step"].tolist()
  newest = saved.restore_latest(phase.form())
  if newest is None:
    return None
  step, state = newest
  return evaluate.variables_of(state), [step] * phase.population.size


def _epoch_orders(
  phase: phase_lib.Phase, num_images: int
) -> Callable[[int], np.ndarray]:
  """A function of the epoch: the members' orders, int32 [M, num_images]."""
  orders = jax.jit(
    jax.vmap(
      lambda seed, epoch: rng.epoch_order(seed, epoch, num_images=num_images),
      in_axes=(0, None),
    )
  )
  seeds = phase.population.arrays().seed
  return lambda epoch: np.asarray(orders(seeds, np.int32(epoch)))


def _rows(
  kind: str, phase: phase_lib.Phase, step: int, values: dict[str, np.ndarray]
) -> list[dict[str, Any]]:
  """One row of metrics.jsonl for each member."""
  return [
    {
      "kind": kind,
      "phase": phase.name,
      "step": step,
      **phase.population.fields(member),
      **{name: float(value[member]) for name, value in values.items()},
    }
    for member in range(phase.population.size)
  ]


def _check_finite(phase: phase_lib.Phase, step: int, loss: np.ndarray) -> None:
  """Raises DivergedError unless every member's loss [M] is finite."""
  bad = np.flatnonzero(~np.isfinite(loss))
  if bad.size:
    seeds = sorted({phase.population.seeds[member] for member in bad})
    raise errors.DivergedError(
      f"The loss is not finite at step {step:,} of {phase.name}, "
      f"seed {', '.join(map(str, seeds))}.\n"
      f"Lower config.{phase.name}.learning_rate, or leave the seed out."
    )
