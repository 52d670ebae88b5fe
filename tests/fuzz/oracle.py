"""Plays cases, and says what is wrong with how they end.

A case has to end in time. It ends with a refusal in a few lines that name a
file, flag or field, and nothing is lost; or with the same result as without the
change, unless the target says that the file is data. Nothing outside the
target's folder may change, and nothing in a file may be executed.
"""

import contextlib
import dataclasses
import hashlib
import io
import os
import pathlib
import shutil
import signal
import stat
import threading
import traceback
import warnings
from collections.abc import Callable, Iterable, Iterator
from types import FrameType
from typing import Any

from sr2_jax import errors
from tests.fuzz import array_kinds, cases, kinds, odd

# Seconds; everything here takes tenths of one.
LIMIT = 10.0
_MOST_CHARACTERS = 1000  # of a line
# What may change beside the folder of a case.
_FREE = ("cache", "out", kinds.ELSEWHERE)


@dataclasses.dataclass(frozen=True)
class Ended:
  """How a case ended.

  Attributes:
    code: as a program's.
    message: of a refusal.
    result: what is compared with that of the good folder.
    said: what else was printed on standard error.
  """

  code: int = 0
  message: str = ""
  result: Any = None
  said: str = ""


@dataclasses.dataclass(frozen=True)
class Target:
  """What reads a folder or a command.

  Attributes:
    play: reads the folder, as a user's command would; its paths are absolute.
    make: writes the good folder; None for a command.
    draw_words: draws the arguments of a command.
    data: files whose content is the user's, so that a result may be another
      one, and why; globs of paths.
    may_go: what a user may leave out, likewise.
    told: what may change a result if the program says so, in these words.
    changes: files that a refusal may leave changed; globs of paths.
    most_lines: of a refusal.
    done: exit codes of a command that was not refused.
  """

  play: Callable[[pathlib.Path, cases.Case], Ended]
  make: Callable[[pathlib.Path], None] | None = None
  draw_words: Callable[..., tuple[str, ...]] | None = None
  data: dict[str, str] = dataclasses.field(default_factory=dict)
  may_go: dict[str, str] = dataclasses.field(default_factory=dict)
  told: dict[str, str] = dataclasses.field(default_factory=dict)
  changes: tuple[str, ...] = ()
  most_lines: int = 3
  done: tuple[int, ...] = (0,)


@dataclasses.dataclass(frozen=True)
class Problem:
  """What is wrong with how a case ended.

  Attributes:
    kind: what, in words; equal for what is probably one defect.
    details: all that is known.
  """

  kind: str
  details: str


class _Hung(BaseException):
  """A case takes too long; no `except Exception` keeps it."""


