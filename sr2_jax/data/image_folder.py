"""A user's own images in one file: decoded, in one size and with one depth."""

import collections
import json
import os
import sys
from collections.abc import Callable, Sequence
from concurrent import futures
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np

from sr2_jax import errors, paths
from sr2_jax.data import (
  fitting,
  image_file,
  mapped_images,
  pairs,
  partners,
  pixels,
)
from sr2_jax.data import sizes as sizes_lib

_SIDES = "(height x width)"
# Ends messages about the first of many problems.
CHECK = " `python -m sr2_jax.data.check` names all that is wrong."


_Result = TypeVar("_Result")


class Form(NamedTuple):
  """What all images of a set become.

  Attributes:
    size: of `data.size`; None: the one that all have.
    fit: how images get this size, a value of `data.fit`.
    channels: "1", "3" or "auto", which is 3 if any file has colors.
    multiple_of: the scale, which divides both sides of what is cropped to no
      given size.
  """

  size: sizes_lib.Size | None = None
  fit: str = "refuse"
  channels: str = "auto"
  multiple_of: int = 1


def read(
  files: Sequence[Path],
  form: Form,
  *,
  source: str,
  low_res: Sequence[Path] = (),
) -> mapped_images.Images:
  """Decodes images, or takes them from the cache.

  Args:
    files: paths of the images.
    form: what all of them become.
    source: where they come from, for messages.
    low_res: the low-resolution file of each image; empty without pairs.

  Returns:
    The images in the order of their paths, with C of 1 or 3; uint16 if any file
    has 16 bits, and uint8 otherwise. With low-resolution ones they are packed
    by `pairs`.

  Raises:
    UserError: names those that cannot be read, or not in this form.
  """

  def decode(target: mapped_images.Target) -> tuple[str, ...]:
    print(f"decoding {source}: {len(files):,} images ...", file=sys.stderr)
    return _decode_all(files, low_res, form, target)

  if not low_res and (form.size or form.fit != "crop"):
    # Nothing depends on the scale: runs of several share the decoded images.
    form = form._replace(multiple_of=1)
  return mapped_images.kept(
    "pairs" if low_res else "folder",
    _identity([*files, *low_res], form),
    decode=decode,
  )


def _identity(files: Sequence[Path], form: Form) -> str:
  """Names, sizes and times of the files, in place of their content."""
  try:
    facts = [(path.absolute(), path.stat()) for path in files]
  except OSError:
    # Names those that are not there, as where a link leads nowhere.
    _each(lambda index: image_file.header(files[index]), files)
    raise  # All have come back meanwhile.
  return json.dumps(
    [form]
    + [(str(path), stat.st_size, stat.st_mtime_ns) for path, stat in facts]
  )


class Uniform(NamedTuple):
  """What every image of a set becomes; of pairs, the scale is the `step`."""

  size: sizes_lib.Size
  channels: int
  bits: int
  fit: str
  step: int = 1


def uniform_of(
  headers: Sequence[image_file.Header],
  form: Form,
  low_res: Sequence[image_file.Header] = (),
) -> Uniform:
  """What images with these headers become; those that misfit count as well.

  Of the low-resolution ones of pairs, colors and bits count.

  Raises:
    UserError: if one image would not fit into memory.
  """
  every = (*headers, *low_res)
  channels = 3 if any(header.is_color for header in every) else 1
  if form.channels != "auto":
    channels = int(form.channels)
  bits = 16 if any(header.bits == 16 for header in every) else 8
  size = sizes_of([header.size for header in headers], form).size
  image_file.check_room(size, f"config.data.size={sizes_lib.named(size)}: ")
  return Uniform(size, channels, bits, form.fit)


def decoded(path: Path, uniform: Uniform) -> tuple[np.ndarray, tuple[str, ...]]:
  """The pixels of a file in their final form, and notes about it.

  Args:
    path: of the file.
    uniform: with a size that the header of the file fits.

  Raises:
    UserError: names the file and what is wrong with it, in one line.
  """
  picture = image_file.read(path)
  values, notes = _converted(picture, uniform.channels, uniform.bits)
  if not sizes_lib.takes(values.shape[:2], uniform.size, how=uniform.fit):
    raise errors.UserError(
      f"{paths.shown(path)}: its EXIF rotation stands behind its pixels; "
      "save it upright."
    )
  values, words = fitting.fitted(
    values, uniform.size, how=uniform.fit, step=uniform.step
  )
  return values, (*notes, *words)


