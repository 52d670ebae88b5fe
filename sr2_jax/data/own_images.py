"""A user's own images, from the fields of `config.data` to arrays."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import ml_collections
import numpy as np

from sr2_jax import errors, paths
from sr2_jax.data import (
  class_names,
  duplicates,
  image_folder,
  image_tree,
  partners,
  splitting,
)
from sr2_jax.data import sizes as sizes_lib


class Plan(NamedTuple):
  """What is to be read, before any image is opened.

  Attributes:
    files: the images.
    low_res: the low-resolution image of each, by its index; {} if the run
      makes them. A missing one is among the problems.
    labels: int32 [N], which index `class_names`; 0 without classes.
    class_names: sorted; () without classes.
    parts: indices of the images for "train", "validation" and "test".
    form: what all images become.
    notes: what is worth knowing about all this, in words.
    problems: what stops a run before an image is opened; one or two lines each.
  """

  files: list[Path]
  low_res: dict[int, Path]
  labels: np.ndarray
  class_names: tuple[str, ...]
  parts: dict[str, np.ndarray]
  form: image_folder.Form
  notes: tuple[str, ...]
  problems: tuple[str, ...]


class Own(NamedTuple):
  """The content of `data.path`: images in the cache, and as in Plan.

  With `data.low_res_path` images are packed pairs of the scale `pair_scale`,
  which is 0 otherwise; and `digests` have a second half for the small ones.
  """

  images: np.ndarray
  pair_scale: int
  digests: np.ndarray
  labels: np.ndarray
  class_names: tuple[str, ...]
  parts: dict[str, np.ndarray]
  notes: tuple[str, ...]


def load(
  config_data: ml_collections.ConfigDict,
  *,
  multiple_of: int = 1,
  classifies: bool = False,
) -> Own:
  """Reads the images that `data.path` names.

  Args:
    config_data: `config.data`.
    multiple_of: the scale, which divides both sides of images that are cropped
      to no given size.
    classifies: whether classes are needed.

  Raises:
    UserError: names what is wrong: fields, folders or files.
  """
  found = plan(config_data, multiple_of=multiple_of, classifies=classifies)
  root = Path(config_data.path)
  # Before anything is decoded, which may take minutes.
  if found.problems:
    first, *others = found.problems
    more = f"\nAnd {len(others):,} more.{image_folder.CHECK}" if others else ""
    raise errors.UserError(f"{first}{more}")
  images, notes, digests = image_folder.read(
    found.files,
    found.form,
    source=paths.shown(root),
    low_res=[found.low_res[index] for index in sorted(found.low_res)],
  )
  if config_data.duplicates == "refuse":
    of_high_res = digests[:, : duplicates.DIGEST_BYTES]
    duplicates.check(of_high_res, found.files, found.parts)
  return Own(
    images,
    multiple_of if found.low_res else 0,
    digests,
    found.labels,
    found.class_names,
    found.parts,
    (f"folder: {root}", *found.notes, *notes),
  )


def plan(
  config_data: ml_collections.ConfigDict,
  *,
  multiple_of: int = 1,
  classifies: bool = False,
) -> Plan:
  """Which images `load` reads, by the same arguments, and what stops it.

  Raises:
    UserError: if there is no path.
  """
  if not config_data.path:
    raise errors.UserError(
      "config.data.path is empty: data.name=folder needs the folder of the "
      "images, <path>/<class>/*.png."
    )
  root = Path(config_data.path)
  tree = _tree(config_data, root)
  problems = list(tree.problems)
  listed, names = tree.images, _names(tree.images)
  try:
    listed, names = _chosen(tree.images, config_data.classes)
  except errors.UserError as error:
    problems.append(str(error))
  problems += _about_names(names)
  places = {name: place for place, name in enumerate(names)}
  labels = np.array(
    [places[x.label] if x.label is not None else 0 for x in listed], np.int32
  )
  parts = _parts(listed, labels, config_data)
  files = [x.path for x in listed]
  low_res = _low_res(root, config_data.low_res_path, files)
  problems += low_res.problems
  if not tree.problems:
    problems += _about_unknown(listed, parts)
    problems += _about_few(root, len(names)) if classifies else []
  return Plan(
    files,
    low_res.files,
    labels,
    names,
    parts,
    image_folder.Form(
      size=sizes_lib.sides_of(config_data.size),
      fit=config_data.fit,
      channels=config_data.channels,
      multiple_of=multiple_of,
    ),
    (
      *_about_split(listed, config_data.split_seed),
      *_about_pairs(config_data.low_res_path),
      *tree.notes,
      *_about_choice(len(tree.images) - len(listed)),
      *_about_rare(labels, names, parts),
    ),
    tuple(problems),
  )


def _tree(
  config_data: ml_collections.ConfigDict, root: Path
) -> image_tree.Tree:
  if not config_data.labels:
    return image_tree.find(root)
  table = Path(config_data.labels)
  try:
    labels, problems = class_names.read(table)
  except errors.UserError as error:
    return image_tree.unarranged(root, str(error))
  tree = image_tree.find_labeled(root, labels, source=paths.shown(table))
  return tree._replace(problems=(*problems, *tree.problems))


def _low_res(
  root: Path, folder: str, files: Sequence[Path]
) -> partners.Partners:
  """The low-resolution images of files below root, if there are any."""
  if not folder:
    return partners.Partners({}, ())
  return partners.find(root, Path(folder), files)


def _names(listed: Sequence[image_tree.Listed]) -> tuple[str, ...]:
  return tuple(sorted({x.label for x in listed if x.label is not None}))


def _chosen(
  listed: Sequence[image_tree.Listed], choice: str
) -> tuple[list[image_tree.Listed], tuple[str, ...]]:
  """The images of the chosen classes, under their new names, and these."""
  found = _names(listed)
  if not found:
    if choice:
      raise errors.UserError(
        f"config.data.classes={choice} chooses among classes, but the images "
        "have none."
      )
    return list(listed), ()
  new = class_names.choice(choice, found)
  kept = [
    x._replace(label=x.label and new[x.label])
    for x in listed
    if x.label is None or x.label in new
  ]
  return kept, _names(kept)


def _parts(
  listed: Sequence[image_tree.Listed],
  labels: np.ndarray,
  config_data: ml_collections.ConfigDict,
) -> dict[str, np.ndarray]:
  """Indices of the images of each split."""
  splits = np.array([x.split or "train" for x in listed])
  given = {split: np.flatnonzero(splits == split) for split in set(splits)}
  train = given.get("train", np.empty(0, np.int64))
  fraction = config_data.validation_fraction
  of_train = splitting.stratified(
    labels[train],
    seed=config_data.split_seed,
    validation_fraction=0.0 if "validation" in given else fraction,
    test_fraction=0.0 if "test" in given else fraction,
  )
  taken = zip(("train", "validation", "test"), of_train, strict=True)
  return {**{name: train[part] for name, part in taken}} | {
    split: given[split] for split in given if split != "train"
  }


def _about_names(names: Sequence[str]) -> list[str]:
  """The problem of names that pictures, tables and weights cannot hold."""
  # Python keeps what is no UTF-8 as halves of pairs (surrogates).
  wrong = [x for x in names if x.encode(errors="replace").decode() != x]
  if not wrong:
    return []
  return [
    f"Names of classes that are no UTF-8: {paths.listed(wrong)}.\nRename "
    "their folders."
  ]


def _about_unknown(
  listed: Sequence[image_tree.Listed], parts: Mapping[str, np.ndarray]
) -> list[str]:
  """A problem for each split with a class that training does not see.

  None if there is nothing to train on, which is a problem of its own.
  """
  classes = {
    split: {listed[index].label for index in part}
    for split, part in parts.items()
  }
  return [
    f"{split} has classes without images for training: "
    f"{paths.listed(unknown)}.\n{class_names.without(unknown)}"
    for split, found in classes.items()
    if len(parts["train"])
    and (unknown := sorted(str(x) for x in found - classes["train"]))
  ]


def _about_few(root: Path, num_classes: int) -> list[str]:
  """The problem of a classifier with nothing to choose from."""
  if num_classes >= 2:
    return []
  return [
    f"{paths.shown(root)} has {'one class' if num_classes else 'no classes'}; "
    "the classifier of joint needs two, each a folder or in config.data.labels."
    "\nconfig.model.wiring=none trains super-resolution alone."
  ]


def _about_split(listed: Sequence[image_tree.Listed], seed: int) -> list[str]:
  """A note about splits that the folder does not have."""
  given = {x.split for x in listed}
  missing = [x for x in ("validation", "test") if x not in given]
  if not missing:
    return []
  return [f"{' and '.join(missing)} split off by split_seed={seed}"]


def _about_pairs(folder: str) -> list[str]:
  """A note about low-resolution images that are there already."""
  if not folder:
    return []
  return [
    f"pairs: low-resolution images of {folder}; config.degradation's blur and "
    "config.augmentation.max_rotation are not used"
  ]


def _about_choice(num_left_out: int) -> list[str]:
  """A note about images that `data.classes` leaves out."""
  if not num_left_out:
    return []
  images = "image" if num_left_out == 1 else "images"
  return [f"left out {num_left_out:,} {images} by config.data.classes"]


def _about_rare(
  labels: np.ndarray, names: Sequence[str], parts: Mapping[str, np.ndarray]
) -> list[str]:
  """Notes about classes that a split does not have."""
  notes = []
  for split, part in parts.items():
    counts = np.bincount(labels[part], minlength=len(names))
    missing = [name for name, n in zip(names, counts, strict=False) if not n]
    if missing and len(part):
      notes.append(
        f"{split} has no image of {len(missing):,} of {len(names):,} classes: "
        f"{paths.listed(missing)}"
      )
  return notes
