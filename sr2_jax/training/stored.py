"""The weights that the checkpoints of a run folder hold.

Two thirds of a checkpoint are the optimizer's state, which only a run that goes
on needs. Once a run is done, it may keep its last weights alone, in `final`.
"""

import pathlib
import shutil
from collections.abc import Iterable
from typing import Any

from sr2_jax import agreement, errors, messages, parallel
from sr2_jax.records import folder as folder_lib
from sr2_jax.training import best, checkpoint, steps
from sr2_jax.training import phase as phase_lib

FINAL = "final"


def weights(
  folder: folder_lib.RunFolder, phase: phase_lib.Phase, kind: str
) -> tuple[Any, list[int]] | None:
  """The "last" or "best" weights and each member's steps; None if missing.

  All processes of a run call this.

  Raises:
    UserError: if there are checkpoints and none of them is good.
  """
  topic = "to look for a folder"
  kind = agreement.follow(topic, _kind(folder, phase.name, kind))
  place = folder.checkpoints(phase.name, kind)
  if not agreement.follow(topic, place.is_dir()):
    return None
  saved = checkpoint.Checkpoints(place, read_only=True)
  if kind == "best":
    wanted = best.abstract_state(phase.abstract_state().variables)
    newest = saved.restore_latest(wanted, required=False)
    if newest is None:
      if saved.steps:
        raise errors.UserError(
          f"no good checkpoint is left in {place}.\n"
          "Restore the folder from a copy, or evaluate the last weights: "
          "--config.eval.checkpoint=last."
        )
      return None
    return newest[1]["variables"], newest[1]["step"].tolist()
  newest = saved.restore_latest(_abstract_state(phase, kind))
  if newest is None:
    return None
  step, state = newest
  return _state(state).variables, [step] * phase.population.size


def pretrained(
  folder: folder_lib.RunFolder, phase: phase_lib.Phase
) -> steps.TrainState:
  """The state at the end of a pretraining, for another phase to start from.

  Its weights are what counts; the optimizer's state may be missing.

  Raises:
    UserError: if it has not finished or is damaged.
  """
  kind = _kind(folder, phase.name, "last")
  place = folder.checkpoints(phase.name, kind)
  checkpoints = checkpoint.Checkpoints(place, read_only=True)
  if phase.num_steps not in checkpoints.steps:
    raise errors.UserError(
      f"{folder.path} has no finished pretraining.\n"
      "First run it to the end of that phase."
    )
  try:
    abstract = _abstract_state(phase, kind)
    return _state(checkpoints.restore(phase.num_steps, abstract))
  except ValueError as error:
    raise errors.UserError(f"damaged checkpoint in {place}: {error}.") from (
      error
    )


def keep_final(
  folder: folder_lib.RunFolder, phases: Iterable[phase_lib.Phase]
) -> None:
  """Saves the last weights of each phase once more, by themselves.

  Before the run is done, so that it can go on if it is killed meanwhile. A
  phase whose checkpoints are all damaged is left as it is.

  Raises:
    UserError: if they cannot be written.
  """
  for phase in phases:
    try:
      found = weights(folder, phase, "last")
    except errors.UserError as error:
      messages.say(f"the checkpoints of {phase.name} are kept: {error}")
      continue
    if found is not None:
      variables, [step, *_] = found
      saved = checkpoint.Checkpoints(folder.checkpoints(phase.name, FINAL))
      saved.save(step, {"variables": variables})
      saved.close()


def drop_states(folder: folder_lib.RunFolder) -> None:
  """Deletes the checkpoints of a run that is done, where weights are kept."""
  if parallel.is_main_process() and folder.is_done:
    for kept in _final_folders(folder):
      shutil.rmtree(kept.parent / "last", ignore_errors=True)


def check_can_go_on(folder: folder_lib.RunFolder) -> None:
  """Refuses to go on without the optimizer's state.

  Raises:
    UserError: if the run has been done, and DONE has been taken away.
  """
  for kept in _final_folders(folder):
    if not (kept.parent / "last").is_dir():
      raise errors.UserError(
        f"{folder.path} had finished, and only the weights are left of its "
        "checkpoints: it cannot go on.\nPut its file DONE back, or give "
        "another --workdir."
      )


def _final_folders(folder: folder_lib.RunFolder) -> list[pathlib.Path]:
  return sorted(folder.path.glob(f"checkpoints/*/{FINAL}"))


def _kind(folder: folder_lib.RunFolder, phase: str, kind: str) -> str:
  """FINAL instead of "last" if the run is done and has kept weights alone."""
  has_final = folder.is_done and folder.checkpoints(phase, FINAL).is_dir()
  return FINAL if kind == "last" and has_final else kind


def _abstract_state(phase: phase_lib.Phase, kind: str) -> Any:
  state = phase.abstract_state()
  return {"variables": state.variables} if kind == FINAL else state


def _state(restored: Any) -> steps.TrainState:
  """A state, without the optimizer's where only weights were kept."""
  if isinstance(restored, steps.TrainState):
    return restored
  return steps.TrainState(**restored["variables"], opt_state=())