def _decode_all(
  files: Sequence[Path],
  low_res: Sequence[Path],
  form: Form,
  target: mapped_images.Target,
) -> tuple[str, ...]:
  """Puts the images where they are stored, and returns notes."""
  every, count = [*files, *low_res], len(files)
  headers = _each(lambda index: image_file.header(every[index]), every)
  scale = form.multiple_of if low_res else 1
  if low_res:
    _check_pairs(every, headers, scale)
  _check_sizes(files, headers[:count], form)
  uniform = uniform_of(headers[:count], form, headers[count:])
  # Of packed pairs.
  height, width = (side // scale for side in uniform.size)
  depth = uniform.channels * (scale**2 + 1 if low_res else 1)
  target.begin(
    (count, height, width, depth),
    f"uint{uniform.bits}",
    parts=2 if low_res else 1,
  )

  def as_stored(index: int) -> tuple[np.ndarray, tuple[str, ...]]:
    own = uniform._replace(size=headers[index].size, fit="refuse")
    return decoded(every[index], own)

  def place(index: int) -> tuple[str, ...]:
    if not low_res:
      image, notes = decoded(files[index], uniform)
      target.put(index, image)
      return notes
    (large, notes), (small, more) = as_stored(index), as_stored(count + index)
    # Pairs are cut in one piece, so that their pixels still correspond.
    image, words = fitting.fitted(
      pairs.packed(large, small), (height, width), how=form.fit
    )
    target.put(index, image, *pairs.unpacked(image, scale))
    return (*notes, *more, *words, *words)

  notes = collections.Counter(
    note for of_file in _each(place, files) for note in of_file
  )
  notes.update(of_some(headers, form))
  return tuple(
    f"{count:,} of {len(every):,} images: {note}"
    for note, count in sorted(notes.items())
  )


def _check_pairs(
  every: Sequence[Path], headers: Sequence[image_file.Header], scale: int
) -> None:
  """Refuses pairs of another ratio; `every` has all large ones first."""
  count = len(every) // 2
  sizes = [header.size for header in headers]
  found = map(
    partners.Pair, every[:count], sizes[:count], every[count:], sizes[count:]
  )
  problems = partners.about_sizes(list(found), scale)
  if problems:
    first, *others = problems
    more = f" And {len(others):,} more.{CHECK}" if others else ""
    raise errors.UserError(f"{first}{more}")


def of_some(headers: Sequence[image_file.Header], form: Form) -> dict[str, int]:
  """Notes on what some files do to all others, and how many files it is."""
  colored = sum(header.is_color for header in headers)
  deep = sum(header.bits == 16 for header in headers)
  notes = {}
  if form.channels == "auto" and 0 < colored < len(headers):
    notes["stored in color, which makes all of them RGB"] = colored
  if 0 < deep < len(headers):
    notes["of 16 bits, which makes all of them so"] = deep
  return notes


def _each(
  function: Callable[[int], _Result], files: Sequence[Path]
) -> list[_Result]:
  """What a function gives for the index of each file.

  Raises:
    UserError: says what is wrong with the first, and names the others.
  """
  wrong: list[tuple[Path, errors.UserError]] = []

  def tried(index: int) -> Any:
    try:
      with image_file.named(files[index]):
        return function(index)
    except errors.UserError as error:
      wrong.append((files[index], error))

  # Pillow releases the GIL while it decodes.
  with futures.ThreadPoolExecutor(os.cpu_count()) as pool:
    results = list(pool.map(tried, range(len(files))))
  if wrong:
    (_, first), *others = sorted(wrong, key=lambda pair: pair[0])
    more, them = "", "it"
    if others:
      names, them = paths.listed([path for path, _ in others]), "them"
      more = f" And {len(others):,} more of {len(files):,} files: {names}."
    raise errors.UserError(
      f"{first}{more}\nReplace {them}, or move {them} away.{CHECK}"
    )
  return results


class Sizes(NamedTuple):
  """How images of some sizes become one size.

  Attributes:
    size: what all get.
    misfits: indices of those that cannot.
    problem: what is wrong with these, in words.
    way_out: what to do about it.
  """

  size: sizes_lib.Size
  misfits: tuple[int, ...]
  problem: str
  way_out: str


def sizes_of(found: Sequence[sizes_lib.Size], form: Form) -> Sizes:
  """What becomes of images of these sizes."""
  common = collections.Counter(found).most_common(1)[0][0]
  # Without a size nothing is done to images but to crop all of them alike.
  wanted, how = form.size or common, form.fit if form.size else "refuse"
  misfits = tuple(
    index
    for index, size in enumerate(found)
    if not sizes_lib.takes(size, wanted, how=how)
  )
  name = f"{sizes_lib.named(wanted)} px {_SIDES}"
  if form.size is None:
    problem = f"not of {name}, the most frequent size"
    way_out = (
      f"config.data.size={sizes_lib.named(wanted)} makes them one size, with "
      "config.data.fit=crop, pad or resize."
    )
  else:
    problem, ways = {
      "refuse": ("not of", "crop, pad or resize"),
      "crop": ("smaller than", "pad or resize"),
      "pad": ("larger than", "crop or resize"),
      "resize": ("", ""),  # It takes all.
    }[how]
    problem = f"{problem} config.data.size={name}"
    way_out = f"config.data.fit={ways} takes them, or give another size."
  if form.size is None and form.fit == "crop":
    cut = (
      wanted[0] - wanted[0] % form.multiple_of,
      wanted[1] - wanted[1] % form.multiple_of,
    )
    # Images that nothing would be left of are refused for their own size.
    wanted = cut if min(cut) else wanted
  return Sizes(wanted, misfits, problem, way_out)


def _check_sizes(
  files: Sequence[Path], headers: Sequence[image_file.Header], form: Form
) -> None:
  """Raises a UserError that names images without the size of the others."""
  sizes = sizes_of([header.size for header in headers], form)
  if sizes.misfits:
    wrong = [
      f"{paths.shown(files[i])} ({sizes_lib.named(headers[i].size)})"
      for i in sizes.misfits
    ]
    raise errors.UserError(
      f"{len(wrong):,} of {len(files):,} images are {sizes.problem}: "
      f"{paths.listed(wrong)}.\n{sizes.way_out}{CHECK}"
    )


def _converted(
  picture: image_file.Picture, channels: int, bits: int
) -> tuple[np.ndarray, list[str]]:
  """A picture's pixels with so many channels and bits, and notes about it."""
  values, notes = picture.pixels, list(picture.notes)
  if picture.alpha is not None:
    notes.append("transparent: with their colors as stored")
  if values.shape[-1] > channels:
    notes.append("in color: only their luma")
  if values.dtype != f"uint{bits}" or values.shape[-1] > channels:
    values = pixels.with_channels(pixels.to_float(values), channels)
    values = pixels.quantized(values, bits)
  if values.shape[-1] < channels:
    values = np.repeat(values, channels, axis=-1)
  return values, notes
