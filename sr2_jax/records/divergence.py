"""Members that diverged, as a run folder records them; no JAX.

The last line that metrics.jsonl has of such a member carries `diverged_at`, a
step. A member of `joint` whose pretraining diverged has no line of its own
there. DONE has a line for each member of the last phase; in those of members
that diverged are the phase and `diverged_at`.
"""

import dataclasses
import os
import pathlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sr2_jax import files, names
from sr2_jax.records import json_lines, metrics_log, row_values
from sr2_jax.records import rows as rows_lib

_FIELD = metrics_log.DIVERGED_AT


@dataclasses.dataclass(frozen=True, kw_only=True)
class Divergence:
  """The end of a member.

  Attributes:
    phase: "pretrain" or "joint".
    step: the first step of that phase after which its loss, its validation
      loss or its state was not finite.
    member: which one; in `pretrain` without a loss weight, except in DONE.
  """

  phase: str
  step: int
  member: rows_lib.Member

  def ends(self, phase: str, member: rows_lib.Member) -> bool:
    """Whether it ended a member of a phase, or what that started from."""
    order = names.PHASES.index
    if order(self.phase) > order(phase):
      return False
    if order(self.phase) < order(phase):
      member = dataclasses.replace(member, loss_weight=self.member.loss_weight)
    return self.member.is_close(member)

  def __str__(self) -> str:
    return f"{in_words(self.member)}: step {self.step:,} of {self.phase}"


def in_words(member: rows_lib.Member) -> str:
  """Seed, L2 and λ of a member, as far as it has them."""
  parts = {"L2": member.l2, "λ": member.loss_weight}
  return ", ".join(
    [f"seed {member.seed}"]
    + [f"{name} {x:.9g}" for name, x in parts.items() if x is not None]
  )


def of_fields(fields: Mapping[str, Any]) -> Divergence:
  """What a line with `diverged_at` tells.

  Raises:
    ValueError, KeyError or TypeError: the line is damaged.
  """
  member = {name: fields[name] for name in ("seed", "l2", "loss_weight")}
  return Divergence(
    phase=names.PHASES[names.PHASES.index(fields["phase"])],
    step=row_values.read("step", int, fields[_FIELD]),
    member=rows_lib.Member(**member),
  )


def read(
  folder: pathlib.Path, *, until: tuple[str, int] | None = None
) -> list[Divergence]:
  """What the metrics.jsonl of a run folder tells, in its order.

  Args:
    folder: of the run.
    until: a phase and a step; leaves out what came after.
  """
  found = _read(folder / metrics_log.FILE_NAME)
  if until is None:
    return found
  phase, step = until
  last = (names.PHASES.index(phase), step)
  return [x for x in found if (names.PHASES.index(x.phase), x.step) <= last]


def read_done(folder: pathlib.Path) -> list[Divergence]:
  """What DONE tells; nothing where the run has not finished."""
  return _read(folder / "DONE")


def of_run(folder: pathlib.Path) -> list[Divergence]:
  """The members of a run that diverged, whether or not it has finished."""
  return read_done(folder) or read(folder)


def lines_of_done(
  phase: str,
  members: Sequence[rows_lib.Member],
  divergences: Iterable[Divergence],
) -> bytes:
  """The contents of DONE.

  Args:
    phase: the last one.
    members: of that phase.
    divergences: of the run.
  """
  lines = []
  for member in members:
    fields = dataclasses.asdict(member)
    for divergence in divergences:
      if divergence.ends(phase, member):
        fields |= {"phase": divergence.phase, _FIELD: divergence.step}
    lines.append(json_lines.dump(fields))
  return "".join(lines).encode()


def _read(path: str | os.PathLike[str]) -> list[Divergence]:
  """The lines of a file that tell of one; others may even be damaged."""
  try:
    lines = files.read(path).splitlines()
  except OSError:
    return []
  found = []
  for line in lines:
    # Few lines of a long file.
    if f'"{_FIELD}"'.encode() not in line:
      continue
    try:
      found.append(of_fields(json_lines.parse(line)))
    except (ValueError, KeyError, TypeError):
      continue
  return found
