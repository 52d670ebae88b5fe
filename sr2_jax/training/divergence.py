"""Which members of a run have diverged, while it trains.

A member diverges at the first step after which its loss, its validation loss or
its state is not finite. It keeps its last finite state, and the others go on.
"""

import dataclasses
import pathlib
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from sr2_jax import agreement, errors, messages
from sr2_jax.records import divergence as records
from sr2_jax.records import metrics_log
from sr2_jax.records import rows as rows_lib
from sr2_jax.training import phase as phase_lib
from sr2_jax.training import population

# A message names no more; metrics.jsonl and DONE have all.
_MOST_NAMED = 20


class Divergences:
  """The members of a run that have diverged.

  All processes of a run have the same, because they see the same numbers.

  Args:
    known: those on record.
    stop_at_once: `config.stop_on_divergence`.

  Raises:
    DivergedError: if there are any, and they stop a run at once.
  """

  def __init__(
    self,
    known: Iterable[records.Divergence] = (),
    *,
    stop_at_once: bool = False,
  ) -> None:
    self._known = list(known)
    self._stop_at_once = stop_at_once
    self._stop_if_asked()

  def of(self, phase: phase_lib.Phase) -> list[records.Divergence]:
    """The ends of a phase's members, or of what they started from."""
    return [
      dataclasses.replace(divergence, member=member)
      for member in phase.population.members
      for divergence in self._known
      if divergence.ends(phase.name, member)
    ]

  def alive(self, phase: phase_lib.Phase) -> np.ndarray:
    """The members of a phase that have not diverged, bool [M]."""
    ended = {divergence.member for divergence in self.of(phase)}
    return np.array([x not in ended for x in phase.population.members])

  def add(self, phase: phase_lib.Phase, step: int, alive: np.ndarray) -> None:
    """Records the members that are no longer alive at a step.

    Args:
      phase: what is trained.
      step: done in that phase.
      alive: bool [M]; False as well for those on record.

    Raises:
      DivergedError: if they stop a run at once.
    """
    if alive.all():
      return
    ended = self.alive(phase) & ~alive
    for place in np.flatnonzero(ended):
      member = phase.population.members[place]
      new = records.Divergence(phase=phase.name, step=step, member=member)
      self._known.append(new)
      messages.say(f"diverged: {new}")
    if ended.any():
      self._stop_if_asked()

  def last_step(self, phase: phase_lib.Phase) -> int:
    """The step of a phase at which its last member diverged so far."""
    steps = [x.step for x in self._known if x.phase == phase.name]
    return max(steps, default=0)

  def lines_of_done(self, phase: phase_lib.Phase) -> bytes:
    """The contents of DONE after the last phase."""
    return records.lines_of_done(
      phase.name, phase.population.members, self._known
    )

  def usable(
    self, phase: phase_lib.Phase, kind: str, variables: Any
  ) -> tuple[int, ...]:
    """Places of the members whose "last" or "best" weights count.

    They have not diverged, and their weights are finite. Those that an older
    version saved may not be; they are named.

    Raises:
      DivergedError: if there are none.
    """
    self.check_any_alive(phase)
    alive, finite = self.alive(phase), population.are_finite(variables)
    for place in np.flatnonzero(alive & ~finite):
      member = records.in_words(phase.population.members[place])
      messages.say(
        f"left out: the {kind} weights of {member} after {phase.name} are not "
        "finite"
      )
    places = tuple(map(int, np.flatnonzero(alive & finite)))
    if not places:
      raise errors.DivergedError(
        f"no {kind} weights after {phase.name} are finite."
      )
    return places

  def check_any_alive(self, phase: phase_lib.Phase) -> None:
    """Raises DivergedError if no member of a phase is left."""
    if not self.alive(phase).any():
      raise errors.DivergedError(
        _message(
          f"all members of {phase.name} diverged, so it ends here. A lower "
          f"config.{phase.name}.learning_rate may help, in another folder.",
          self.of(phase),
        )
      )

  def check_all_alive(self, phase: phase_lib.Phase) -> None:
    """Raises DivergedError if a member of the last phase has diverged."""
    found = self.of(phase)
    if found:
      raise errors.DivergedError(
        _message(
          f"finished, but {len(found)} of {phase.population.size} members "
          "diverged; they stayed at their last finite state:",
          found,
        )
      )

  def _stop_if_asked(self) -> None:
    if self._stop_at_once and self._known:
      raise errors.DivergedError(
        _message(
          "stopped, because members diverged; "
          "--config.stop_on_divergence=false goes on with the others:",
          self._known,
        )
      )


def on_record(
  folder: pathlib.Path, *, until: tuple[str, int] | None = None
) -> list[records.Divergence]:
  """What the metrics.jsonl of a run folder tells, as `records.read`."""
  return _of_first_process(records.read(folder, until=until))


def of_pretraining(
  folder: pathlib.Path,
  pretrained: population.Population,
  phase: phase_lib.Phase,
) -> list[records.Divergence]:
  """The ends in another run's pretraining of what a phase would start from.

  They are told of this run's own L2, as if it had pretrained each.

  Args:
    folder: of the other run.
    pretrained: its members.
    phase: of this run.
  """
  origins = phase.population.origins(pretrained)
  known, found = on_record(folder), []
  for member, origin in zip(phase.population.members, origins, strict=True):
    own = dataclasses.replace(member, loss_weight=None)
    found += [
      dataclasses.replace(divergence, member=own)
      for divergence in known
      if divergence.phase == "pretrain"
      and divergence.member.is_close(pretrained.members[origin])
    ]
  return list(dict.fromkeys(found))


def check_done(folder: pathlib.Path) -> None:
  """Raises DivergedError if a run that has finished has diverged members."""
  found = _of_first_process(records.read_done(folder))
  if found:
    raise errors.DivergedError(
      _message(f"of the members in {folder} these diverged:", found)
    )


def _of_first_process(
  found: Sequence[records.Divergence],
) -> list[records.Divergence]:
  """What process 0 has read: others may see a file late, and train on."""
  told = agreement.follow(
    "to look for members that diverged", [dataclasses.asdict(x) for x in found]
  )
  return [
    records.Divergence(
      phase=x["phase"], step=x["step"], member=rows_lib.Member(**x["member"])
    )
    for x in told
  ]


def _message(what: str, divergences: Sequence[records.Divergence]) -> str:
  """A heading, and a line for each member."""
  lines = [f"  {divergence}" for divergence in divergences[:_MOST_NAMED]]
  left_out = len(divergences) - len(lines)
  if left_out:
    lines.append(f"  and {left_out} more, listed in {metrics_log.FILE_NAME}")
  return "\n".join([what, *lines])
