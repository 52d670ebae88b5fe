"""The low-resolution images that belong to high-resolution ones.

They have the same place and name in a folder of their own; what the names end
with may differ. Nothing is opened here but folders.
"""

import collections
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from sr2_jax import paths
from sr2_jax.data import image_file, image_tree
from sr2_jax.data import sizes as sizes_lib


class Partners(NamedTuple):
  """What a folder of low-resolution images has.

  Attributes:
    files: of the images that have one, by their index.
    problems: what is missing, or not clear; one or two lines each.
  """

  files: dict[int, Path]
  problems: tuple[str, ...]


class Pair(NamedTuple):
  """Files of two images of one content, and their sizes."""

  high_res: Path
  high_size: sizes_lib.Size
  low_res: Path
  low_size: sizes_lib.Size

  def __str__(self) -> str:
    return (
      f"{paths.shown(self.high_res)} ({sizes_lib.named(self.high_size)}) and "
      f"{paths.shown(self.low_res)} ({sizes_lib.named(self.low_size)})"
    )

  @property
  def ratio(self) -> int:
    """How many times as large the first is; 0 if that is no whole number."""
    ratio = self.high_size[0] // self.low_size[0]
    return ratio if self.is_of(ratio) else 0

  def is_of(self, scale: int) -> bool:
    """Whether the first is so many times as large as the second."""
    height, width = self.low_size
    return self.high_size == (scale * height, scale * width)


def find(root: Path, folder: Path, files: Sequence[Path]) -> Partners:
  """The low-resolution image of each file, by name.

  Args:
    root: folder of the high-resolution images.
    folder: of the low-resolution ones, arranged alike.
    files: below root, those that are trained and evaluated with. Others in
      root may have partners too, which are left out with them.
  """
  inside = _within(root, folder) or _within(folder, root)
  if inside:
    problem = (
      f"config.data.low_res_path={paths.shown(folder)} and config.data.path="
      f"{paths.shown(root)} are one folder, or one is in the other: "
      "move them apart."
    )
    return Partners({}, (problem,))
  names = [path.relative_to(root) for path in files]
  high = _by_stem([*names, *map(Path, image_tree.image_names(root))])
  # What ends otherwise may be an image as well, in the folder of a class.
  others = [x for x in names if not _is_image(x) and (folder / x).is_file()]
  low = _by_stem([*others, *map(Path, image_tree.image_names(folder))])
  problems = [
    f"{_shown(place, twice)}: of one name, so that it is not clear which one "
    "makes the pair. Remove or rename all but one."
    for place, found in ((root, high), (folder, low))
    for twice in found.values()
    if len(twice) > 1
  ]
  stems = [_stem(name) for name in names]
  without = [f for f, stem in zip(files, stems, strict=True) if stem not in low]
  if without:
    problems.append(
      f"{len(without):,} of {len(files):,} images have no low-resolution image "
      f"in {paths.shown(folder)}: {paths.listed(without)}.\nIt has the same "
      "place and name; only the suffix may differ, as in 1.png and 1.jpg."
    )
  alone = [folder / low[stem][0] for stem in low if stem not in high]
  if alone:
    problems.append(
      f"{len(alone):,} of {len(low):,} low-resolution images have no "
      f"high-resolution image in {paths.shown(root)}: {paths.listed(alone)}."
    )
  return Partners(
    {
      index: folder / low[stem][0]
      for index, stem in enumerate(stems)
      if stem in low
    },
    tuple(problems),
  )


def _within(one: Path, other: Path) -> bool:
  # Path.resolve raises where a link leads to itself.
  real, others = map(os.path.realpath, (one, other))
  return Path(real).is_relative_to(others)


def _by_stem(names: Iterable[Path]) -> dict[Path, list[Path]]:
  found: dict[Path, list[Path]] = collections.defaultdict(list)
  for name in sorted(set(names)):
    found[_stem(name)].append(name)
  return found


def _stem(name: Path) -> Path:
  """A name without an image's suffix; "scan.0001" has none."""
  stem = name.with_suffix("") if _is_image(name) else name
  return Path(paths.composed(str(stem)))


def _is_image(name: Path) -> bool:
  return name.suffix.lower() in image_file.SUFFIXES


def _shown(folder: Path, names: Iterable[Path]) -> str:
  return " and ".join(paths.shown(folder / name) for name in names)


def about_sizes(pairs: Sequence[Pair], scale: int) -> list[str]:
  """A problem for each pair of another ratio, or one for all if all are alike.

  Args:
    pairs: those whose files can be read.
    scale: `degradation.scale`.
  """
  wrong = [pair for pair in pairs if not pair.is_of(scale)]
  if not wrong:
    return []
  first, field = wrong[0], f"config.degradation.scale={scale}"
  if all(_is_smaller(pair.high_size, pair.low_size) for pair in wrong):
    return [
      f"{len(wrong):,} of {len(pairs):,} low-resolution images are larger than "
      f"their high-resolution ones, as of {first}.\nAre config.data.path and "
      "config.data.low_res_path swapped?"
    ]
  ratios = {pair.ratio for pair in pairs}
  if len(ratios) == 1 and 0 not in ratios:
    (ratio,) = ratios
    way_out = f"\nconfig.degradation.scale={ratio} takes them."
    return [
      f"All {len(pairs):,} pairs have a ratio of {ratio}, not {field}, as "
      f"{first}.{way_out * (ratio > 1)}"
    ]
  return [
    f"{pair}: not {scale} times as large, as {field} has it." for pair in wrong
  ]


def _is_smaller(one: sizes_lib.Size, other: sizes_lib.Size) -> bool:
  return one[0] < other[0] and one[1] < other[1]
