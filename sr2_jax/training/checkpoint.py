"""Checkpoints: saved by orbax in the background, verified on restoring.

A checkpoint is a tree of NumPy arrays and a manifest of their sha256, which
orbax commits together by one rename. Orbax alone restores a flipped byte
without noticing.

The commit holds a list of the files as well, in the form of sha256sum, without
orbax's own _CHECKPOINT_METADATA, which it still changes. The list is checked
before orbax opens the files: from some damaged ones orbax leaves threads behind
that print tracebacks into the run.
"""

import contextlib
import functools
import hashlib
import logging
import os
import pathlib
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp

from sr2_jax import errors, files, parallel
from sr2_jax.training import population

_FILE_LIST = "files.sha256"
# What a process finds of a checkpoint; the worst counts.
_GOOD, _DAMAGED, _UNREADABLE = range(3)


def manifest(tree: Any) -> dict[str, str]:
  """sha256 of every array's type, shape and bytes, by its path in the tree."""

  def digest(leaf: Any) -> str:
    array = np.ascontiguousarray(leaf)
    header = f"{array.dtype} {array.shape}".encode()
    return hashlib.sha256(header + array.tobytes()).hexdigest()

  leaves = jax.tree_util.tree_leaves_with_path(tree)
  return {jax.tree_util.keystr(path): digest(leaf) for path, leaf in leaves}


def _digests(folder: pathlib.Path) -> list[tuple[str, str]]:
  """The name and sha256 of every file of a checkpoint's items."""

  def fail(error: OSError) -> None:
    raise error  # A glob would leave out what it cannot list.

  found = []
  for item in filter(pathlib.Path.is_dir, folder.iterdir()):
    for root, _, names in os.walk(item, onerror=fail):
      for path in (pathlib.Path(root) / name for name in names):
        with path.open("rb") as file:
          digest = hashlib.file_digest(file, "sha256").hexdigest()
        found.append((path.relative_to(folder).as_posix(), digest))
  return sorted(found)


def _system_error(error: Exception) -> tuple[int, str] | None:
  """Number and text of the system's error that ends TensorStore's messages."""
  code = re.search(r"os_error_code='(\d+)'", str(error))
  return (int(code[1]), os.strerror(int(code[1]))) if code else None


def _reason(error: Exception) -> str:
  """What an error of orbax or of the system says, in a few words."""
  if isinstance(error, OSError) and error.strerror:
    return error.strerror
  system_error = _system_error(error)
  if system_error:
    return system_error[1]
  lines = str(error).strip().splitlines()
  return lines[0][:200] if lines else type(error).__name__


@functools.cache
def _silence_abandoned_work() -> None:
  """Keeps a traceback for each array out of the run where one array fails.

  Orbax then closes its event loop, and what TensorStore still has to say about
  the other arrays finds it closed. The failure itself is raised all the same.
  """
  before = sys.unraisablehook

  def hook(unraisable: Any) -> None:
    error = unraisable.exc_value
    if not isinstance(error, RuntimeError) or "loop is closed" not in str(
      error
    ):
      before(unraisable)

  sys.unraisablehook = hook


