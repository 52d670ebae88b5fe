"""Checks the fields of a config against each other; no JAX.

What a single field accepts is in `fields`.
"""

import os

import ml_collections

from sr2_jax import errors
from sr2_jax.config import derived, fields, record
from sr2_jax.data import published
from sr2_jax.data import sizes as sizes_lib

# The window of Wang et al.'s SSIM, in high-resolution pixels.
_METRIC_WINDOW = 11
# Fields of `data` that are for own images alone, and their values elsewhere.
_OF_FOLDERS = {
  name.removeprefix("data."): value
  for name, value in fields.OPTIONAL.items()
  if name.startswith("data.")
}


def validate(config: ml_collections.ConfigDict) -> None:
  """Stops at the first mistake in a config.

  What depends on the images or another run is checked later, by
  `validate_image_size` and `source_checks`.

  Raises:
    UserError: names the field and what it accepts.
  """
  validate_fields(config)
  # The size of a folder's images is known once they are read, unless given.
  size = sizes_lib.sides_of(config.data.get("size", ""))
  if config.data.name in published.PUBLISHED:
    size = published.PUBLISHED[config.data.name].image_shape[:2]
  if size:
    validate_image_size(config, *size)


def validate_fields(config: ml_collections.ConfigDict) -> None:
  """Checks a config, except for the size of its images.

  Raises:
    UserError: names the field and what it accepts.
  """
  validate_names(config)
  for check in (
    _validate_values,
    _validate_seeds,
    _validate_data,
    _validate_pairs,
    _validate_blur,
    validate_model,
    _validate_phases,
    _validate_released_srmd,
  ):
    check(config)


def validate_names(config: ml_collections.ConfigDict) -> None:
  """Checks that a config has every field it must have, and no unknown one.

  Raises:
    UserError: names the field, and the most similar one.
  """
  values = record.flatten(config)
  for field in values:
    if field not in fields.CHECKS:
      raise errors.UserError(fields.unknown_field(field))
  given = {*values, *fields.OPTIONAL, *fields.ADDED}
  for field in fields.CHECKS:
    if field not in given:
      raise errors.UserError(
        f"config.{field} is missing; start from experiments/default.py."
      )


def _validate_values(config: ml_collections.ConfigDict) -> None:
  for field, value in record.flatten(config).items():
    if not fields.CHECKS[field].accepts(value):
      raise errors.UserError(fields.wrong_value(field, value))


def _validate_seeds(config: ml_collections.ConfigDict) -> None:
  if config.seed + config.num_seeds - 1 > fields.LARGEST_SEED:
    raise errors.UserError(
      "config.seed + config.num_seeds - 1 has to be at most "
      f"{fields.LARGEST_SEED}."
    )


def _validate_data(config: ml_collections.ConfigDict) -> None:
  data = config.data
  # pathlib's checks raise if a folder above cannot be entered.
  if data.name == "folder" and not os.path.isdir(data.path):
    raise errors.UserError(
      f'config.data.path is "{data.path}", which is not a folder; '
      'config.data.name="folder" reads its images from there.'
    )
  if data.name != "folder":
    for field, unused in {"path": "", **_OF_FOLDERS}.items():
      if data.get(field, unused) != unused:
        raise errors.UserError(
          f'config.data.{field} is only for config.data.name="folder", '
          f'not for "{data.name}".'
        )
  labels = data.get("labels")
  if labels and not os.path.isfile(labels):
    raise errors.UserError(
      f'config.data.labels is "{labels}", which is not a file; it has to '
      "be a CSV file with the columns file and label."
    )
  if data.get("fit") in ("pad", "resize") and not data.get("size"):
    raise errors.UserError(
      f'config.data.fit="{data.fit}" needs config.data.size, as in 32x16 '
      "(height x width)."
    )
  if 0 < data.max_train_images < config.batch_size:
    raise errors.UserError(
      f"config.batch_size is {config.batch_size}, more than the "
      f"config.data.max_train_images={data.max_train_images} to train on."
    )


def _validate_pairs(config: ml_collections.ConfigDict) -> None:
  """Checks the fields that pairs restrict."""
  folder = config.data.get("low_res_path")
  if not folder:
    return
  if not os.path.isdir(folder):
    raise errors.UserError(
      f'config.data.low_res_path is "{folder}", which is not a folder; it has '
      "to hold a low-resolution image for each of config.data.path."
    )
  if config.data.get("fit") in ("pad", "resize"):
    raise errors.UserError(
      f'config.data.fit="{config.data.fit}" is not for pairs '
      "(config.data.low_res_path), whose pixels would no longer correspond; "
      "crop is."
    )
  scale, size = config.degradation.scale, config.data.get("size", "")
  sides = sizes_lib.sides_of(size) or ()
  if any(side % scale for side in sides):
    raise errors.UserError(
      f"config.data.size={size} has to be a multiple of "
      f"config.degradation.scale={scale} with config.data.low_res_path."
    )
  for field, is_set in (
    ("model.trunk=srmd", config.model.trunk == "srmd"),
    ("eval.srmd.weights", config.eval.srmd.weights),
  ):
    if is_set:
      raise errors.UserError(
        f"config.{field} is not for config.data.low_res_path: SRMD has to be "
        "told how each image was degraded, which pairs do not say."
      )
  if record.flatten(config).get(fields.corruption_field("blur")):
    raise errors.UserError(
      "config.eval.corruptions.blur has to be empty with "
      "config.data.low_res_path: it widens a blur that the images already have."
    )


def _validate_blur(config: ml_collections.ConfigDict) -> None:
  levels = record.flatten(config).get(fields.corruption_field("blur"))
  if levels and not config.degradation.blur_sigma_per_scale:
    raise errors.UserError(
      "config.eval.corruptions.blur has to be empty where "
      "config.degradation.blur_sigma_per_scale is 0, which it multiplies."
    )


