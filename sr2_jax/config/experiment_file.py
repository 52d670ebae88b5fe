"""Finds experiment files and calls their functions; no JAX.

Experiment files import each other as `from experiments import default`. The
import must not depend on the current folder. While a file runs, `experiments`
means its own folder (if that has this name), then the shipped one.
"""

import contextlib
import difflib
import importlib.machinery
import importlib.util
import pathlib
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from types import FrameType, ModuleType
from typing import Any, TypeVar

import ml_collections

from sr2_jax import errors, paths
from sr2_jax.config import derived

# The experiments that come with sr2_jax: beside the package, in a checkout as
# in site-packages.
SHIPPED = pathlib.Path(__file__).absolute().parents[2] / "experiments"

Result = TypeVar("Result")


def load_config(path: str) -> ml_collections.ConfigDict:
  """The config that an experiment file's `get_config()` returns.

  Fields that it may leave out are filled in.

  Raises:
    UserError: if there is no such file, or it fails; names file and line.
  """
  found = find(path, kind="config file")
  config = call(found, "get_config", _changeable, kind="config file")
  if config is None:
    raise errors.UserError(
      f"The config file {found} has to define get_config() that returns a "
      "ConfigDict, as experiments/default.py does."
    )
  with blaming(found, kind="config file"):
    derived.fill_in(config)
  return config


def _changeable(config: Any) -> ml_collections.ConfigDict | None:
  """A config that may be changed; None if it is no config."""
  if isinstance(config, ml_collections.FrozenConfigDict):
    return ml_collections.ConfigDict(config)
  return config if isinstance(config, ml_collections.ConfigDict) else None


def find(
  path: str, *, kind: str, named_in: pathlib.Path | None = None
) -> pathlib.Path:
  """The file that a path means.

  A path is relative to the current folder. One that begins with "experiments/"
  and does not exist there is looked up among the files that come with sr2_jax.

  Args:
    path: as it was typed.
    kind: what messages call the file.
    named_in: the sweep file that names it. If that is in a folder called
      "experiments", its neighbors come before those of the current folder.

  Raises:
    UserError: says where it was looked for, and which file has a similar name.
  """
  typed = pathlib.Path(paths.local(path, kind))
  roots = [pathlib.Path()]
  if typed.parent.parts[:1] == ("experiments",):
    roots.append(SHIPPED.parent)
    if (
      named_in is not None and named_in.absolute().parent.name == "experiments"
    ):
      roots.insert(0, named_in.absolute().parents[1])
  for root in roots:
    if (root / typed).is_file():
      return root / typed
  here = pathlib.Path.cwd()
  others = {str(root): None for root in roots if root.absolute() != here}
  where = f" here, nor in {' or '.join(others)}" if others else ""
  names = [
    str(typed.parent / file.name)
    for root in roots
    for file in (root / typed).parent.glob("*.py")
  ]
  nearest = difflib.get_close_matches(str(typed), names, 1)
  hint = f" Did you mean {nearest[0]}?" if nearest else ""
  raise errors.UserError(f"There is no {kind} {path}{where}.{hint}")


def call(
  path: pathlib.Path,
  name: str,
  read: Callable[[Any], Result],
  *arguments: Any,
  kind: str,
) -> Result | None:
  """What the function `name` of a .py file returns; None if it has none.

  What the file prints goes to standard error: standard output may be the file
  that a program makes.

  Args:
    path: of the file.
    name: of the function.
    read: takes what the function returns, as long as a failure is the file's.
    *arguments: of the function.
    kind: what messages call the file.

  Raises:
    UserError: if the file fails in whatever way; names file and line.
    KeyboardInterrupt: after Ctrl-C.
  """
  spec = importlib.util.spec_from_file_location("experiment", path)
  if spec is None or spec.loader is None:
    raise errors.UserError(f"The {kind} {path} is not a .py file.")
  module = importlib.util.module_from_spec(spec)
  with (
    blaming(path, kind=kind),
    _imports_of(module, path.absolute().parent),
    contextlib.redirect_stdout(sys.stderr),
  ):
    spec.loader.exec_module(module)
    function = getattr(module, name, None)
    return read(function(*arguments)) if callable(function) else None
  return None


@contextlib.contextmanager
def blaming(path: pathlib.Path, *, kind: str) -> Iterator[None]:
  """Turns whatever a file's code raises into a UserError that names the line.

  A file that exits has failed as well: nothing of the run has been done.

  Raises:
    UserError: as it is, or for any other error.
    KeyboardInterrupt: after Ctrl-C.
  """
  with _ctrl_c() as is_pressed:
    try:
      yield
    except errors.UserError:
      raise
    except BaseException as error:
      if is_pressed():
        raise
      raise errors.UserError(
        f"The {kind} {path}{_line_in(path, error)} fails with "
        f"{errors.in_words(error)}"
      ) from error


@contextlib.contextmanager
def _ctrl_c() -> Iterator[Callable[[], bool]]:
  """Gives what tells Ctrl-C from a KeyboardInterrupt that a file raises."""
  pressed: list[int] = []

  def catch(number: int, frame: FrameType | None) -> None:
    pressed.append(number)
    signal.default_int_handler(number, frame)

  is_default = signal.getsignal(signal.SIGINT) is signal.default_int_handler
  # Only the main thread may set handlers, and only it has Ctrl-C.
  if not is_default or threading.current_thread() != threading.main_thread():
    yield lambda: False
    return
  signal.signal(signal.SIGINT, catch)
  try:
    yield lambda: bool(pressed)
  finally:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@contextlib.contextmanager
def _imports_of(module: ModuleType, folder: pathlib.Path) -> Iterator[None]:
  """Lets an experiment file import its neighbors and the shipped files.

  Modules that other code has imported under these names are put back.
  """
  folders = [folder] if folder.name == "experiments" else []
  spec = importlib.machinery.ModuleSpec("experiments", None, is_package=True)
  spec.submodule_search_locations = [str(f) for f in (*folders, SHIPPED)]
  before = _take_modules()
  sys.modules["experiments"] = importlib.util.module_from_spec(spec)
  # A dataclass looks its module up.
  sys.modules[module.__name__] = module
  try:
    yield
  finally:
    _take_modules()
    sys.modules.update(before)


def _take_modules() -> dict[str, ModuleType]:
  """Removes what is loaded as an experiment, and returns it."""
  names = [
    name
    for name in sys.modules
    if name.partition(".")[0] in ("experiment", "experiments")
  ]
  return {name: sys.modules.pop(name) for name in names}


def _line_in(path: pathlib.Path, error: BaseException) -> str:
  """Where in the file an exception came from, as ", line 12,"."""
  name = str(path.absolute())
  if isinstance(error, SyntaxError):
    return f", line {error.lineno}," if error.filename == name else ""
  frames = traceback.extract_tb(error.__traceback__)
  lines = [frame.lineno for frame in frames if frame.filename == name]
  return f", line {lines[-1]}," if lines else ""
