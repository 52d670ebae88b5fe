"""Trains and evaluates networks that super-resolve and classify an image.

Usage:
  python -m sr2_jax.main --config=FILE [--workdir=FOLDER] [--mode=train|eval]
                         [--config.FIELD=VALUE ...]

Examples:
  python -m sr2_jax.main --config=experiments/quickstart.py
      Train on 5,000 digits that need no download, then print the table.
      The same command again resumes what was stopped.
  python -m sr2_jax.main --config=experiments/wdsr_x2.py --workdir=runs/mine
      Keep the run in a folder of your choice.
  python -m sr2_jax.main --config=experiments/fsrcnn_x4.py --config.seed=3 \\
      --config.joint.loss_weight=0.11,9
      Change any field of experiments/default.py; lists are values and commas.
  python -m sr2_jax.main --config=experiments/wdsr_x2.py --workdir=runs/mine \\
      --mode=eval
      Evaluate the run's checkpoint again; its rows go to results.jsonl.

Flags:
  --config=FILE         Experiment file, such as those in experiments/.
  --config.FIELD=VALUE  Change a field; experiments/default.py explains each.
  --workdir=FOLDER      Run folder; runs/<experiment> unless given.
  --mode=train|eval     "train" trains, resumes and evaluates; "eval" only
                        evaluates a checkpoint.
  --help                This text.

Flags for several processes, each started with the same command:
  --coordinator=HOST:PORT  Address of process 0, or "auto" where the cluster
                           tells (TPU slices, Slurm, Open MPI).
  --num_processes=N        How many there are; not with "auto".
  --process_id=K           Which one this is, from 0; not with "auto".

Exit codes:
  0    done, or nothing was left to do
  2    something to mend: a field, a flag, a file; one or two lines say what
  3    a loss stopped being finite; the message names step and seed
  130  stopped by Ctrl-C after saving; the same command goes on from there. A
       second Ctrl-C stops at once: it goes on from the last checkpoint
  143  stopped by SIGTERM after saving; likewise
Any other code comes with a traceback and is a bug.
"""

import difflib
import errno
import importlib.util
import os
import pathlib
import re
import sys
import traceback
from collections.abc import Sequence
from typing import Any, NamedTuple

import ml_collections
from absl import flags
from ml_collections import config_flags
from ml_collections.config_flags import tuple_parser

from sr2_jax import errors
from sr2_jax.config import checks, derived, fields

# Nothing more can be written: a full disk, a quota, the size of a file.
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class Command(NamedTuple):
  """What a command line asks for; the config is validated and resolved."""

  config: ml_collections.FrozenConfigDict
  workdir: pathlib.Path
  mode: str
  coordinator: str | None
  num_processes: int | None
  process_id: int | None


def main(argv: Sequence[str]) -> int:
  """Runs one command line (program name first) and returns its exit code."""
  if any(re.fullmatch(r"--?h(elp\w*)?", argument) for argument in argv[1:]):
    print((__doc__ or "").strip())
    return 0
  try:
    run(parse(argv))
  except errors.SaveFailedError as error:
    print(error, file=sys.stderr, flush=True)
    sys.stdout.flush()
    # Without an orderly end: orbax's threads wait for minutes for the other
    # parts of a save of which one has failed.
    os._exit(error.exit_code)
  except (errors.UserError, errors.DivergedError, errors.Stopped) as error:
    print(error, file=sys.stderr)
    return error.exit_code
  except OSError as error:
    if error.errno not in _NO_ROOM:
      raise
    place = f"{error.filename}: " if error.filename else ""
    print(
      f"{place}{error.strerror}.\n"
      "Make room; the same command goes on from the last checkpoint.",
      file=sys.stderr,
    )
    return errors.UserError.exit_code
  except KeyboardInterrupt:
    # While training, Ctrl-C ends in errors.Stopped instead.
    print(
      "stopped by Ctrl-C while not training; the same command starts again.",
      file=sys.stderr,
    )
    return 130
  return 0


