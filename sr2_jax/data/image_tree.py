"""Which images a user's folder has, and the class and split of each.

Nothing is opened here but folders, and a file of labels.
"""

import collections
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from sr2_jax import files, paths
from sr2_jax.data import image_file

# Names of folders that are splits, in any case.
_SPLITS = {
  "train": "train",
  "training": "train",
  "validation": "validation",
  "valid": "validation",
  "val": "validation",
  "dev": "validation",
  "test": "test",
  "testing": "test",
}
# What Windows, macOS and network storage leave in folders, besides files whose
# names begin with a dot.
_LEFT_BEHIND = frozenset((
  "thumbs.db", "ehthumbs.db", "desktop.ini", "__macosx", "@eadir", "icon\r",
  "#recycle", "#snapshot", "$recycle.bin", "system volume information",
))  # fmt: skip
# How messages say where images are expected.
_ARRANGED = "<path>/<class>/*.png"


class Listed(NamedTuple):
  """An image that was found.

  Attributes:
    path: of the file.
    label: name of its class; None without labels.
    split: "train", "validation" or "test"; None: it is still to be split.
  """

  path: Path
  label: str | None = None
  split: str | None = None


class Tree(NamedTuple):
  """The images of a folder, in the order of their paths, and what was not read.

  Attributes:
    images: sorted by split, class and name. Those of an arrangement that is not
      understood are here as well, so that their files can be checked.
    notes: what was left out, in words.
    problems: what is not understood, or missing; one or two lines each.
  """

  images: list[Listed]
  notes: tuple[str, ...]
  problems: tuple[str, ...]


class _Reader:
  """Lists folders, and remembers what it leaves out and what is wrong."""

  def __init__(self) -> None:
    self.left_behind: list[str] = []
    self.others: list[str] = []
    self.problems: list[str] = []
    self.unreadable: list[Path] = []

  def entries(self, folder: Path) -> tuple[list[Path], list[Path]]:
    """The folders and the files in a folder, in the order of their names."""
    try:
      # A folder may be listed without leave to look at what is in it.
      entries = sorted(folder.iterdir(), key=_order_of)
      found = [(entry, entry.is_dir()) for entry in entries]
    except OSError as error:
      self.problems.append(
        f"config.data.path: cannot read the folder {paths.shown(folder)} "
        f"({error.strerror})."
      )
      self.unreadable.append(folder)
      found = []
    folders, files = [], []
    for entry, is_folder in found:
      name = entry.name
      if name.startswith(".") or name.casefold() in _LEFT_BEHIND:
        self.left_behind.append(name)
      else:
        (folders if is_folder else files).append(entry)
    return folders, files

  def images(self, files: Sequence[Path]) -> list[Path]:
    """Those with an image's suffix; the others are left out."""
    is_image = [path.suffix.lower() in image_file.SUFFIXES for path in files]
    pairs = list(zip(files, is_image, strict=True))
    self.others += [path.name for path, is_one in pairs if not is_one]
    return [path for path, is_one in pairs if is_one]

  def notes(self) -> tuple[str, ...]:
    """What was left out, in words."""
    notes = []
    for found, what in (
      (self.left_behind, "hidden or left behind by a system"),
      (self.others, "beside the images or classes, no images"),
    ):
      if found:
        names = paths.listed(list(dict.fromkeys(found)))
        notes.append(f"left out {_count(len(found), 'file')} ({names}): {what}")
    return tuple(notes)


def find(root: Path) -> Tree:
  """The images of a folder that is arranged in classes and splits, or not.

  Args:
    root: has images, or a folder of images for each class; or a folder train/
      that has, and test/ or validation/ beside it. These two may be missing,
      and have other names: those of _SPLITS, in any case.
  """
  reader = _Reader()
  folders, files = reader.entries(root)
  splits = _split_folders(reader, root, folders)
  if not splits:
    images = _of_folder(reader, root, folders, files)
    return Tree(images, reader.notes(), tuple(reader.problems))
  reader.images(files)
  images = [
    listed._replace(split=split)
    for split, of_split in splits.items()
    for folder in of_split
    for listed in _of_folder(reader, folder, *reader.entries(folder))
  ]
  if len({listed.label is None for listed in images}) > 1:
    with_classes, without = (
      next(x.split for x in images if (x.label is None) == is_flat)
      for is_flat in (False, True)
    )
    reader.problems.append(
      f"{paths.shown(root)} has class folders in {with_classes}, but none in "
      f"{without}: arrange both alike."
    )
  return Tree(
    images,
    (*_unread(folders, splits), *reader.notes()),
    tuple(reader.problems),
  )


def find_labeled(root: Path, labels: Mapping[str, str], *, source: str) -> Tree:
  """The images that a file of labels names.

  Args:
    root: their paths begin there. Where it has splits, as for `find`, the first
      folder of a path says its split.
    labels: class by path, with slashes.
    source: what names the file of labels in messages.
  """
  reader = _Reader()
  folders, _ = reader.entries(root)
  splits = _split_folders(reader, root, folders)
  split_of = {
    folder.name: split for split, found in splits.items() for folder in found
  }
  known = image_names(root)
  labels, twice = _as_there(root, labels, known)
  if twice:
    reader.problems.append(
      f"{source}: {_count(len(twice), 'file')} with two labels, under names "
      f"that differ in how accents are written: {paths.listed(twice)}.\n"
      "Correct or remove their lines."
    )
  # Path.is_file raises for a name that is too long.
  missing = [name for name in labels if not os.path.isfile(root / name)]
  if missing:
    reader.problems.append(
      f"{source}: {_count(len(missing), 'file')} of {len(labels):,} "
      f"{'is' if len(missing) == 1 else 'are'} not in {paths.shown(root)}: "
      f"{paths.listed(missing)}.\nPaths begin at config.data.path, as in "
      "cats/1.png."
    )
  absent = set(missing)
  images = [
    Listed(root / name, labels[name], split_of.get(Path(name).parts[0]))
    for name in sorted(labels, key=lambda name: _order_of(Path(name)))
    if name not in absent
  ]
  outside = [x.path for x in images if x.split is None]
  if splits and outside:
    reader.problems.append(
      f"{source} names {_count(len(outside), 'file')} outside "
      f"{_and(_folders_of(splits))}: "
      f"{paths.listed(outside)}.\nMove them into one, or remove their lines."
    )
  notes = []
  num_others = sum(name not in labels for name in known)
  if num_others:
    notes.append(f"left out {_count(num_others, 'image')} not in {source}")
  return Tree(images, tuple(notes), tuple(reader.problems))


