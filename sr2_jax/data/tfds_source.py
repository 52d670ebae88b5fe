"""MNIST and SVHN as TensorFlow Datasets (TFDS) prepares them.

A prepared copy is the folder <data dir>/<name>/<version>, in TFDS's format
array_record. The data dir is $TFDS_DATA_DIR, else TFDS's own default. Only
preparing a copy needs TensorFlow and imports it; reading one does not.
"""

import contextlib
import importlib
import io
import json
import logging
import os
import re
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from sr2_jax import errors, files, json_files, paths
from sr2_jax.data import cache, published

# Images are decoded in portions, because one call for many records is faster.
_PORTION = 1000
# Seconds until a server that does not answer counts as unreachable.
_PATIENCE = 5.0


class PreparedCopy(NamedTuple):
  """A data set on this machine; `num_images` has the size of each split."""

  name: str
  folder: Path
  num_images: dict[str, int]

  def notes(self) -> tuple[str, ...]:
    """Differences from the official data set, one line per split."""
    official = published.PUBLISHED[self.name].num_images
    return tuple(
      f"{self.name}/{split}: {self.num_images[split]:,} of the official "
      f"{official[split]:,} images"
      for split in official
      if self.num_images.get(split, official[split]) != official[split]
    )


def is_prepared(name: str) -> bool:
  """Whether a prepared copy of a data set exists."""
  return _newest_version(_data_dir() / name) is not None


def prepared_copy(name: str) -> PreparedCopy:
  """The newest prepared copy of "mnist" or "svhn_cropped".

  Downloads and prepares one if there is none.

  Raises:
    UserError: it is damaged, in another format, or cannot be prepared.
  """
  data_dir = _data_dir()
  folder = _newest_version(data_dir / name)
  if folder is None:
    with files.one_at_a_time(
      files.cache_folder("data") / f"{name}.lock",
      lambda: print(
        f"waiting for another process that prepares {name}",
        file=sys.stderr,
        flush=True,
      ),
    ):
      if not is_prepared(name):
        _prepare(name, data_dir)
    folder = _newest_version(data_dir / name)
  if folder is None:
    raise errors.UserError(f"TFDS prepared no copy of {name} in {data_dir}.")
  return _describe(name, folder)


def read(
  copy: PreparedCopy, split: str, *, num_images: int | None = None
) -> cache.Arrays:
  """The first `num_images` images of a split (None: all), in TFDS's order.

  TFDS shuffles each split once, when it prepares it, and always the same way.

  Returns:
    Images, uint8 [N, H, W, C], and labels, int32 [N].

  Raises:
    UserError: the copy is incomplete or damaged.
  """
  count = copy.num_images[split]
  if num_images is not None:
    count = min(count, num_images)
  # Sizes and times identify the content: another copy is decoded again.
  contents = [
    (file.name, file.stat().st_size, file.stat().st_mtime_ns)
    for file in sorted(copy.folder.iterdir())
  ]
  return cache.decoded(
    f"{copy.name}-{copy.folder.name}-{split}",
    json.dumps([split, count, contents]),
    decode=lambda: _decode(copy, split, count),
  )


def _data_dir() -> Path:
  """The folder of all TFDS data sets."""
  chosen = os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets"
  return Path(paths.local(chosen, "TFDS_DATA_DIR"))


def _newest_version(folder: Path) -> Path | None:
  """The highest version in a data set's folder, if it has any.

  An interrupted preparation leaves a folder whose name is no version.
  """
  versions = [
    info.parent
    for info in folder.glob("*/dataset_info.json")
    if re.fullmatch(r"\d+\.\d+\.\d+", info.parent.name)
  ]
  return max(
    versions,
    key=lambda path: [int(number) for number in path.name.split(".")],
    default=None,
  )


def _describe(name: str, folder: Path) -> PreparedCopy:
  """The copy as its dataset_info.json describes it.

  Reads it without TFDS, which takes 2 s to import.
  """
  path = folder / "dataset_info.json"
  try:
    info = json_files.read(path)
    formats = {info["fileFormat"], *info.get("alternativeFileFormats", ())}
    num_images = {
      split["name"]: sum(int(length) for length in split["shardLengths"])
      for split in info["splits"]
    }
  except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
    raise errors.UserError(
      f"{path} cannot be read ({error!r}).\n{_way_out(folder)}"
    ) from error
  if "array_record" not in formats:
    raise errors.UserError(
      f"{folder} is prepared as {info['fileFormat']}, not as array_record.\n"
      "Set TFDS_DATA_DIR to another folder: the data set is prepared there."
    )
  missing = {"train", "test"} - num_images.keys()
  if missing:
    raise errors.UserError(
      f"{folder} has no split {sorted(missing)}.\n{_way_out(folder)}"
    )
  return PreparedCopy(name, folder, num_images)


def _way_out(folder: Path) -> str:
  return (
    f"Restore {folder} from a copy, or set TFDS_DATA_DIR to another folder: "
    "the data set is prepared there."
  )


