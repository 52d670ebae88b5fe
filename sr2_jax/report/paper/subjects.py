"""What a number in the report measures: a method, data set and scale."""

import dataclasses

from sr2_jax.records import rows as rows_lib

# Epochs of `pretrain` and of `joint`, which is None after `pretrain`; None in
# rows that do not say.
Budget = tuple[float | None, float | None]


@dataclasses.dataclass(frozen=True)
class Subject:
  """One method, trained in one way, at one scale.

  Attributes:
    method: as in a row.
    dataset: as in a row.
    scale: as in a row.
    shared_layers: as in a row; None matches any number.
    loss_weight: as in a row: None in `pretrain`; 0 in `joint` without a
      classifier.
    budget: the epochs of its training; None matches any.
    experiments: those that may have measured it; None: any.
  """

  method: str
  dataset: str
  scale: int
  shared_layers: int | None = None
  loss_weight: float | None = None
  budget: Budget | None = None
  experiments: tuple[str, ...] | None = None

  def matches(self, row: rows_lib.Row) -> bool:
    """Whether the row is of this subject."""
    return (
      (self.method, self.dataset, self.scale)
      == (row.method, row.dataset, row.scale)
      and self.shared_layers in (None, row.shared_layers)
      and rows_lib.is_close(self.loss_weight, row.loss_weight)
      and (self.experiments is None or row.experiment in self.experiments)
      and self._is_of_budget(row)
    )

  def _is_of_budget(self, row: rows_lib.Row) -> bool:
    if self.budget is None or row.phase == "none":
      return True
    # A baseline is what `joint` starts from.
    if row.phase == "pretrain":
      return self.budget[0] == row.epochs
    return self.budget == budget_of(row)

  def __str__(self) -> str:
    text = f"`{self.method}` on {self.dataset} x{self.scale}"
    if self.shared_layers is not None:
      text += f", shared layers {self.shared_layers}"
    if self.loss_weight is not None:
      text += f", λ = {self.loss_weight:g}"
    return text


def budget_of(row: rows_lib.Row) -> Budget:
  """The epochs behind a row."""
  if row.phase == "pretrain":
    return (row.epochs, None)
  return (row.pretrain_epochs, row.epochs)
