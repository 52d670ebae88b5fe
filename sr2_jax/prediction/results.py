"""What a network makes of images, whole or piece by piece; no JAX."""

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class Prediction:
  """What a network makes of images; with [N] if it was given [N, H, W, C].

  Attributes:
    super_res: float32 [N, scale H, scale W, C], the mean of the members, not
      clipped to [0, 1]; without C if the image had none, and with one channel
      if the network is gray.
    spread: standard deviation of the members (ddof=1), like `super_res`; None
      for one member. Where seeds agree they can agree on something that is not
      there: low disagreement is no evidence.
    labels: int32 [N], the most probable class; None without classification.
    probabilities: float32 [N, classes], the mean of the members.
    of_members: float32 [N, M, classes], each member's own probabilities.
    agree: int [N], how many of the M members choose `labels` themselves.
    class_names: by label.
    reason: why there is no label, or None.
  """

  super_res: np.ndarray
  spread: np.ndarray | None
  labels: np.ndarray | None
  probabilities: np.ndarray | None
  of_members: np.ndarray | None
  agree: np.ndarray | None
  class_names: tuple[str, ...]
  reason: str | None = None


@dataclasses.dataclass(frozen=True)
class Piece:
  """The result for a part of an image.

  Attributes:
    image: index of the image.
    rows: of the super-resolved image.
    columns: of the super-resolved image.
    super_res: float32 [rows, columns, C], the mean of the members.
    spread: their standard deviation, or None for one member.
    of_members: probabilities, float32 [M, classes], or None.
    is_last: whether the image is now complete.
  """

  image: int
  rows: slice
  columns: slice
  super_res: np.ndarray
  spread: np.ndarray | None
  of_members: np.ndarray | None
  is_last: bool


def summary(
  of_members: np.ndarray | None,
) -> tuple[np.ndarray | None, np.ndarray | None, np.ndarray | None]:
  """Probabilities, labels and agreement of the members together.

  Args:
    of_members: probabilities [N, M, classes], or None.

  Returns:
    Mean probabilities [N, classes], labels [N], and how many members choose
    the label [N]; three times None for None.
  """
  if of_members is None:
    return None, None, None
  probabilities = of_members.mean(axis=1)
  labels = probabilities.argmax(axis=-1).astype(np.int32)
  agree = (of_members.argmax(axis=-1) == labels[:, None]).sum(axis=1)
  return probabilities, labels, agree