class World:
  """A folder for cases, with a guarded one beside it.

  Args:
    folder: empty.
    targets: by name.
    limit: seconds that a case may take.
  """

  def __init__(
    self,
    folder: pathlib.Path,
    targets: dict[str, Target],
    *,
    limit: float = LIMIT,
  ) -> None:
    self._folder, self._targets, self._limit = folder.resolve(), targets, limit
    self._good: dict[str, Ended] = {}
    self.case = self._folder / "case"
    for name in (kinds.GUARD, "here", "good"):
      (self._folder / name).mkdir()
    guard = self._folder / kinds.GUARD
    (guard / "other.jsonl").write_text('{"odd": 1}\n')
    (guard / "other.json").write_text('{"odd": 1}\n')
    (guard / "other.txt").write_text("not to be touched\n")
    (guard / "other.npz").write_bytes(b"not to be touched")

  def good(self, name: str) -> pathlib.Path:
    """The good folder of a target, made once for all that have the same."""
    make = self._targets[name].make
    called = make.__name__ if make else "nothing"
    folder = self._folder / "good" / called
    if not folder.exists():
      folder.mkdir()
      if make is not None:
        with _quiet(), self._surroundings():
          make(folder)
    return folder

  def play(self, case: cases.Case) -> Problem | None:
    """What is wrong with how a case ends; None if nothing is."""
    target = self._targets[case.target]
    if target.make is not None and case.target not in self._good:
      self._set_up(case.target)
      ended = self._watched(target, cases.Case(case.target))
      if isinstance(ended, Problem) or ended.code not in target.done:
        raise AssertionError(f"the good {case.target} ends with {ended}")
      self._good[case.target] = ended
    self._set_up(case.target)
    kinds.change(self.case, case.changes)
    before, outside = _files(self.case), self._outside()
    ended = self._watched(target, case)
    if isinstance(ended, Problem):
      return ended
    if (after := self._outside()) != outside:
      changed = sorted(
        x for x in outside.keys() | after.keys()
        if outside.get(x) != after.get(x)
      )  # fmt: skip
      return Problem("outside", f"changed outside its folder: {changed}")
    return self._judged(target, case, ended, before)

  def _judged(
    self,
    target: Target,
    case: cases.Case,
    ended: Ended,
    before: dict[str, str],
  ) -> Problem | None:
    shown = f"code {ended.code}: {ended.message[:2000]}\n{ended.said[-2000:]}"
    if "Traceback (most recent call last)" in ended.said + ended.message:
      return Problem("a traceback is printed", shown)
    if ended.code in target.done:
      if target.make is None:
        return None
      good = self._good[case.target]
      if ended.result == good.result or self._may_differ(target, case, ended):
        return None
      return Problem(
        "another result", f"{_difference(good.result, ended.result)}\n{shown}"
      )
    if ended.code not in (errors.TO_FIX, errors.DIVERGED, errors.IN_USE):
      return Problem(f"exit code {ended.code}", shown)
    if problem := _of_message(target, case, ended.message):
      return Problem(f"message: {problem}", shown)
    after = _files(self.case)
    contents = set(after.values())
    lost = [
      path
      for path, content in before.items()
      if content.startswith("-")  # Files, and not folders or links.
      and after.get(path) != content
      and content not in contents
      and not _is_any(path, target.changes)
    ]
    return Problem("lost", f"{lost}\n{shown}") if lost else None

  def _may_differ(self, target: Target, case: cases.Case, ended: Ended) -> bool:
    """Whether one of the changes lets another result be a right one."""
    said = ended.said + ended.message
    for change in case.changes:
      file = change["file"]
      # What it is swapped with, or a copy of, counts as well.
      partner = pathlib.PurePath(file).with_name(change.get("with", "none"))
      told = [
        x for pattern, x in target.told.items() if _is_any(file, [pattern])
      ]
      if (
        _is_any(file, target.data)
        or ("with" in change and _is_any(str(partner), target.data))
        or change["kind"] in array_kinds.SEALED
        or (change["kind"] in kinds.TAKE_AWAY and _is_any(file, target.may_go))
        or any(words in said for words in told)
      ):
        return True
    return False

  def _set_up(self, name: str) -> None:
    """A fresh copy of a good folder, and nothing else from the case before."""
    good = self.good(name)
    for folder in (self.case, *map(self._folder.joinpath, _FREE)):
      _remove(folder)
    shutil.copytree(good, self.case, symlinks=True)

  def _outside(self) -> dict[str, str]:
    """All that may not change."""
    listed = {path.name: "" for path in self._folder.iterdir()}
    for name in (kinds.GUARD, "here"):
      found = _files(self._folder / name)
      listed |= {f"{name}/{path}": content for path, content in found.items()}
    return {x: y for x, y in listed.items() if x not in ("case", *_FREE)}

  def _watched(self, target: Target, case: cases.Case) -> Ended | Problem:
    """How a case ends, if it does without a traceback."""
    said = io.StringIO()
    with _quiet(said), self._surroundings():
      try:
        with self._alarm(), _threads_heard(said):
          ended = target.play(self.case, case)
      except _Hung as error:
        return Problem(f"hangs {_place(error)}", traceback.format_exc()[-3000:])
      except (errors.UserError, errors.DivergedError, errors.Stopped) as error:
        ended = Ended(error.exit_code, str(error))
      except Exception as error:
        kind = f"{type(error).__name__} {_place(error)}"
        return Problem(kind, traceback.format_exc()[-3000:])
    return dataclasses.replace(ended, said=said.getvalue())

  @contextlib.contextmanager
  def _surroundings(self) -> Iterator[None]:
    """The current folder and the cache that cases have."""
    before, variables = os.getcwd(), dict(os.environ)
    os.environ["SR2_JAX_CACHE_DIR"] = str(self._folder / "cache")
    os.environ["HOME"] = str(self._folder / "here")
    os.chdir(self._folder / "here")
    try:
      yield
    finally:
      os.chdir(before)
      os.environ.clear()
      os.environ.update(variables)

  @contextlib.contextmanager
  def _alarm(self) -> Iterator[None]:
    """Ends what takes too long, wherever it waits."""

    def ring(signal_number: int, frame: FrameType | None) -> None:
      # Other threads may wait for a FIFO, and this one for them.
      for path in self._folder.rglob("*"):
        if stat.S_ISFIFO(path.lstat().st_mode):
          os.close(os.open(path, os.O_RDWR | os.O_NONBLOCK))
      raise _Hung

    old = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, self._limit, 1.0)
    try:
      yield
    finally:
      signal.setitimer(signal.ITIMER_REAL, 0)
      signal.signal(signal.SIGALRM, old)


