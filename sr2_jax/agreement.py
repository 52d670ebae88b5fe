"""What all processes of a run have to have in common, compared; no JAX.

Process 0 compares. Each process whose part differs says in what, process 0 says
it for all, and every process ends. With one process, nothing is done.
"""

import contextlib
import functools
import hashlib
import os
import pathlib
import platform
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sr2_jax import errors
from sr2_jax.config import command_line, fields, record
from sr2_jax.peers import group
from sr2_jax.records import provenance

# Variables that decide how or where everything is computed.
_VARIABLES = (
  "JAX_DEFAULT_MATMUL_PRECISION", "JAX_DEFAULT_PRNG_IMPL", "JAX_ENABLE_X64",
  "JAX_PLATFORMS", "JAX_THREEFRY_PARTITIONABLE", "XLA_FLAGS",
)  # fmt: skip
_MOST_DIFFERENCES = 20
# A network file system may show a new file some seconds late.
_SECONDS_TO_SEE, _PAUSE = 10.0, 0.1


def on_program(command: command_line.Command) -> None:
  """Compares command, code, packages and environment of the processes.

  Raises:
    DisagreementError: in every process, with the differences.
  """
  if group.current().count == 1:
    return
  config = record.flatten(record.to_dict(command.config))
  flags = ("mode", "peer_timeout", "heartbeat_timeout")
  workdir = command.workdir
  facts = {
    **{f"config.{field}": value for field, value in config.items()},
    **{f"--{flag}": getattr(command, flag) for flag in flags},
    # Paths may differ, where they lead to the same folder.
    "--workdir": workdir if isinstance(workdir, str) else "a path",
    "Python": platform.python_version(),
    **provenance.packages(),
    **{f"${name}": os.environ.get(name) for name in _VARIABLES},
    **_sources(),
  }
  _compare(
    "to compare their commands",
    facts,
    way_out="Start all processes with the same command, code and packages.",
  )


def on_folder(path: pathlib.Path) -> None:
  """Compares the run folder: what process 0 writes there, all have to see.

  Raises:
    DisagreementError: in every process, if one sees another folder.
  """
  processes = group.current()
  if processes.count == 1:
    return
  token = path / follow(
    "to see the run folder", f".seen_{secrets.token_hex(8)}"
  )
  if processes.index == 0:
    token.touch()
  try:
    follow("to write into the run folder", None)
    limit = time.monotonic() + _SECONDS_TO_SEE
    while not token.exists() and time.monotonic() < limit:
      time.sleep(_PAUSE)
    _compare(
      "to see the run folder",
      {"seen": token.exists()},
      way_out="--workdir has to be on a file system that all processes share.",
      words=lambda *_: f"{path}: the run folder is another one",
    )
  finally:
    if processes.index == 0:
      with contextlib.suppress(OSError):
        token.unlink()


def on_data(name: str, fingerprint: str) -> None:
  """Compares what was read: images, or weights to start from.

  Raises:
    DisagreementError: in every process, if one has read something else.
  """
  _compare(
    "to load the data",
    {f"the fingerprint of {name}": fingerprint[:16]},
    way_out="Give all processes the same data.",
  )


def on_memory(refusals: Sequence[str]) -> None:
  """Ends all processes if one of them has too little memory.

  Args:
    refusals: what this process has to say about it; none if it has enough.

  Raises:
    NoRoomError: in every process, with the first of all refusals.
  """
  processes = group.current()
  found = [*refusals]
  if processes.count > 1:

    def all_of(values: list[Any]) -> list[list[str]]:
      named = [
        f"{name}: {text}"
        for name, texts in zip(processes.names(), values, strict=True)
        for text in texts
      ]
      return [named] * len(values)

    found = processes.consult("to compare their memory", found, all_of)
  if found:
    raise errors.NoRoomError(found[0])


def on_checkpoints(
  folder: pathlib.Path,
  steps: Callable[[], list[int]],
  *,
  refresh: Callable[[], object],
) -> list[int]:
  """The steps of the checkpoints that process 0 sees, and all others too.

  Args:
    folder: of the checkpoints.
    steps: those that this process has found there.
    refresh: looks again, for a file system that shows new files late.

  Raises:
    DisagreementError: in every process, if one still sees others.
  """
  found, topic = steps(), "to look for checkpoints"
  wanted = follow(topic, found)
  limit = time.monotonic() + _SECONDS_TO_SEE
  while found != wanted and time.monotonic() < limit:
    time.sleep(_PAUSE)
    refresh()
    found = steps()
  _compare(
    topic,
    {f"checkpoints/{folder.parent.name}/{folder.name}": found},
    way_out="--workdir has to be on a file system that all processes share.",
  )
  return wanted


def follow(topic: str, value: Any) -> Any:
  """Process 0's value, in all processes.

  Args:
    topic: what it is about, as "to see the run folder".
    value: anything that JSON can hold; that of other processes is not used.
  """
  processes = group.current()
  if processes.count == 1:
    return value
  return processes.consult(
    topic,
    value if processes.index == 0 else None,
    lambda values: [values[0]] * len(values),
  )


def _compare(
  topic: str,
  facts: Mapping[str, Any],
  *,
  way_out: str,
  words: Callable[..., str] | None = None,
) -> None:
  processes = group.current()
  if processes.count == 1:
    return
  answer = functools.partial(_answers, words=words or _difference)
  lines = processes.consult(
    topic, facts, lambda values: answer(values, processes.names())
  )
  if lines:
    raise errors.DisagreementError("\n".join([*lines, way_out]))


def _answers(
  facts: Sequence[Mapping[str, Any]],
  names: Sequence[str],
  *,
  words: Callable[..., str],
) -> list[list[str]]:
  """What each process is told: nothing if all are alike.

  Process 0 hears of all differences, each other one of its own.
  """
  mine, *others = facts
  told: list[list[str]] = []
  for theirs, name in zip(others, names[1:], strict=True):
    lines = [
      f"{words(fact, mine.get(fact), theirs.get(fact), names[0])} in {name}."
      for fact in dict.fromkeys((*mine, *theirs))
      if mine.get(fact) != theirs.get(fact)
    ]
    more = len(lines) - _MOST_DIFFERENCES
    if more > 0:
      lines[_MOST_DIFFERENCES:] = [f"{name} differs in {more} more."]
    told.append(lines)
  everything = [line for lines in told for line in lines]
  different = [
    name for name, lines in zip(names[1:], told, strict=True) if lines
  ]
  if not everything:
    return [[] for _ in facts]
  unlike = (
    f"{', '.join(different[:8])}: not like {names[0]}, which says in what."
  )
  return [everything, *(lines or [unlike] for lines in told)]


def _difference(fact: str, mine: Any, theirs: Any, first: str) -> str:
  if fact.endswith(".py"):
    return f"{fact} in {first} is not the one"
  here, there = map(fields.in_words, (mine, theirs))
  return f"{fact} is {here} in {first}, but {there}"


def _sources() -> dict[str, str]:
  """Digests of the source files of sr2_jax, by their names."""
  root = pathlib.Path(__file__).parent
  return {
    f"sr2_jax/{path.relative_to(root).as_posix()}": hashlib.sha256(
      path.read_bytes()
    ).hexdigest()[:16]
    for path in sorted(root.rglob("*.py"))
  }
