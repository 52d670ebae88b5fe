"""The vocabulary, in one place: keys, titles and order of everything; no JAX.

Configs and rows hold the keys; tables and figures show the titles. Every list
of trunks, wirings, methods, metrics or corruptions is made from these.
"""

import dataclasses

PHASES = ("pretrain", "joint")

# What is said with every result of a network on a user's images.
CAUTION = (
  "Super-resolution draws what is likely, not what was there. Not evidence."
)


@dataclasses.dataclass(frozen=True)
class Trunk:
  """A super-resolution network.

  Attributes:
    key: `model.trunk`.
    title: its name in figures.
    classifies: whether a classifier can be attached to it.
  """

  key: str
  title: str
  classifies: bool = True


TRUNKS = {
  trunk.key: trunk
  for trunk in (
    Trunk("fsrcnn", "FSRCNN"),
    Trunk("wdsr", "WDSR"),
    Trunk("srmd", "SRMD", classifies=False),
  )
}


@dataclasses.dataclass(frozen=True)
class Wiring:
  """Where the classifier is attached in `joint`.

  Attributes:
    key: `model.wiring`.
    family: family of the resulting methods, and prefix of their keys.
    title: title of the resulting methods, with {} for the trunk's title.
  """

  key: str
  family: str
  title: str


WIRINGS = {
  wiring.key: wiring
  for wiring in (
    # No classifier: the control, super-resolution trained for as long.
    Wiring("none", "sr_continued", "{} control"),
    # On the super-resolved image.
    Wiring("sequential", "sequential", "Sequential {}"),
    # On the shared layers: SR2.
    Wiring("parallel", "sr2", "SR² {}"),
  )
}

# Groups of methods, each drawn in one style, in the order of a table's lines.
# "trunk" is a trunk after `pretrain`.
FAMILIES = ("bicubic", "trunk", "sr_continued", "other", "sequential", "sr2")


@dataclasses.dataclass(frozen=True)
class Method:
  """A network after a phase, or a baseline that it is compared with.

  Attributes:
    key: its name in rows and files.
    title: its name in figures.
    family: one of FAMILIES.
    trunk: a key of TRUNKS, or None.
    is_trained: whether a run trains it; phase "none" in rows otherwise.
  """

  key: str
  title: str
  family: str
  trunk: str | None = None
  is_trained: bool = True


def _methods_of(trunk: Trunk) -> list[Method]:
  """Methods of a trunk: after `pretrain`, then after `joint` in each wiring."""
  return [
    Method(trunk.key, trunk.title, "trunk", trunk.key),
    *(
      Method(
        f"{wiring.family}_{trunk.key}",
        wiring.title.format(trunk.title),
        wiring.family,
        trunk.key,
      )
      for wiring in WIRINGS.values()
    ),
  ]


METHODS = {
  method.key: method
  for method in (
    Method("bicubic", "Bicubic", "bicubic", is_trained=False),
    Method("srmd", "SRMD (released)", "other", "srmd", is_trained=False),
    Method("srmd_retrained", "SRMD retrained", "other", "srmd"),
    *(
      method
      for trunk in TRUNKS.values()
      if trunk.classifies
      for method in _methods_of(trunk)
    ),
  )
}
UNTRAINED = tuple(m.key for m in METHODS.values() if not m.is_trained)


def method(key: str) -> Method:
  """The method with this key; an unknown key is also the title."""
  return METHODS.get(key) or Method(key, key, "other")


def method_after(phase: str, *, trunk: str, wiring: str) -> Method:
  """The method that a network is after a phase.

  "fsrcnn", "wdsr" or "srmd_retrained" after `pretrain`; "sr2_fsrcnn",
  "sequential_wdsr", "sr_continued_fsrcnn" and so on after `joint`.
  """
  if phase == "joint":
    return METHODS[f"{WIRINGS[wiring].family}_{trunk}"]
  return METHODS[trunk if TRUNKS[trunk].classifies else f"{trunk}_retrained"]


@dataclasses.dataclass(frozen=True)
class Metric:
  """A number that evaluation measures.

  Attributes:
    key: its name in rows.
    title: its heading in tables.
    decimals: digits after the point in tables.
    less_is_better: whether lower values are better.
  """

  key: str
  title: str
  decimals: int = 3
  less_is_better: bool = False


# Image metrics are defined in `imaging.metrics`, those that count classes in
# `records.confusion`. Losses are per image, as in training.
METRICS = {
  metric.key: metric
  for metric in (
    Metric("ssim", "SSIM (Gaussian 11x11 window, sigma 1.5, range 1)"),
    Metric("ssim_uniform7", "SSIM (uniform 7x7 window, range 1)"),
    Metric("ssim_uniform7_range2", "SSIM (uniform 7x7 window, range 2)"),
    Metric("psnr_db", "PSNR (dB)", decimals=2),
    Metric("accuracy", "Accuracy (fraction of the images)"),
    Metric("balanced_accuracy", "Balanced accuracy (mean over the classes)"),
    Metric("f1", "F1 (mean over the classes, weighted by their size)"),
    Metric("loss_sr", "Super-resolution loss", 4, less_is_better=True),
    Metric(
      "loss_classifier",
      "Cross-entropy of the classifier",
      less_is_better=True,
    ),
  )
}


@dataclasses.dataclass(frozen=True)
class Corruption:
  """What evaluation applies to low-resolution images in place of noise.

  Attributes:
    key: the field `eval.corruptions.<key>`, and its name in rows.
    name: its name in tables.
    level: what its level measures.
    levels: the interval of allowed levels, such as "(0, 1e6]".
    whole_levels: whether levels are whole numbers.
  """

  key: str
  name: str
  level: str
  levels: str
  whole_levels: bool = False

  @property
  def title(self) -> str:
    """The heading of its levels in tables."""
    return f"{self.name}, {self.level}"


# Definitions are in `imaging.corruptions`.
CORRUPTIONS = {
  corruption.key: corruption
  for corruption in (
    Corruption("speckle", "Speckle", "variance", "[0, 1000]"),
    Corruption("salt_and_pepper", "Salt and pepper", "fraction", "[0, 1]"),
    Corruption("poisson", "Poisson", "photons at white", "(0, 1e6]"),
    Corruption("jpeg", "JPEG", "quality", "[1, 100]", whole_levels=True),
    Corruption("blur", "Blur", "times the trained width", "[0, 10]"),
  )
}

# The statistics that BatchNorm has in an evaluation: those of training images,
# estimated again with the final weights, or the running ones of training (the
# authors' protocol).
BATCH_NORMS = ("reestimated", "running")