def validate_model(config: ml_collections.ConfigDict) -> None:
  """Checks the fields of the network against each other.

  Raises:
    UserError: names the field and what it accepts.
  """
  model = config.model
  if model.trunk == "srmd":
    _validate_srmd(config)
  if model.trunk != "wdsr":
    for field, value in (("shared_layers", 1), ("expansion", 1)):
      if model[field] != value:
        raise errors.UserError(
          f"config.model.{field} has to be {value} with trunk "
          f'"{model.trunk}", not {model[field]}; more is for '
          'config.model.trunk="wdsr".'
        )
  if model.trunk != "fsrcnn":
    for field, value in (
      ("batch_norm", True),
      ("transposed_convolution", False),
    ):
      if model[field] != value:
        raise errors.UserError(
          f"config.model.{field} has to be {str(value).lower()} with trunk "
          f'"{model.trunk}"; the option is for config.model.trunk="fsrcnn".'
        )


def _validate_srmd(config: ml_collections.ConfigDict) -> None:
  if config.model.wiring != "none":
    raise errors.UserError(
      'config.model.wiring has to be "none" with trunk "srmd", not '
      f'"{config.model.wiring}": SRMD only super-resolves.'
    )
  if config.joint.num_epochs or config.init_from:
    raise errors.UserError(
      'config.joint.num_epochs has to be 0 and config.init_from "" with trunk '
      '"srmd", which is only trained in pretrain.'
    )
  degradation = config.degradation
  variance = (degradation.blur_sigma_per_scale * degradation.scale) ** 2
  if degradation.anti_aliasing:
    variance += ((degradation.scale - 1) / 2) ** 2
  low, high = config.srmd.min_blur_variance, config.srmd.max_blur_variance
  if not low <= variance <= high:
    raise errors.UserError(
      f"config.srmd.min_blur_variance={low} and max_blur_variance={high} have "
      f"to hold the variance of config.degradation's blur, {variance:g} px²."
    )


def _validate_phases(config: ml_collections.ConfigDict) -> None:
  if config.get("fine_tune") and not config.init_from:
    raise errors.UserError(
      "config.fine_tune=true needs config.init_from: the network to start from."
    )
  names = derived.phases(config)
  if not names:
    reasons = {
      "pretrain": (
        "config.init_from replaces it"
        if config.init_from and not config.get("fine_tune")
        else "config.pretrain.num_epochs is 0"
      ),
      "joint": "config.joint.num_epochs is 0",
    }
    raise errors.UserError(
      "There is nothing to train: no pretrain phase "
      f"({reasons['pretrain']}), and no joint phase ({reasons['joint']})."
    )
  for name in names:
    if not any(derived.learning_rates(config, name).values()):
      raise errors.UserError(
        f"Every config.{name}.learning_rate is 0, so {name} would train "
        f"nothing; config.{name}.num_epochs=0 skips the phase."
      )


def _validate_released_srmd(config: ml_collections.ConfigDict) -> None:
  # The contents of the files are checked where these are read.
  if config.eval.srmd.weights and not config.eval.srmd.pca:
    raise errors.UserError(
      "config.eval.srmd.weights needs config.eval.srmd.pca: the path of "
      "srmd_pca_matlab.mat,\nwhich is in the folder kernels of the repository "
      "cszn/KAIR."
    )


def validate_image_size(
  config: ml_collections.ConfigDict, height: int, width: int
) -> None:
  """Checks a config against the size of high-resolution images, in pixels.

  Raises:
    UserError: if the scale does not divide a side, a metric's window does not
      fit, or a shift moves the whole image out. With crops, their size counts.
  """
  scale, crop = config.degradation.scale, config.augmentation.get("crop")
  size, what = f"{height}x{width} px", "images"
  if crop:
    if crop > min(height, width):
      raise errors.UserError(
        f"config.augmentation.crop={crop} does not fit into images of {size}."
      )
    height = width = crop
    size, what = f"{crop}x{crop} px", "crops"
  for side in (height, width):
    if side < _METRIC_WINDOW:
      raise errors.UserError(
        f"The {what} are {size}; SSIM's window needs at least "
        f"{_METRIC_WINDOW} px on either side."
      )
    if side % scale:
      raise errors.UserError(
        f"config.degradation.scale={scale} does not divide the "
        f"{what.removesuffix('s')} size of {size}"
        f"{_other_size(config, height, width)}."
      )
    if config.augmentation.max_shift >= side:
      raise errors.UserError(
        f"config.augmentation.max_shift={config.augmentation.max_shift} "
        f"moves {what} of {size} out of sight."
      )


def _other_size(
  config: ml_collections.ConfigDict, height: int, width: int
) -> str:
  """What fits where a scale does not divide a size, as the end of a message."""
  scale = config.degradation.scale
  fitting_scales = [
    n for n in range(2, max(height, width) + 1) if height % n == width % n == 0
  ]
  way_out = ""
  if fitting_scales:
    do = "do" if len(fitting_scales) > 1 else "does"
    way_out = f"; {', '.join(map(str, fitting_scales))} {do}"
  cut = [n // scale * scale for n in (height, width)]
  if min(cut) < _METRIC_WINDOW:
    return way_out
  if config.augmentation.get("crop"):
    return f"{way_out}; config.augmentation.crop={cut[0]} fits"
  if config.data.get("size"):
    return f"{way_out}; config.data.size={cut[0]}x{cut[1]} fits"
  if config.data.name == "folder":
    return f"{way_out}; config.data.fit=crop cuts them to {cut[0]}x{cut[1]} px"
  return way_out