def run(command: Command) -> None:
  """Loads JAX and does what the command asks for."""
  # Only here, so that help and mistakes in a command are answered at once: the
  # first loads JAX when it is called, the others when they are imported.
  from sr2_jax import cpu_tuning

  cpu_tuning.prepare()
  from sr2_jax import parallel, train

  if command.coordinator:
    parallel.initialize(
      command.coordinator, command.num_processes, command.process_id
    )
  work = {
    "train": train.train_and_evaluate,
    "eval": train.evaluate_checkpoint,
  }[command.mode]
  work(command.config, command.workdir)


def parse(argv: Sequence[str]) -> Command:
  """Reads a command line (program name first).

  Raises:
    UserError: names the flag, field or file that is wrong.
  """
  values = _define_flags()
  # What is left are overrides, which the config's own fields define.
  left = _parse_flags(values, argv, known_only=True)
  _check_names(left, known=list(values))
  if not values.config:
    raise errors.UserError(
      "--config is missing, for example --config=experiments/quickstart.py; "
      "--help explains all flags."
    )
  _check_processes(values)
  config = load_config(values.config)
  checks.validate_names(config)
  _apply_overrides(config, left)
  _expand_home(config)
  checks.validate(config)
  config = derived.resolve(config)
  workdir = pathlib.Path(values.workdir or f"runs/{config.experiment}")
  return Command(
    config=config,
    workdir=workdir.expanduser(),
    mode=values.mode,
    coordinator=values.coordinator,
    num_processes=values.num_processes,
    process_id=values.process_id,
  )


def _define_flags() -> flags.FlagValues:
  # Flags of our own, not absl's global ones: libraries add theirs to those.
  values = flags.FlagValues()
  values.set_gnu_getopt(True)
  for name in ("config", "workdir", "coordinator"):
    flags.DEFINE_string(name, None, "", flag_values=values)
  flags.DEFINE_enum("mode", "train", ["train", "eval"], "", flag_values=values)
  for name in ("num_processes", "process_id"):
    flags.DEFINE_integer(name, None, "", flag_values=values)
  return values


def _parse_flags(
  values: flags.FlagValues, argv: Sequence[str], *, known_only: bool = False
) -> list[str]:
  """Sets `values` and returns the program name and what was not a flag."""
  try:
    return values(argv, known_only=known_only)
  except flags.IllegalFlagValueError as error:
    message = str(error)
    field = re.match(r"flag --config\.([\w.]+)=(.*?): ", message, re.DOTALL)
    if field and field[1] in fields.CHECKS:
      message = fields.wrong_value(field[1], field[2])
    raise errors.UserError(_one_line(message)) from error
  except flags.Error as error:
    raise errors.UserError(_one_line(str(error))) from error


def _check_processes(values: flags.FlagValues) -> None:
  """Checks the flags for several processes against each other."""
  coordinator, count, index = (
    values.coordinator,
    values.num_processes,
    values.process_id,
  )
  if coordinator in (None, "auto"):
    reason = 'not with "auto"' if coordinator else "which is missing"
    for name, value in (("num_processes", count), ("process_id", index)):
      if value is not None:
        raise errors.UserError(
          f"--{name} goes with --coordinator=HOST:PORT, {reason}."
        )
    return
  if not re.fullmatch(r".+:\d+", coordinator):
    raise errors.UserError(
      f'--coordinator has to be HOST:PORT or "auto", not "{coordinator}".'
    )
  if count is None or index is None:
    raise errors.UserError(
      "--coordinator=HOST:PORT needs --num_processes and --process_id."
    )
  if not 0 <= index < count:
    raise errors.UserError(
      f"--process_id has to be from 0 to --num_processes - 1, not {index} "
      f"of {count}."
    )


def load_config(path: str) -> ml_collections.ConfigDict:
  """The config that an experiment file's `get_config()` returns.

  Raises:
    UserError: if there is no such file, or it fails; names file and line.
  """
  config = call_file(path, "get_config", kind="config file")
  if not isinstance(config, ml_collections.ConfigDict):
    raise errors.UserError(
      f"The config file {path} has to define get_config() that returns a "
      "ConfigDict, as experiments/default.py does."
    )
  return config


