"""Reads the command line of a run: flags and overrides of fields; no JAX.

The message about a mistake names the flag or field, and the most similar one.
"""

import difflib
import pathlib
import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import ml_collections
from absl import flags

from sr2_jax import errors, paths
from sr2_jax.buckets import address
from sr2_jax.config import checks, derived, experiment_file, fields

# In seconds; the help has them too.
_PEER_TIMEOUT, _HEARTBEAT_TIMEOUT = 300, 30
_TIMEOUTS = ("peer_timeout", "heartbeat_timeout")
_LONGEST_TIMEOUT = 10**6
_MOST_PROCESSES = 2**16
# An argument that sets a field, or takes it away: "no" and the field's name.
_OVERRIDE = re.compile(r"--?(no)?config\.([^=]*)")


class Command(NamedTuple):
  """What a command line asks for; the config is validated and resolved."""

  config: ml_collections.FrozenConfigDict
  workdir: pathlib.Path | str  # A URL is a text.
  mode: str
  coordinator: str | None
  num_processes: int | None
  process_id: int | None
  peer_timeout: int
  heartbeat_timeout: int


def parse(
  argv: Sequence[str],
  *,
  load: Callable[
    [str], ml_collections.ConfigDict
  ] = experiment_file.load_config,
) -> Command:
  """Reads a command line (program name first).

  Args:
    argv: its words.
    load: gives the config of an experiment file, which is then changed.

  Raises:
    UserError: names the flag, field or file that is wrong.
  """
  values = define_flags()
  # The rest are overrides; only the config knows their types.
  rest = _parse_flags(values, argv, known_only=True)
  check_names(rest, known=list(values))
  if not values.config:
    raise errors.UserError(
      "--config is missing, for example --config=experiments/quickstart.py; "
      "--help explains all flags."
    )
  _check_processes(values)
  config = read_config(values.config, rest, load=load)
  checks.validate(config)
  config = derived.resolve(config)
  workdir = address.run_folder(
    values.workdir or f"runs/{config.experiment}", "--workdir"
  )
  return Command(
    config=config,
    workdir=workdir if address.is_url(workdir) else pathlib.Path(workdir),
    mode=values.mode,
    coordinator=values.coordinator,
    num_processes=values.num_processes,
    process_id=values.process_id,
    peer_timeout=values.peer_timeout or _PEER_TIMEOUT,
    heartbeat_timeout=values.heartbeat_timeout or _HEARTBEAT_TIMEOUT,
  )


def read_config(
  path: str,
  arguments: Sequence[str],
  *,
  load: Callable[
    [str], ml_collections.ConfigDict
  ] = experiment_file.load_config,
) -> ml_collections.ConfigDict:
  """The config of an experiment file with other values of some fields.

  Its fields have names and types that exist; `checks.validate` is to follow.

  Args:
    path: of the file, as it was typed.
    arguments: the program's name, and --config.FIELD=VALUE words.
    load: see `parse`.

  Raises:
    UserError: names the file, or the field that is wrong.
  """
  config = load(paths.local(path, "--config"))
  # A reference is computed when it is read, again after what it refers to has
  # changed.
  with experiment_file.blaming(pathlib.Path(path), kind="config file"):
    checks.validate_names(config)
    _apply_overrides(config, arguments)
    _check_paths(config)
    checks.validate_names(config)
  return config


def define_flags() -> flags.FlagValues:
  """The flags beside --config.FIELD, with their defaults."""
  # Not absl's global flags: libraries add their own to those.
  values = flags.FlagValues()
  values.set_gnu_getopt(True)
  for name in ("config", "workdir", "coordinator"):
    flags.DEFINE_string(name, None, "", flag_values=values)
  flags.DEFINE_enum("mode", "train", ["train", "eval"], "", flag_values=values)
  for name in ("num_processes", "process_id", *_TIMEOUTS):
    flags.DEFINE_integer(name, None, "", flag_values=values)
  return values


def _parse_flags(
  values: flags.FlagValues, argv: Sequence[str], *, known_only: bool = False
) -> list[str]:
  """Sets `values`; returns the program name and every argument left over."""
  for argument in argv[1:]:
    # absl's own: one reads flags from files, the other skips unknown ones.
    if re.match(r"--?(flagfile|undefok)(=|$)", argument):
      check_names(["", argument], known=list(values))
  try:
    return values(argv, known_only=known_only)
  except flags.IllegalFlagValueError as error:
    message = str(error)
    field = re.match(r"flag --config\.([\w.]+)=(.*?): ", message, re.DOTALL)
    if field and field[1] in fields.CHECKS:
      message = fields.wrong_value(field[1], field[2])
    raise errors.UserError(_one_line(message)) from error
  except (flags.Error, ValueError) as error:
    raise errors.UserError(f"{_one_line(str(error)).rstrip('.')}.") from error


def _check_processes(values: flags.FlagValues) -> None:
  """Checks the flags for several processes against each other."""
  coordinator, count, index = (
    values.coordinator,
    values.num_processes,
    values.process_id,
  )
  for name in _TIMEOUTS:
    seconds = values[name].value
    if seconds is not None and coordinator is None:
      raise errors.UserError(f"--{name} goes with --coordinator.")
    if seconds is not None and not 2 <= seconds <= _LONGEST_TIMEOUT:
      raise errors.UserError(
        f"--{name} has to be from 2 to {_LONGEST_TIMEOUT} seconds, not "
        f"{seconds}."
      )
  if coordinator in (None, "auto"):
    reason = 'not with "auto"' if coordinator else "which is missing"
    for name, value in (("num_processes", count), ("process_id", index)):
      if value is not None:
        raise errors.UserError(
          f"--{name} goes with --coordinator=HOST:PORT, {reason}."
        )
    return
  if count is None or index is None:
    check_address(coordinator)
    raise errors.UserError(
      "--coordinator=HOST:PORT needs --num_processes and --process_id."
    )
  check_place(coordinator, count, index)


