"""The images of a run, as training and evaluation take them."""

import dataclasses

from ml_collections import ConfigDict, FrozenConfigDict

from sr2_jax.config import checks, derived
from sr2_jax.data import dataset as dataset_lib
from sr2_jax.data import selection, splitting


def load(config: ConfigDict | FrozenConfigDict) -> dataset_lib.Dataset:
  """The data set of a config, if its images fit the config.

  With `augmentation.crop` only the middle of evaluation images is kept: the
  network sees the size that it is trained on. Training images stay whole, and
  are cropped at each step.

  Raises:
    UserError: the data are missing or damaged, or do not fit the config.
  """
  dataset = dataset_lib.load(
    config.data,
    dataset_lib.Needs(
      multiple_of=config.degradation.scale,
      classifies=derived.classifies(config),
    ),
  )
  height, width, _ = dataset.train.image_shape
  checks.validate_image_size(config, height, width)
  splitting.check_fills_a_batch(
    len(dataset.train.images), config.batch_size, name=dataset.name
  )
  side = derived.crop_in_memory(config)
  if not side:
    return dataset
  return dataclasses.replace(
    dataset,
    **{
      name: dataclasses.replace(
        split, images=selection.of(split.images).middle((side, side))
      )
      for name, split in (
        ("validation", dataset.validation),
        ("test", dataset.test),
      )
    },
  )
