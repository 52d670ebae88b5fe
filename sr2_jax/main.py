"""Trains and evaluates networks that super-resolve and classify an image.

Usage:
  python -m sr2_jax.main --config=FILE [--workdir=FOLDER|URL]
                         [--mode=train|eval] [--config.FIELD=VALUE ...]
Installed with pip, sr2-train is the same command.

Examples:
  python -m sr2_jax.main --config=experiments/quickstart.py
      Train on 5,000 digits that need no download, then print the table.
      The same command resumes a run that was stopped.
  python -m sr2_jax.main --config=experiments/wdsr_x2.py --workdir=runs/mine
      Choose the run's folder.
  python -m sr2_jax.main --config=experiments/fsrcnn_x4.py --config.seed=3 \\
      --config.joint.loss_weight=0.11,9
      Change any field of experiments/default.py; commas separate the values
      of a list.
  python -m sr2_jax.main --config=experiments/wdsr_x2.py --workdir=runs/mine \\
      --mode=eval
      Evaluate the run's checkpoint again; the rows go to its results.jsonl.

Flags:
  --config=FILE         Experiment file. One that begins with experiments/ and
                        is not here is taken from those that come with sr2_jax.
  --config.FIELD=VALUE  Changes a field; experiments/default.py explains each.
  --workdir=FOLDER|URL  Run folder; runs/<experiment> by default. May be in a
                        bucket: gs://bucket/run or s3://bucket/run.
  --mode=train|eval     "train" trains, resumes and evaluates; "eval" only
                        evaluates a checkpoint.
  --help                This text.

Flags for several processes, each started with the same command:
  --coordinator=HOST:PORT  Address of process 0, or "auto" where the cluster
                           provides it (TPU slices, Slurm, Open MPI).
  --num_processes=N        Number of processes; not with "auto".
  --process_id=K           Number of this process, from 0; not with "auto".
  --peer_timeout=SECONDS   How long to wait for another process; 300 by default.
  --heartbeat_timeout=SECONDS  How long another process may be silent until it
                           counts as lost; 30 by default.
"""

import os
import sys
import textwrap
import traceback
from collections.abc import Sequence

from sr2_jax import agreement, errors, files, memory, program
from sr2_jax.config import command_line, experiment_file
from sr2_jax.peers import group, meeting


# What is printed is in the run folder as well.
@program.entry(stopped=None, needs_output=False)
def main(argv: Sequence[str] | None = None) -> int:
  """Runs a command line, program name first, and returns its exit code."""
  argv = sys.argv if argv is None else argv
  if program.asks_for_help(argv[1:]):
    print(f"{(__doc__ or '').strip()}\n\n{_exit_codes()}")
    print(f"\nExperiments that come with it: {experiment_file.SHIPPED}")
    return errors.DONE
  try:
    run(command_line.parse(argv))
    return group.current().leave(errors.DONE, together=True)
  except BaseException as error:
    return _end(error)


def _end(error: BaseException) -> int:
  """Exit code after an error, which is told; raises it again if it is a bug."""
  processes = group.current()
  is_saving = isinstance(error, errors.SaveFailedError)
  is_own = isinstance(
    error, errors.UserError | errors.DivergedError | errors.Stopped
  )
  if not is_own or is_saving:
    processes.explain(error)
  code, text = _in_words(error)
  if code is None:
    if processes.count == 1:
      raise error
    summary = f"{type(error).__name__}: {error}"
    return processes.leave(
      1, "".join(traceback.format_exception(error)), summary=summary,
      together=False,
    )  # fmt: skip
  together = isinstance(
    error,
    errors.DisagreementError
    | errors.NoRoomError
    | errors.DivergedError
    | errors.Stopped,
  )
  code = processes.leave(code, text, together=together)
  if is_saving:
    sys.stdout.flush()
    # Not an orderly exit: when one part of a save has failed, orbax's threads
    # wait minutes for the others.
    os._exit(code)
  return code


def _in_words(error: BaseException) -> tuple[int | None, str]:
  """Exit code and message of an error; no code for a bug."""
  match error:
    case errors.UserError() | errors.DivergedError() | errors.Stopped():
      return error.exit_code, str(error)
    case OSError() if way_out := files.way_to_room(error.errno):
      place = f"{error.filename}: " if error.filename else ""
      return errors.TO_FIX, (
        f"{place}{error.strerror}.\n"
        f"{way_out}; the same command goes on from the last checkpoint."
      )
    case _ if memory.is_short(error):
      # An open run says which fields to reduce.
      return errors.TO_FIX, memory.message(error)
    case KeyboardInterrupt():
      # Ctrl-C during training raises errors.Stopped instead.
      return errors.INTERRUPTED, (
        "stopped by Ctrl-C before or after training; the same command starts "
        "again."
      )
  return None, ""


def _exit_codes() -> str:
  """What each exit code means, as the end of the help."""
  lines = ["Exit codes:"]
  for code, meaning in errors.MEANINGS.items():
    lines += textwrap.wrap(
      meaning, 80, initial_indent=f"  {code:<5}", subsequent_indent=" " * 7
    )
  return "\n".join([*lines, errors.OTHERS])


def run(command: command_line.Command) -> None:
  """Loads JAX and does what the command asks for."""
  if command.coordinator:
    group.join(_place(command))
    agreement.on_program(command)
  # Imported here, so that help and mistakes in a command are answered at once.
  # cpu_tuning comes first: it sets what JAX reads when it is loaded.
  from sr2_jax import cpu_tuning

  processes = group.current()
  cpu_tuning.prepare(with_devices=processes.count == 1)
  from sr2_jax import cluster, train

  if isinstance(processes, group.Group):
    cluster.initialize(processes)
    cpu_tuning.find_devices()
  work = {
    "train": train.train_and_evaluate,
    "eval": train.evaluate_checkpoint,
  }[command.mode]
  work(command.config, command.workdir)


def _place(command: command_line.Command) -> meeting.Place:
  """This process's place among those of its run."""
  address, count, index = (
    command.coordinator, command.num_processes, command.process_id,
  )  # fmt: skip
  if address == "auto":
    from sr2_jax import cpu_tuning

    cpu_tuning.prepare(with_devices=False)
    from sr2_jax import cluster

    address, count, index = cluster.find(command.peer_timeout)
    try:
      command_line.check_place(address, count, index)
    except errors.UserError as error:
      raise errors.UserError(
        f"--coordinator=auto: what the cluster says is no place: {error}\n"
        f"{cluster.WITHOUT}"
      ) from error
  assert address is not None
  assert count is not None
  assert index is not None
  return meeting.Place(
    address, count, index, command.peer_timeout, command.heartbeat_timeout
  )


if __name__ == "__main__":
  sys.exit(main())
