"""Checkpoints: saved by orbax in the background, verified on restoring.

A checkpoint is a tree of NumPy arrays, whose files orbax commits by one rename.
Orbax restores a flipped byte without noticing, so each commit also holds the
sha256 of every file but orbax's own _CHECKPOINT_METADATA, which still changes
afterwards, and says which checkpoint of which run it is.

The files are checked before orbax opens them. On some damaged files orbax
leaves threads running that print tracebacks during the run.
"""

import contextlib
import logging
import pathlib
import sys
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp

from sr2_jax import agreement, cluster, errors, files, parallel
from sr2_jax.training import file_list, identity, literal_path, orbax_errors

# What a process finds of a checkpoint; the worst counts.
_GOOD, _DAMAGED, _UNREADABLE = range(3)


class Checkpoints:
  """The checkpoints of one phase, in one folder, by step."""

  def __init__(
    self, folder: pathlib.Path, *, keep: int = 1, read_only: bool = False
  ) -> None:
    """Opens the folder and removes what a killed save left there.

    Args:
      folder: created if missing, unless `read_only`.
      keep: number of checkpoints to keep, the latest ones.
      read_only: change nothing; another run may be working there.
    """
    self._folder = folder.absolute()
    self._keep = keep
    self._read_only = read_only
    # Step of the save that goes on, and what the logs held then.
    self._saving: tuple[int, Mapping[str, Any] | None] = (-1, None)
    # Orbax logs every save and every traceback; a run has its own messages.
    logging.getLogger("absl").setLevel(logging.CRITICAL)
    orbax_errors.silence_abandoned_work()
    self._open()

  def _open(self) -> None:
    try:
      self._manager = ocp.CheckpointManager(
        literal_path.literal(self._folder),
        item_names=("state",),
        options=ocp.CheckpointManagerOptions(
          max_to_keep=self._keep,
          create=not self._read_only,
          cleanup_tmp_directories=not self._read_only,
          read_only=self._read_only,
          step_format_fixed_length=8,
          async_options=ocp.AsyncOptions(
            post_finalization_callback=self._list_files
          ),
          # By default the barriers of two folders' saves have the same name.
          multiprocessing_options=ocp.options.MultiprocessingOptions(
            barrier_sync_key_prefix=(
              f"{self._folder.parent.name}_{self._folder.name}"
            )
          ),
        ),
      )
    except (ValueError, TypeError, LookupError, AttributeError) as error:
      # Of these files orbax believes every word, and no restore needs them.
      raise errors.UserError(
        f"{self._folder}: a _CHECKPOINT_METADATA in it is damaged "
        f"({orbax_errors.reason(error)}).\nMove these files away; only orbax's "
        "notes on the time of a save are in them."
      ) from error

  @property
  def steps(self) -> list[int]:
    """Steps that have a checkpoint, earliest first.

    Those found on opening and those saved since then. The folder is not read
    again, because orbax may be deleting an old checkpoint there.
    """
    return sorted(self._manager.all_steps())

  def save(
    self, step: int, tree: Any, logs: Mapping[str, Any] | None = None
  ) -> None:
    """Starts to write NumPy arrays, once the previous write has finished.

    Args:
      step: of the checkpoint; nothing is done if it has one.
      tree: the arrays, which must not change afterwards.
      logs: what the logs of the run hold now, as `logs` gives it back.

    Raises:
      UserError: if this write cannot start, or the previous one failed.
    """
    # During a write, orbax's list of checkpoints differs from the folder, and
    # it would miscount those to keep.
    self.wait()
    if step in self.steps:
      return
    self._saving = (step, logs)
    with self._failures_named():
      self._manager.save(
        step,
        args=ocp.args.Composite(state=ocp.args.StandardSave(tree)),
        force=True,
      )

  def restore(self, step: int, abstract_state: Any) -> Any:
    """A step's verified tree of NumPy arrays.

    All processes of a run call this, and none continues unless all can.

    Args:
      step: one of `steps`.
      abstract_state: a tree of the same structure, shapes and types.

    Raises:
      ValueError: says what is wrong with the checkpoint.
      UserError: if the system cannot read it.
    """
    tree, problem, verdict, reason = None, None, _GOOD, "by another process"
    try:
      tree = self._restore(step, abstract_state)
    except ValueError as error:
      problem, verdict = error, _DAMAGED
    except Exception as error:
      # Orbax raises whatever its parts raise, even a bare Exception.
      problem, verdict, reason = error, _UNREADABLE, orbax_errors.reason(error)
    worst = cluster.highest(verdict)
    if worst == _DAMAGED:
      raise problem or ValueError("another process finds it damaged")
    if worst == _UNREADABLE:
      raise errors.UserError(
        f"{self._path(step)}: this checkpoint cannot be read ({reason}).\n"
        "Fix this and run the same command again."
      ) from problem
    return tree

  def _restore(self, step: int, abstract_state: Any) -> Any:
    """What this process reads; ValueError if damaged, else the system's."""
    file_list.verify(self._path(step))
    identity.check(self._path(step), step)
    abstract_state = jax.tree.map(
      lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), abstract_state
    )
    try:
      tree = self._read(step, abstract_state)
    except (ValueError, TypeError, KeyError) as error:
      system_error = orbax_errors.system_error(error)
      if system_error:
        raise OSError(*system_error) from error
      reason = orbax_errors.reason(error)
      raise ValueError(
        f"its arrays are not those of this network ({reason})"
      ) from error
    for (path, found), leaf in zip(
      jax.tree_util.tree_leaves_with_path(tree),
      jax.tree.leaves(abstract_state),
      strict=True,
    ):
      if (found.shape, found.dtype) != (leaf.shape, leaf.dtype):
        raise ValueError(
          f"{jax.tree_util.keystr(path)} is {found.dtype} {found.shape}, "
          f"not {leaf.dtype} {leaf.shape}"
        )
    identity.check_count(self._path(step), step, tree)
    return tree

  def _read(self, step: int, abstract_state: Any) -> Any:
    """What orbax restores in this process, without the others.

    Its manager would wait for the other processes at the end, and one of them
    may have found the files damaged.
    """
    this = jax.process_index()
    options = ocp.options.MultiprocessingOptions(
      primary_host=this,
      active_processes={this},
      barrier_sync_key_prefix=f"reader_{this}",
    )
    handler = ocp.PyTreeCheckpointHandler(multiprocessing_options=options)
    # Orbax would convert arrays to the types of a tree without these.
    as_saved = jax.tree.map(
      lambda _: ocp.RestoreArgs(restore_type=np.ndarray), abstract_state
    )
    with ocp.Checkpointer(handler, multiprocessing_options=options) as reader:
      return reader.restore(
        literal_path.literal(self._path(step) / "state"),
        args=ocp.args.PyTreeRestore(abstract_state, restore_args=as_saved),
      )

  def restore_latest(
    self, abstract_state: Any, *, required: bool = True
  ) -> tuple[int, Any] | None:
    """The newest good checkpoint, or None if none was ever saved.

    A damaged one is named on standard error and, unless read-only, moved into
    `damaged/`; then the previous one is tried. All processes take the same one:
    what is damaged for one of them is damaged for all.

    Args:
      abstract_state: a tree of the same structure, shapes and types, or a
        function that makes one; it is called only if there is a checkpoint.
      required: raise an error if all are damaged, instead of returning None.

    Raises:
      UserError: if there are checkpoints and none of them is good, or the
        system cannot read one.
    """
    steps = agreement.on_checkpoints(
      self._folder, lambda: self.steps, refresh=self._manager.reload
    )
    if steps and callable(abstract_state):
      abstract_state = abstract_state()
    bad = []
    for step in reversed(steps):
      try:
        tree = self.restore(step, abstract_state)
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
        "\nRestore the folder from a copy, or move it away to train this phase "
        "again."
      )
    self._set_aside(bad)
    return None

  def logs(self, step: int) -> Mapping[str, Any] | None:
    """What the logs held at a checkpoint that was restored; None: unknown."""
    return identity.logs_of(self._path(step))

  def wait(self) -> None:
    """Returns when the last save is committed.

    Raises:
      UserError: if it failed.
    """
    with self._failures_named():
      self._manager.wait_until_finished()

  def check(self) -> None:
    """Raises the UserError of a save that has failed; does not wait."""
    if not self.is_saving():
      self.wait()

  def is_saving(self) -> bool:
    """Whether a save has begun and is not committed yet."""
    return self._manager.is_saving_in_progress()

  def close(self) -> None:
    """Waits and ends the background work; raises as `wait` does."""
    with self._failures_named():
      self._manager.close()

  @contextlib.contextmanager
  def _failures_named(self) -> Iterator[None]:
    """Turns a failed write, such as on a full disk, into a UserError."""
    try:
      yield
    except Exception as error:
      # Orbax raises whatever its parts raise, such as OSError and ValueError.
      reason = orbax_errors.reason(error)
      way_out = orbax_errors.way_to_room(error) or "Make room or fix the folder"
      raise errors.SaveFailedError(
        f"{self._folder}: a checkpoint cannot be written ({reason}).\n"
        f"{way_out}; the same command resumes from the previous checkpoint."
      ) from error

  def _path(self, step: int) -> pathlib.Path:
    return self._folder / f"{step:08d}"

  def _list_files(self) -> None:
    """Adds identity and list of files to a save before orbax commits it.

    Orbax calls this in its own thread, in every process.
    """
    step, logs = self._saving
    if parallel.is_main_process():
      for folder in self._folder.glob("*.orbax-checkpoint-tmp"):
        identity.write(folder, step, logs)
        file_list.write(folder)

  def _set_aside(self, steps: list[int]) -> None:
    """Moves damaged checkpoints out of the way; the same steps come again.

    Raises:
      UserError: if one cannot be moved.
    """
    if not steps or self._read_only:
      return
    self._manager.close()
    if parallel.is_main_process():
      damaged = self._folder.parent / "damaged"
      for step in steps:
        try:
          target = damaged / f"{self._folder.name}_{step:08d}"
          files.set_aside(self._path(step), target)
        except OSError as error:
          raise errors.UserError(
            f"{self._path(step)} is damaged, and cannot be moved to {damaged} "
            f"({files.in_words(error)}).\nMove it away and start again."
          ) from error
    parallel.barrier("damaged checkpoints set aside")
    self._open()