def _as_there(
  root: Path, labels: Mapping[str, str], known: Iterable[str]
) -> tuple[dict[str, str], list[str]]:
  """The labels of files as these are called, though accents may differ.

  And the files that have two labels then.
  """
  called = {paths.composed(name): name for name in known}
  found: dict[str, str] = {}
  twice = []
  for given, label in labels.items():
    name = given
    if not os.path.isfile(root / given):
      name = called.get(paths.composed(given), given)
    if found.setdefault(name, label) != label:
      twice.append(name)
  return found, twice


def _order_of(path: Path) -> tuple[Path, Path]:
  """What paths are sorted by: the same on every system."""
  return Path(paths.composed(str(path))), path


def unarranged(root: Path, problem: str) -> Tree:
  """All images below a folder, of which a problem hides what they are."""
  images = [Listed(root / name) for name in sorted(image_names(root))]
  return Tree(images, (), (problem,))


def image_names(root: Path) -> list[str]:
  """Paths of all files with an image's suffix, relative, with slashes.

  What is hidden or left behind by a system is not among them. Links to folders
  are followed, as `find` does, but not back to where they are.
  """
  names = [
    path.relative_to(root)
    for path in files.below(root)
    if path.suffix.lower() in image_file.SUFFIXES
  ]
  return [
    name.as_posix()
    for name in names
    if not any(
      part.startswith(".") or part.casefold() in _LEFT_BEHIND
      for part in name.parts
    )
  ]


def _split_folders(
  reader: _Reader, root: Path, folders: Sequence[Path]
) -> dict[str, list[Path]]:
  """The folders of each split, one unless it is wrong; {} if they are classes.

  A class may be called "train" or "test" beside "bus", but not both.
  """
  found = collections.defaultdict(list)
  for folder in folders:
    if split := _SPLITS.get(folder.name.casefold()):
      found[split].append(folder)
  num_others = len(folders) - sum(map(len, found.values()))
  against = (num_others > 0, len(found) < 2, "train" not in found)
  if sum(against) >= 2:
    return {}
  if "train" not in found:
    reader.problems.append(
      f"{paths.shown(root)} has {_and(folders)}, but no train/: add it, or "
      "rename the folders if they are classes."
    )
  for split, same in found.items():
    if len(same) > 1:
      reader.problems.append(
        f"{paths.shown(same[0])} and {paths.shown(same[1])} are both {split}: "
        "join them, or move one away."
      )
  return {split: found[split] for split in _order(found)}


def _folders_of(splits: Mapping[str, list[Path]]) -> list[Path]:
  return [folder for found in splits.values() for folder in found]


def _and(folders: Iterable[Path]) -> str:
  return " and ".join(f"{folder.name}/" for folder in folders)


def _order(splits: Mapping[str, object]) -> list[str]:
  return [x for x in ("train", "validation", "test") if x in splits]


def _unread(
  folders: Sequence[Path], splits: Mapping[str, list[Path]]
) -> tuple[str, ...]:
  """A note about folders beside those of the splits."""
  read = _folders_of(splits)
  others = [x.name for x in folders if x not in read]
  if not others:
    return ()
  return (f"not read: {paths.listed(others)} beside {read[0].name}",)


def _of_folder(
  reader: _Reader, folder: Path, folders: list[Path], files: list[Path]
) -> list[Listed]:
  """The images of a folder, or those of its classes."""
  images = reader.images(files)
  if folders and images:
    reader.problems.append(
      f"{_count(len(images), 'image')} beside class folders such as "
      f"{paths.shown(folders[0])}: {paths.listed(images)}.\n"
      "Move images into the folder of their class, or the folders away."
    )
  if not folders and not images and folder not in reader.unreadable:
    reader.problems.append(
      f"{paths.shown(folder)} has no images: expected {_ARRANGED}, or "
      "<path>/*.png without classes."
    )
  found = [Listed(path) for path in images]
  empty, deep = [], []
  for entry in folders:
    below, own = reader.entries(entry)
    deep += below
    if not own and not below and entry not in reader.unreadable:
      empty.append(entry)
    # A file of another kind is not ignored here: it may be an image.
    own += [x / name for x in below for name in sorted(image_names(x))]
    found += [Listed(path, paths.composed(entry.name)) for path in own]
  if deep:
    reader.problems.append(
      f"{_count(len(deep), 'folder')} within class folders: "
      f"{paths.listed(deep)}.\nImages lie right in the folder of their class, "
      f"{_ARRANGED}; or config.data.labels names their classes."
    )
  if empty:
    reader.problems.append(
      f"{_count(len(empty), 'class folder')} without images: "
      f"{paths.listed(empty)}.\nFill or remove "
      f"{'it' if len(empty) == 1 else 'them'}."
    )
  return found


def _count(number: int, noun: str) -> str:
  return f"{number:,} {noun}{'s' * (number != 1)}"