def of_command(
  main: Callable[[], int], *, result: Callable[[str], Any] = str
) -> Ended:
  """How a program ends.

  Args:
    main: returns its exit code, and prints its messages.
    result: what counts of its standard output.
  """
  out, err = io.StringIO(), io.StringIO()
  with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
    try:
      code = main()
    except SystemExit as error:
      code = error.code if isinstance(error.code, int) else 2
  message = err.getvalue()
  # What argparse says of a usage comes before its message.
  message = message.rpartition(": error: ")[2]
  return Ended(code, message, result(out.getvalue()))


@contextlib.contextmanager
def _quiet(said: io.StringIO | None = None) -> Iterator[None]:
  """Keeps what is printed, and shows no warnings."""
  said = said or io.StringIO()
  with (
    warnings.catch_warnings(),
    contextlib.redirect_stdout(io.StringIO()),
    contextlib.redirect_stderr(said),
  ):
    warnings.simplefilter("ignore")
    yield


@contextlib.contextmanager
def _threads_heard(said: io.StringIO) -> Iterator[None]:
  """Keeps the tracebacks of other threads."""

  def heard(arguments: threading.ExceptHookArgs) -> None:
    traceback.print_exception(arguments.exc_value, file=said)

  before, threading.excepthook = threading.excepthook, heard
  try:
    yield
  finally:
    threading.excepthook = before


def _of_message(target: Target, case: cases.Case, message: str) -> str:
  """What is wrong with a message; "" if nothing is."""
  if not message.strip():
    return "empty"
  if len(message.splitlines()) > target.most_lines:
    return "too many lines"
  if max(map(len, message.splitlines())) > _MOST_CHARACTERS:
    return "too long"
  if any(not x.isprintable() for x in message.replace("\n", "")):
    return "not printable"
  named = [part for x in case.changes for part in _names(x["file"])]
  named += [y for x in case.words for y in _of_word(odd.typed(x))]
  if not any(x in message for x in ("config.", "--", "RUN", *named)):
    return "names nothing"
  return ""


def _of_word(word: str) -> list[str]:
  """What a message may call a word of a command by."""
  flag, _, value = word.partition("=")
  shown = [x[:60] for y in (word, flag, value) for x in (y, ascii(y)[1:-1])]
  return ["odd.py", *filter(None, (*shown, pathlib.PurePath(value).name))]


def _names(file: str) -> list[str]:
  path = pathlib.PurePath(file)
  return [*path.parts, path.stem]


def _is_any(file: str, patterns: Iterable[str]) -> bool:
  return any(pathlib.PurePath(file).match(pattern) for pattern in patterns)


def _difference(good: Any, found: Any) -> str:
  """Where two results differ, in a few lines."""
  if isinstance(good, dict) and isinstance(found, dict):
    pairs = {x: (good.get(x), found.get(x)) for x in (*good, *found)}
    return "\n".join(
      f"{name}: {str(old)[:300]} -> {str(new)[:300]}"
      for name, (old, new) in pairs.items()
      if old != new
    )
  return f"{str(good)[:600]}\n->\n{str(found)[:600]}"


def _place(error: BaseException) -> str:
  """Where in the project an exception comes from."""
  frames = traceback.extract_tb(error.__traceback__)
  own = [
    frame
    for frame in frames
    if "/sr2_jax/" in frame.filename or "/launch/" in frame.filename
  ]
  if not own:
    return f"in {frames[-1].filename}:{frames[-1].lineno}"
  path = pathlib.PurePath(own[-1].filename)
  return f"in {'/'.join(path.parts[-2:])}:{own[-1].name}"


def _files(folder: pathlib.Path) -> dict[str, str]:
  """What is in a folder, by path: kind, permissions and content."""
  found = {}
  for path in sorted(folder.rglob("*")):
    status = path.lstat()
    kind = stat.filemode(status.st_mode)
    content = ""
    if path.is_symlink():
      content = os.readlink(path)
    elif stat.S_ISREG(status.st_mode) and os.access(path, os.R_OK):
      content = hashlib.sha256(path.read_bytes()).hexdigest()
    found[path.relative_to(folder).as_posix()] = f"{kind} {content}"
  return found


def _remove(folder: pathlib.Path) -> None:
  """Deletes a folder, whatever its permissions are."""
  if not os.path.lexists(folder):
    return
  folder.chmod(0o700)
  for root, folders, _ in os.walk(folder):
    for name in folders:  # Before they are gone into.
      if not os.path.islink(os.path.join(root, name)):
        os.chmod(os.path.join(root, name), 0o700)
  shutil.rmtree(folder)
