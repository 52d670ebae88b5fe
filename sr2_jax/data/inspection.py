"""What a folder of images holds, and everything that stops a run on it."""

import collections
import os
from collections.abc import Iterable, Mapping, Sequence
from concurrent import futures
from pathlib import Path
from typing import NamedTuple

from sr2_jax import errors, paths
from sr2_jax.data import (
  duplicates,
  image_file,
  image_folder,
  own_images,
  partners,
)
from sr2_jax.data import sizes as sizes_lib

# Sizes and kinds of files that are listed.
_MOST_LISTED = 8
# Images in another size that have a line each.
_MOST_MISFITS = 20


class Seen(NamedTuple):
  """What a file turned out to be.

  Attributes:
    header: None if it cannot be read.
    digest: tells its pixels, in the form of all, from others; b"" if it cannot
      be read.
    notes: what is not read as it is in the file, or done to give it that form.
    problem: why it cannot be read, in one line, or "".
  """

  header: image_file.Header | None
  digest: bytes = b""
  notes: tuple[str, ...] = ()
  problem: str = ""


def examine(plan: own_images.Plan) -> list[Seen]:
  """Decodes every image as a run does, whatever is wrong with others.

  Those that cannot get the form of all stay as they are. Of pairs it is the
  high-resolution ones.
  """
  scale = plan.form.multiple_of if plan.low_res else 1
  return _examined(plan.files, plan.form, step=scale)