def check_address(coordinator: str) -> None:
  """Refuses what is no address of process 0.

  Raises:
    UserError: says what it has to be.
  """
  host_and_port = re.fullmatch(r"(.+):(\d{1,5})", coordinator)
  if (
    not host_and_port
    or not _is_host(host_and_port[1])
    or not 0 < int(host_and_port[2]) < 2**16
  ):
    raise errors.UserError(
      f'--coordinator has to be HOST:PORT or "auto", not "{coordinator}".'
    )


def check_place(coordinator: str, count: int, index: int) -> None:
  """Refuses an address and numbers that no process of a run can have.

  Raises:
    UserError: names the flag.
  """
  check_address(coordinator)
  if count > _MOST_PROCESSES:
    raise errors.UserError(
      f"--num_processes has to be at most {_MOST_PROCESSES}, not {count}."
    )
  if not 0 <= index < count:
    raise errors.UserError(
      f"--process_id has to be from 0 to --num_processes - 1, not {index} "
      f"of {count}."
    )


def _is_host(text: str) -> bool:
  """Whether a name can be looked up at all."""
  try:
    return bool(text.strip("[]").encode("idna"))
  except UnicodeError:
    return False


def check_names(arguments: Sequence[str], *, known: Sequence[str]) -> None:
  """Refuses what is neither a flag nor a field; absl would be less clear.

  Args:
    arguments: the program's name, and what is left of a command line.
    known: the flags.

  Raises:
    UserError: names the first, and the most similar flag or field.
  """
  for argument in arguments[1:]:
    match = _OVERRIDE.match(argument)
    if match and match[2] not in fields.CHECKS:
      raise errors.UserError(fields.unknown_field(match[2]))
    if match and match[1] and not fields.may_be_taken_away(argument, match[2]):
      raise errors.UserError(
        f"There is no --noconfig.{match[2]} that takes a value, or for a field "
        f"that is not true or false; give --config.{match[2]}=VALUE."
      )
    if not match and argument.startswith("-"):
      name = argument.lstrip("-").partition("=")[0]
      nearest = difflib.get_close_matches(name, known, 1)
      raise errors.UserError(
        f"There is no flag --{name}; "
        + (f"did you mean --{nearest[0]}?" if nearest else "see --help.")
      )


class _TupleParser(flags.ArgumentParser[tuple[Any, ...]]):
  """Reads tuples as people type them: 0.11,9 or validation,test."""

  def parse(self, argument: str) -> tuple[Any, ...]:
    items = argument.strip().strip("()[]").split(",")
    items = [item.strip().strip("'\"") for item in items]
    return tuple(_number_or_text(item) for item in items if item)

  def flag_type(self) -> str:
    return "tuple"


def _number_or_text(text: str) -> float | str:
  try:
    return float(text)
  except ValueError:
    return text


def _apply_overrides(
  config: ml_collections.ConfigDict, arguments: Sequence[str]
) -> None:
  """Sets the fields that `--config.FIELD=VALUE` arguments name."""
  # Not ml_collections' flags of configs: each writes the config as YAML twice,
  # and a sweep reads hundreds of configs before it says anything.
  values = flags.FlagValues()
  values.set_gnu_getopt(True)
  typed = [_OVERRIDE.match(argument) for argument in arguments[1:]]
  fields_typed = dict.fromkeys(found[2] for found in typed if found)
  for field in fields_typed:
    group, name = _place(config, field)
    _define(f"config.{field}", group.get_type(name), values)
  _, *extra = _parse_flags(values, arguments)
  if extra:
    raise errors.UserError(
      f'Unexpected "{extra[0]}"; every argument is --flag=value. Values with '
      "spaces need quotes."
    )
  for field in fields_typed:
    group, name = _place(config, field)
    group[name] = values[f"config.{field}"].value


def _define(name: str, kind: type, values: flags.FlagValues) -> None:
  """Defines the flag of a field with values of a type."""
  if issubclass(kind, tuple | list):
    flags.DEFINE(_TupleParser(), name, None, "", flag_values=values)
    return
  define = {
    bool: flags.DEFINE_boolean,
    int: flags.DEFINE_integer,
    float: flags.DEFINE_float,
  }.get(kind, flags.DEFINE_string)
  define(name, None, "", flag_values=values)


def _place(
  config: ml_collections.ConfigDict, field: str
) -> tuple[ml_collections.ConfigDict, str]:
  """The group that a field is in, and its name there."""
  *groups, name = field.split(".")
  for word in groups:
    config = config[word]
  return config, name


def _check_paths(config: ml_collections.ConfigDict) -> None:
  """Refuses what names no place, and replaces ~ where it is a path.

  A shell does not replace it where it follows an equals sign.
  """
  for name, check in (
    ("data.path", paths.local),
    ("data.labels", paths.local),
    ("data.low_res_path", paths.local),
    ("init_from", address.run_folder),
    ("eval.srmd.weights", paths.local),
    ("eval.srmd.pca", paths.local),
  ):
    group, field = _place(config, name)
    # Values of other types are refused later, as those of any field.
    if isinstance(group[field], str):
      group[field] = check(group[field], f"config.{name}")


def _one_line(message: str) -> str:
  return " ".join(message.split())