class Checkpoints:
  """The checkpoints of one phase, in one folder, by step."""

  def __init__(
    self, folder: pathlib.Path, *, keep: int = 1, read_only: bool = False
  ) -> None:
    """Opens the folder and removes what a killed save left there.

    Args:
      folder: is created, unless `read_only`.
      keep: latest checkpoints kept.
      read_only: change nothing; another run may work there.
    """
    self._folder = folder.absolute()
    self._keep = keep
    self._read_only = read_only
    # Orbax logs each save at several levels, and the traceback of an error that
    # it raises as well; a run reports for itself.
    logging.getLogger("absl").setLevel(logging.CRITICAL)
    _silence_abandoned_work()
    self._open()

  def _open(self) -> None:
    self._manager = ocp.CheckpointManager(
      self._folder,
      item_names=("state", "manifest"),
      options=ocp.CheckpointManagerOptions(
        max_to_keep=self._keep,
        create=not self._read_only,
        cleanup_tmp_directories=not self._read_only,
        read_only=self._read_only,
        step_format_fixed_length=8,
        async_options=ocp.AsyncOptions(
          post_finalization_callback=self._list_files
        ),
        # Two folders may save the same step at once; by default the barriers
        # of their processes would have the same name.
        multiprocessing_options=ocp.options.MultiprocessingOptions(
          barrier_sync_key_prefix=(
            f"{self._folder.parent.name}_{self._folder.name}"
          )
        ),
      ),
    )

  @property
  def steps(self) -> list[int]:
    """Steps that have a checkpoint, earliest first.

    Those found on opening and those saved since. The folder is not read again:
    orbax may be deleting an old checkpoint there.
    """
    return sorted(self._manager.all_steps())

  def save(self, step: int, tree: Any) -> None:
    """Writes NumPy arrays in the background; waits for the write before it.

    The arrays must not change afterwards.

    Raises:
      UserError: if this write cannot begin, or the one before it has failed.
    """
    # Until the write before it is over, orbax's list of checkpoints and the
    # folder differ, and it would miscount those to keep.
    self.wait()
    if step in self.steps:
      return
    with self._failures_named():
      self._manager.save(
        step,
        args=ocp.args.Composite(
          state=ocp.args.StandardSave(tree),
          manifest=ocp.args.JsonSave(manifest(tree)),
        ),
        force=True,
      )

  def restore(self, step: int, like: Any) -> Any:
    """The verified tree of a step, NumPy arrays in the form of `like`.

    All processes of a run call this, and none goes on unless all can.

    Raises:
      ValueError: says what is wrong with the checkpoint.
      UserError: if the system does not let it be read.
    """
    tree, problem, verdict = None, None, _GOOD
    reason = "by another process"
    try:
      tree = self._restore(step, like)
    except ValueError as error:
      problem, verdict = error, _DAMAGED
    except Exception as error:
      # Orbax raises whatever its parts raise, a bare Exception included.
      problem, verdict, reason = error, _UNREADABLE, _reason(error)
    worst = parallel.highest(verdict)
    if worst == _DAMAGED:
      raise problem or ValueError("another process finds it so")
    if worst == _UNREADABLE:
      raise errors.UserError(
        f"{self._path(step)}: this checkpoint cannot be read ({reason}).\n"
        "Mend that and give the same command again."
      ) from problem
    return tree

  def _restore(self, step: int, like: Any) -> Any:
    """What this process finds; ValueError where it is damaged.

    Any other error is the system's: the files are as they were written.
    """
    self._verify_files(step)
    abstract = jax.tree.map(lambda x: np.empty(np.shape(x), x.dtype), like)
    try:
      restored = self._read(step, abstract)
    except (ValueError, TypeError, KeyError) as error:
      system_error = _system_error(error)
      if system_error:
        raise OSError(*system_error) from error
      raise ValueError(f"it has another form ({_reason(error)})") from error
    tree = jax.tree.map(np.asarray, restored["state"])
    for (path, found_leaf), leaf in zip(
      jax.tree_util.tree_leaves_with_path(tree),
      jax.tree.leaves(abstract),
      strict=True,
    ):
      if (found_leaf.shape, found_leaf.dtype) != (leaf.shape, leaf.dtype):
        raise ValueError(
          f"{jax.tree_util.keystr(path)} is {found_leaf.dtype} "
          f"{found_leaf.shape}, not {leaf.dtype} {leaf.shape}"
        )
    expected, found = restored["manifest"], manifest(tree)
    for name in found:
      if expected.get(name) != found[name]:
        raise ValueError(f"sha256 of {name} differs from its manifest")
    return tree

  def _read(self, step: int, abstract: Any) -> Any:
    """What orbax makes of a step's files, read by this process alone.

    Its manager would wait for the other processes at the end, of which one may
    have found the files damaged.
    """
    this = jax.process_index()
    options = ocp.options.MultiprocessingOptions(
      primary_host=this,
      active_processes={this},
      barrier_sync_key_prefix=f"reader_{this}",
    )
    handler = ocp.CompositeCheckpointHandler(
      state=ocp.StandardCheckpointHandler(multiprocessing_options=options),
      manifest=ocp.JsonCheckpointHandler(multiprocessing_options=options),
    )
    reader = ocp.Checkpointer(handler, multiprocessing_options=options)
    with contextlib.closing(reader):
      return reader.restore(
        self._path(step),
        args=ocp.args.Composite(
          state=ocp.args.StandardRestore(abstract),
          manifest=ocp.args.JsonRestore(),
        ),
      )

  def restore_latest(
    self, like: Any, *, required: bool = True
  ) -> tuple[int, Any] | None:
    """The newest good checkpoint, or None where none was ever saved.

    A damaged one is named on standard error and, unless read-only, moved aside
    into `damaged/`, and the one before it is tried. Several processes take the
    same one: what is damaged to one of them is to all.

    Args:
      like: a tree of the same form.
      required: whether checkpoints of which none is good are an error; None is
        returned otherwise.

    Raises:
      UserError: if there are checkpoints and none of them is good, or the
        system does not let one be read.
    """
    steps = self.steps
    bad = []
    for step in reversed(steps):
      try:
        tree = self.restore(step, like)
      except ValueError as error:
        bad.append(step)
        if parallel.is_main_process():
          print(
            f"damaged checkpoint {self._path(step)}: {error}", file=sys.stderr
          )
        continue
      self._set_aside(bad)
      return step, tree
    if steps and required:
      raise errors.UserError(
        f"no good checkpoint is left in {self._folder} ({len(steps)} damaged)."
        "\nRestore the folder from a copy, or delete it to train this phase "
        "again."
      )
    self._set_aside(bad)
    return None

  def wait(self) -> None:
    """Returns when the last save is committed.

    Raises:
      UserError: if it has failed.
    """
    with self._failures_named():
      self._manager.wait_until_finished()

  def check(self) -> None:
    """Raises the UserError of a save that has failed; waits for none."""
    if not self._manager.is_saving_in_progress():
      self.wait()

  def close(self) -> None:
    """Waits, and ends the background work; raises as `wait` does."""
    with self._failures_named():
      self._manager.close()

  @contextlib.contextmanager
  def _failures_named(self) -> Iterator[None]:
    """Makes a UserError of a write that fails, on a full disk for one."""
    try:
      yield
    except Exception as error:
      # Orbax raises whatever its parts raise, OSError and ValueError for two.
      raise errors.SaveFailedError(
        f"{self._folder}: a checkpoint cannot be written ({_reason(error)}).\n"
        "Make room or mend the folder; the same command goes on from the "
        "checkpoint before it."
      ) from error

  def _path(self, step: int) -> pathlib.Path:
    return self._folder / f"{step:08d}"

  def _list_files(self) -> None:
    """Adds the list of files to a save before orbax commits it.

    Orbax calls this in its own thread, in every process.
    """
    if parallel.is_main_process():
      for folder in self._folder.glob("*.orbax-checkpoint-tmp"):
        lines = (f"{value}  {name}\n" for name, value in _digests(folder))
        files.write_atomically(folder / _FILE_LIST, "".join(lines).encode())

  def _verify_files(self, step: int) -> None:
    """Raises ValueError where a file is not as it was written."""
    folder = self._path(step)
    try:
      lines = (folder / _FILE_LIST).read_text(errors="replace").splitlines()
    except FileNotFoundError as error:
      raise ValueError(f"{_FILE_LIST}: {error.strerror}") from error
    expected = {
      name: value for value, _, name in (x.partition("  ") for x in lines)
    }
    found = dict(_digests(folder))
    for name in sorted(expected.keys() | found.keys()):
      if name not in found:
        raise ValueError(f"{name} is missing")
      if expected.get(name) != found[name]:
        raise ValueError(f"sha256 of {name} differs from {_FILE_LIST}")

  def _set_aside(self, steps: list[int]) -> None:
    if not steps or self._read_only:
      return
    self._manager.close()
    if parallel.is_main_process():
      for step in steps:
        target = (
          self._folder.parent / "damaged" / (f"{self._folder.name}_{step:08d}")
        )
        shutil.rmtree(target, ignore_errors=True)
        target.parent.mkdir(exist_ok=True)
        self._path(step).rename(target)
    parallel.barrier("damaged checkpoints set aside")
    self._open()