def examine_low_res(
  plan: own_images.Plan, seen: Sequence[Seen]
) -> dict[int, Seen]:
  """The low-resolution images that exist, by index, decoded in the same way.

  Args:
    plan: the images.
    seen: the high-resolution ones, whose size says what is cut off.
  """
  form = image_folder.Form(channels=plan.form.channels)
  if plan.form.fit == "crop" and (size := size_of(plan, seen)):
    height, width = (side // plan.form.multiple_of for side in size)
    form = form._replace(size=(height, width), fit="crop")
  seen = _examined(list(plan.low_res.values()), form)
  return dict(zip(plan.low_res, seen, strict=True))


def _examined(
  files: Sequence[Path], form: image_folder.Form, *, step: int = 1
) -> list[Seen]:
  with futures.ThreadPoolExecutor(os.cpu_count()) as pool:
    seen = list(pool.map(_header_of, files))
    headers = _headers_of(seen)
    if not headers:
      return seen
    uniform = image_folder.uniform_of(headers, form)._replace(step=step)
    well = seen_well(seen)
    misfits = {
      well[i]
      for i in image_folder.sizes_of([x.size for x in headers], form).misfits
    }

    def of_file(index: int) -> Seen:
      path, header = files[index], seen[index].header
      if header is None:
        return seen[index]
      try:
        with image_file.named(path):
          if index in misfits:
            picture = image_file.read(path)
            pixels, notes = picture.pixels, picture.notes
          else:
            pixels, notes = image_folder.decoded(path, uniform)
      except errors.UserError as error:
        return Seen(None, problem=str(error))
      return Seen(header, duplicates.digest(pixels), notes)

    return list(pool.map(of_file, range(len(files))))


def _header_of(path: Path) -> Seen:
  try:
    return Seen(image_file.header(path))
  except errors.UserError as error:
    return Seen(None, problem=str(error))


def seen_well(seen: Sequence[Seen]) -> list[int]:
  """Indices of the files that can be read."""
  return [index for index, one in enumerate(seen) if one.header is not None]


def _headers_of(seen: Iterable[Seen]) -> list[image_file.Header]:
  """Those of the files that can be read."""
  return [one.header for one in seen if one.header is not None]


def size_of(
  plan: own_images.Plan, seen: Sequence[Seen]
) -> sizes_lib.Size | None:
  """The size that all images get; None if no file can be read."""
  found = [header.size for header in _headers_of(seen)]
  return image_folder.sizes_of(found, plan.form).size if found else None


def problems_of(
  plan: own_images.Plan,
  seen: Sequence[Seen],
  low_res: Mapping[int, Seen],
  *,
  duplicates_are_allowed: bool = False,
) -> list[str]:
  """Everything that stops a run on these images, one or two lines each.

  Whether a config can take their size is not checked here.

  Args:
    plan: the images.
    seen: what each file turned out to be.
    low_res: likewise of low-resolution images.
    duplicates_are_allowed: whether images may be in two splits.
  """
  every = (*seen, *low_res.values())
  problems = [*plan.problems, *(one.problem for one in every if one.problem)]
  problems += _about_sizes(plan, seen)
  problems += _about_pairs(plan, seen, low_res)
  if not plan.problems:
    # Files that cannot be read have one digest, but are no duplicates.
    digests = [one.digest or str(i).encode() for i, one in enumerate(seen)]
    problems += [
      f"{paths.shown(plan.files[one])} and {paths.shown(plan.files[other])}: "
      "equal, but in two splits."
      for one, other in duplicates.across(digests, plan.parts)
      if not duplicates_are_allowed
    ]
    problems += [
      f"no images are left for {split}."
      for split in ("train", "validation", "test")
      if not len(plan.parts[split])
    ]
  return problems


def _about_sizes(plan: own_images.Plan, seen: Sequence[Seen]) -> list[str]:
  """Images that cannot get the size of the others."""
  read = seen_well(seen)
  found = [header.size for header in _headers_of(seen)]
  if not found:
    return []
  sizes = image_folder.sizes_of(found, plan.form)
  misfits = [
    f"{paths.shown(plan.files[read[i]])}: {sizes_lib.named(found[i])} px, "
    f"{sizes.problem}."
    for i in sizes.misfits[:_MOST_MISFITS]
  ]
  if (more := len(sizes.misfits) - len(misfits)) > 0:
    misfits.append(f"{more:,} more images are {sizes.problem}.")
  if misfits:
    misfits[-1] += f"\n{sizes.way_out}"
  return misfits


def _about_pairs(
  plan: own_images.Plan, seen: Sequence[Seen], low_res: Mapping[int, Seen]
) -> list[str]:
  """Pairs whose sizes do not have the ratio of the scale."""
  found = [
    partners.Pair(plan.files[i], high.size, plan.low_res[i], low.header.size)
    for i, low in low_res.items()
    if (high := seen[i].header) is not None and low.header is not None
  ]
  problems = partners.about_sizes(found, plan.form.multiple_of)
  if (more := len(problems) - _MOST_MISFITS) > 0:
    problems[_MOST_MISFITS:] = [f"{more:,} more pairs have another ratio."]
  return problems


def described(
  plan: own_images.Plan,
  seen: Sequence[Seen],
  low_res: Mapping[int, Seen],
  *,
  title: str,
) -> list[str]:
  """What the images are, in lines."""
  count, num_classes = f"{len(plan.files):,}", len(plan.class_names)
  classes = f"{num_classes:,} class{'es' * (num_classes != 1)}"
  if not num_classes:
    classes = "no classes"
  images = f"image{'s' * (len(plan.files) != 1)}"
  lines = [f"{paths.shown(title)}: {count} {images}, {classes}"]
  splits = ("train", "validation", "test")
  rows = [["", *splits]]
  for label, name in enumerate(plan.class_names or ("images",)):
    numbers = [
      int((plan.labels[plan.parts[split]] == label).sum()) for split in splits
    ]
    rows.append([paths.shown(name), *(f"{number:,}" for number in numbers)])
  widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
  for name, *numbers in rows:
    cells = zip(numbers, widths[1:], strict=True)
    lines.append(
      "  ".join([f"  {name:<{widths[0]}}", *(f"{x:>{w}}" for x, w in cells)])
    )
  headers = _headers_of(seen)
  lines += _counted("sizes", [sizes_lib.named(x.size) for x in headers])
  small = _headers_of(low_res.values())
  sizes = [sizes_lib.named(x.size) for x in small]
  lines += _counted("low-resolution sizes", sizes)
  headers += small
  lines += _counted("stored as", [_kind(header) for header in headers])
  every = (*seen, *low_res.values())
  count = f"{len(every):,}"
  notes = collections.Counter(note for one in every for note in one.notes)
  notes.update(image_folder.of_some(headers, plan.form))
  lines += [
    f"note: {number:,} of {count} {images}: {note}"
    for note, number in notes.items()
  ]
  return [*lines, *(f"note: {note}" for note in plan.notes)]


def _kind(header: image_file.Header) -> str:
  return f"{'color' if header.is_color else 'gray'} of {header.bits} bits"


def _counted(title: str, found: Sequence[str]) -> list[str]:
  """A line that counts what was found, the most frequent first."""
  counts = collections.Counter(found).most_common()
  parts = [f"{name} ({number:,})" for name, number in counts[:_MOST_LISTED]]
  if len(counts) > _MOST_LISTED:
    parts.append(f"{len(counts) - _MOST_LISTED:,} others")
  return [f"{title}: {', '.join(parts)}"] if parts else []