def call_file(path: str, name: str, *arguments: Any, kind: str) -> Any:
  """What the function `name` of a .py file returns; None if it has none.

  Args:
    path: the file.
    name: of the function.
    *arguments: of the function.
    kind: what messages call the file.

  Raises:
    UserError: if there is no such file, or it fails; names file and line.
  """
  if not pathlib.Path(path).is_file():
    raise errors.UserError(f"There is no {kind} {path}.{_nearest(path)}")
  spec = importlib.util.spec_from_file_location("experiment", path)
  if spec is None or spec.loader is None:
    raise errors.UserError(f"The {kind} {path} is not a .py file.")
  module = importlib.util.module_from_spec(spec)
  try:
    spec.loader.exec_module(module)
    function = getattr(module, name, None)
    return function(*arguments) if callable(function) else None
  except Exception as error:
    raise errors.UserError(
      f"The {kind} {path}{_line_in(path, error)} fails with "
      f"{type(error).__name__}: {_one_line(str(error))}"
    ) from error


def _nearest(path: str) -> str:
  """A hint at the file in the same folder with the most similar name."""
  folder = pathlib.Path(path).parent
  names = [str(folder / file.name) for file in folder.glob("*.py")]
  nearest = difflib.get_close_matches(path, names, 1)
  return f" Did you mean {nearest[0]}?" if nearest else ""


def _line_in(path: str, error: Exception) -> str:
  """Where in the file an exception came from, as ", line 12"."""
  if isinstance(error, SyntaxError):
    return f", line {error.lineno}," if error.filename == path else ""
  frames = traceback.extract_tb(error.__traceback__)
  lines = [frame.lineno for frame in frames if frame.filename == path]
  return f", line {lines[-1]}," if lines else ""


def _check_names(arguments: Sequence[str], *, known: Sequence[str]) -> None:
  """Rejects what is neither a flag nor a field, before absl words it."""
  for argument in arguments[1:]:
    match = re.match(r"--?(no)?config\.([^=]*)", argument)
    if match and match[2] not in fields.CHECKS:
      raise errors.UserError(fields.unknown_field(match[2]))
    if not match and argument.startswith("-"):
      name = argument.lstrip("-").partition("=")[0]
      nearest = difflib.get_close_matches(name, known, 1)
      raise errors.UserError(
        f"There is no flag --{name}; "
        + (f"did you mean --{nearest[0]}?" if nearest else "see --help.")
      )


class _TupleParser(tuple_parser.TupleParser):
  """Reads tuples as people type them: 0.11,9 or validation,test."""

  def parse(self, argument: Any) -> tuple[Any, ...]:
    if not isinstance(argument, str):
      return super().parse(argument)
    items = argument.strip().strip("()[]").split(",")
    items = [item.strip().strip("'\"") for item in items]
    return tuple(_number_or_text(item) for item in items if item)


def _number_or_text(text: str) -> float | str:
  try:
    return float(text)
  except ValueError:
    return text


config_flags.register_flag_parser_for_type(tuple, _TupleParser())


def _apply_overrides(
  config: ml_collections.ConfigDict, arguments: Sequence[str]
) -> None:
  """Sets the fields that `--config.FIELD=VALUE` arguments name."""
  values = flags.FlagValues()
  values.set_gnu_getopt(True)
  config_flags.DEFINE_config_dict(
    "config", config, flag_values=values, sys_argv=list(arguments)
  )
  _, *extra = _parse_flags(values, arguments)
  if extra:
    raise errors.UserError(
      f'Unexpected "{extra[0]}"; every argument is --flag=value. Values with '
      "spaces need quotes."
    )


def _expand_home(config: ml_collections.ConfigDict) -> None:
  """Replaces ~ in paths: a shell leaves it where it follows an equals sign."""
  for group, field in (
    (config.data, "path"),
    (config, "init_from"),
    (config.eval.srmd, "weights"),
    (config.eval.srmd, "pca"),
  ):
    if isinstance(group[field], str):
      group[field] = os.path.expanduser(group[field])


def _one_line(message: str) -> str:
  return " ".join(message.split())


if __name__ == "__main__":
  sys.exit(main(sys.argv))