def _missing_package(error: BaseException | None) -> str | None:
  """The package whose import has failed on the way to an error, if one has.

  TFDS imports some packages late, and may raise another error then.
  """
  while error is not None:
    if isinstance(error, ImportError):
      return (error.name or str(error)).partition(".")[0]
    error = error.__cause__ or error.__context__
  return None


def _needs(what: str, package: str) -> errors.UserError:
  return errors.UserError(
    f"{what} needs the package {package}, which cannot be imported.\n"
    "Install it with: pip install -r requirements.txt"
  )


def _decode(copy: PreparedCopy, split: str, count: int) -> cache.Arrays:
  """Decodes the first `count` images of a split, about 0.3 ms each."""
  print(
    f"decoding {copy.name}/{split}: {count:,} images ...",
    file=sys.stderr,
    flush=True,
  )
  shape = published.PUBLISHED[copy.name].image_shape
  images = np.empty((count, *shape), np.uint8)
  labels = np.empty(count, np.int32)
  try:
    with _tfds() as tfds:
      # Pillow straight on the PNG is faster than TFDS's decoder around it.
      records = tfds.builder_from_directory(copy.folder).as_data_source(
        split, decoders={"image": tfds.decode.SkipDecoding()}
      )
      for start in range(0, count, _PORTION):
        portion = range(start, min(start + _PORTION, count))
        for index, record in zip(
          portion, records.__getitems__(list(portion)), strict=True
        ):
          with Image.open(io.BytesIO(record["image"])) as image:
            images[index] = np.asarray(image).reshape(shape)
          labels[index] = record["label"]
  except (errors.UserError, MemoryError):
    raise  # Not the copy's fault.
  # array_record verifies its own hashes and raises RuntimeError; broken JSON
  # and images raise almost anything.
  except Exception as error:
    if package := _missing_package(error):
      raise _needs(f"reading {copy.name}", package) from error
    raise errors.UserError(
      f"{copy.folder}: cannot read {split} ({errors.in_words(error)}).\n"
      f"{_way_out(copy.folder)}"
    ) from error
  return images, labels


def _prepare(name: str, data_dir: Path) -> None:
  """Downloads a data set and prepares it in `data_dir`, as array_record."""
  with _tfds() as tfds:
    builder = tfds.builder(name, data_dir=data_dir)
    urls = builder.url_infos
    _check_reachable(name, data_dir, next(iter(urls)))
    megabytes = sum(info.size for info in urls.values()) / 1e6
    print(
      f"preparing {name} in {data_dir}: downloading {megabytes:,.0f} MB ...",
      file=sys.stderr,
      flush=True,
    )
    try:
      # TensorFlow must not take the memory of the GPU that JAX computes on.
      os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
      import tensorflow as tf

      tf.config.set_visible_devices([], "GPU")
      # TFDS reports on stdout, where a run prints its results.
      with contextlib.redirect_stdout(sys.stderr):
        builder.download_and_prepare(file_format="array_record")
    except Exception as error:
      if package := _missing_package(error):
        raise _needs(f"preparing {name}", package) from error
      # Another process may have prepared it in the meantime.
      if _newest_version(data_dir / name) is None:
        raise errors.UserError(
          f"{name} cannot be prepared in {data_dir} "
          f"({errors.in_words(error)}).\n"
          "Fix this and run the same command again, or set TFDS_DATA_DIR to a "
          "prepared copy."
        ) from error


def _check_reachable(name: str, data_dir: Path, url: str) -> None:
  """Raises a UserError within seconds; TFDS itself retries for minutes."""
  import requests  # TFDS downloads with it, so it uses the same proxies.

  try:
    requests.head(
      url, timeout=_PATIENCE, allow_redirects=True
    ).raise_for_status()
  except requests.RequestException as error:
    host = url.split("/")[2]
    raise errors.UserError(
      f"{name} is not in {data_dir} and cannot be downloaded: {host} does not "
      f"answer ({type(error).__name__}).\n"
      "Set TFDS_DATA_DIR to a prepared copy, run once where there is internet, "
      "or use --config.data.name=mnist5k."
    ) from error


@contextlib.contextmanager
def _tfds() -> Iterator[Any]:
  """The package tensorflow_datasets, without its messages on the terminal.

  Importing it takes 2 s, which a start with a filled cache avoids.

  Raises:
    UserError: if it cannot be imported.
  """
  logger = logging.getLogger("absl")
  level = logger.level
  with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    try:
      # It logs that a package is missing, and is empty then.
      logger.setLevel(logging.CRITICAL)
      tfds = _import_tfds()
      logger.setLevel(logging.WARNING)
      yield tfds
    finally:
      logger.setLevel(level)


def _import_tfds() -> Any:
  try:
    tfds = importlib.import_module("tensorflow_datasets")
    if not hasattr(tfds, "builder_from_directory"):
      importlib.import_module("tensorflow_datasets.public_api")  # Raises.
    return tfds
  except Exception as error:
    package = _missing_package(error)
    raise _needs("tensorflow_datasets", package or str(error)) from error