class Best:
  """Each member's weights at its lowest validation loss, kept on disk.

  What is kept may be ahead of a resumed run. That does no harm: the run comes
  to the same losses again, and of equal losses the earlier stays. It must never
  be behind: a resumed run does not validate again what its checkpoint is past.
  Callers `wait` before they save that checkpoint.
  """

  def __init__(self, folder: pathlib.Path, variables: Any) -> None:
    """Opens the folder.

    Args:
      folder: of these checkpoints.
      variables: a tree of the form of those that `update` gets.
    """
    self._checkpoints = Checkpoints(folder, keep=1)
    had_any = bool(self._checkpoints.steps)
    newest = self._checkpoints.restore_latest(
      best_form(variables), required=False
    )
    self._best = None if newest is None else newest[1]
    if had_any and newest is None and parallel.is_main_process():
      print(
        f"the best weights in {folder} are lost; the best of the validations "
        "from here on takes their place",
        file=sys.stderr,
      )

  def update(
    self, step: int, loss: np.ndarray, fetch_variables: Callable[[], Any]
  ) -> None:
    """Keeps the members whose loss [M] is lower than ever."""
    loss = np.where(np.isnan(loss), np.inf, loss)
    is_better = (
      np.full(loss.shape, True)
      if self._best is None
      else loss < self._best["loss"]
    )
    if not is_better.any():
      return
    new = {
      "variables": fetch_variables(),
      "loss": np.asarray(loss, np.float64),
      "step": np.full(loss.shape, step, np.int32),
    }
    if self._best is not None:
      new = population.where(is_better, new, self._best)
    self._best = new
    self._checkpoints.save(step, new)

  def wait(self) -> None:
    """Returns when the best so far is on disk; raises as `close` does."""
    self._checkpoints.wait()

  def close(self) -> None:
    """Waits until the best is on disk; raises UserError where it fails."""
    self._checkpoints.close()


def best_form(variables: Any) -> dict[str, Any]:
  """Shapes and types of what `Best` keeps, for variables of a population."""
  size = jax.tree.leaves(variables)[0].shape[0]
  return {
    "variables": variables,
    "loss": np.empty(size, np.float64),
    "step": np.empty(size, np.int32),
  }
