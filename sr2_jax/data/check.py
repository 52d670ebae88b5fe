"""What is wrong with a folder of images, all at once, before a run is started.

  python -m sr2_jax.data.check photos --scale=4 --sheet=photos.png

Shows classes, splits, sizes and kinds of files on standard output, and every
problem on standard error, a line each. Flags are named as the fields of
`config.data`, and --crop is `config.augmentation.crop`. Exit codes: 0 nothing
is wrong, 2 something is to be fixed.
"""

import argparse
import collections
import os
import sys
from collections.abc import Sequence
from concurrent import futures
from pathlib import Path
from typing import NamedTuple

import ml_collections

from sr2_jax import errors, paths
from sr2_jax.data import (
  contact_sheet,
  duplicates,
  image_file,
  image_folder,
  own_images,
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
    digest: tells its pixels from others; b"" if it cannot be read.
    notes: what is not read as it is in the file.
    problem: why it cannot be read, in one line, or "".
  """

  header: image_file.Header | None
  digest: bytes = b""
  notes: tuple[str, ...] = ()
  problem: str = ""


def main(arguments: Sequence[str] | None = None) -> int:
  """Checks a folder, and returns the exit code."""
  options = _parser().parse_args(arguments)
  try:
    config_data = _config_data(options)
    plan = own_images.plan(config_data, multiple_of=options.scale)
    seen = examine(plan.files)
    problems = problems_of(
      plan, seen, scale=options.scale, crop=options.crop,
      duplicates_are_allowed=options.duplicates == "allow",
    )  # fmt: skip
    print("\n".join(described(plan, seen, title=options.path)))
    if options.sheet:
      contact_sheet.write(
        Path(options.sheet).expanduser(), plan, seen_well(seen)
      )
      print(f"pictures: {options.sheet}")
  except errors.UserError as error:
    problems = [str(error)]
  except OSError as error:
    problems = [f"--sheet={options.sheet}: {error.strerror}."]
  for problem in problems:
    print(problem, file=sys.stderr)
  if problems:
    print(f"{len(problems):,} to fix", file=sys.stderr)
  return 2 if problems else 0


def _parser() -> argparse.ArgumentParser:
  parser = argparse.ArgumentParser(
    prog="python -m sr2_jax.data.check",
    description="What is wrong with a folder of images, all at once.",
    allow_abbrev=False,
  )
  add = parser.add_argument
  add("path", help="the folder of images")
  add("--scale", type=_scale, default=2, help="super-resolution factor (2)")
  add("--crop", type=int, default=0, help="side of crops to train on (none)")
  add("--labels", default="", help="a CSV file with columns file and label")
  add("--classes", default="", help="classes to keep, join and leave out")
  add(
    "--size",
    type=_size,
    default="",
    help="height x width of all images, as in 32x16",
  )
  for name, values, what in (
    ("fit", ("refuse", "crop", "pad", "resize"), "images of another size"),
    ("channels", ("auto", "1", "3"), "gray or RGB"),
    ("duplicates", ("refuse", "allow"), "equal images in two splits"),
  ):
    add(
      f"--{name}", default=values[0], choices=values,
      help=f"{what} ({values[0]})",
    )  # fmt: skip
  add(
    "--validation_fraction", type=float, default=0.2,
    help="part of each class for validation, and for a test if there is none "
    "(0.2)",
  )  # fmt: skip
  add("--split_seed", type=int, default=0, help="chooses that part (0)")
  add("--sheet", default="", help="a PNG file to show some of each class in")
  return parser


def _scale(text: str) -> int:
  if not text.isdecimal() or int(text) < 2:
    raise argparse.ArgumentTypeError("has to be a whole number >= 2")
  return int(text)


def _size(text: str) -> str:
  if text and not all(sizes_lib.sides_of(text) or (0,)):
    raise argparse.ArgumentTypeError("has to be height x width, as in 32x16")
  return text


def _config_data(options: argparse.Namespace) -> ml_collections.ConfigDict:
  fields = {**vars(options)}
  for name in ("path", "labels", "sheet"):
    fields[name] = paths.local(fields[name], name)
  for other in ("scale", "crop", "sheet"):
    del fields[other]
  return ml_collections.ConfigDict(fields)


def examine(files: Sequence[Path]) -> list[Seen]:
  """Decodes every file, whatever is wrong with others."""

  def of_file(path: Path) -> Seen:
    try:
      header = image_file.header(path)
      picture = image_file.read(path)
    except errors.UserError as error:
      return Seen(None, problem=str(error))
    return Seen(header, duplicates.digest(picture.pixels), picture.notes)

  with futures.ThreadPoolExecutor(os.cpu_count()) as pool:
    return list(pool.map(of_file, files))


def seen_well(seen: Sequence[Seen]) -> list[int]:
  """Indices of the files that can be read."""
  return [index for index, one in enumerate(seen) if one.header is not None]


def problems_of(
  plan: own_images.Plan,
  seen: Sequence[Seen],
  *,
  scale: int,
  crop: int = 0,
  duplicates_are_allowed: bool = False,
) -> list[str]:
  """Everything that stops a run on these images, a line each.

  Args:
    plan: the images.
    seen: what each file turned out to be.
    scale: super-resolution factor.
    crop: side of the squares that are trained on; 0: whole images.
    duplicates_are_allowed: whether images may be in two splits.
  """
  problems = [one.problem for one in seen if one.problem]
  read = seen_well(seen)
  found = [one.header.size for one in seen if one.header is not None]
  if not found:
    return problems
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
  problems += misfits
  size = (crop, crop) if crop else sizes.size
  if crop > min(sizes.size):
    problems.append(
      f"crops of {crop} px do not fit into {sizes_lib.named(sizes.size)} px."
    )
  if any(side % scale for side in size):
    problems.append(
      f"scale {scale} does not divide {sizes_lib.named(size)} px; "
      f"{_other_size(plan.form, size, scale=scale, crop=crop)}."
    )
  # Files that cannot be read have one digest, but are no duplicates.
  digests = [one.digest or str(i).encode() for i, one in enumerate(seen)]
  problems += [
    f"{paths.shown(plan.files[one])} and {paths.shown(plan.files[other])}: "
    "equal, but in two splits."
    for one, other in duplicates.across(digests, plan.parts)
    if not duplicates_are_allowed
  ]
  for split in ("train", "validation", "test"):
    if not len(plan.parts[split]):
      problems.append(f"no images are left for {split}.")
  return problems


def _other_size(
  form: image_folder.Form, size: sizes_lib.Size, *, scale: int, crop: int
) -> str:
  """What to do where a scale does not divide a size."""
  if crop:
    return "give another --crop"
  if form.size is None:
    return "--fit=crop cuts the rest, or --size makes them another size"
  below, above = (
    sizes_lib.named(tuple((side + more) // scale * scale for side in size))
    for more in (0, scale - 1)
  )
  return f"--size={below} and --size={above} fit"


def described(
  plan: own_images.Plan, seen: Sequence[Seen], *, title: str
) -> list[str]:
  """What the images are, in lines."""
  count, classes = f"{len(plan.files):,}", f"{len(plan.class_names):,} classes"
  if not plan.class_names:
    classes = "no classes"
  lines = [f"{title}: {count} images, {classes}"]
  splits = ("train", "validation", "test")
  rows = [["", *splits]]
  for label, name in enumerate(plan.class_names or ("images",)):
    numbers = [
      int((plan.labels[plan.parts[split]] == label).sum()) for split in splits
    ]
    rows.append([name, *(f"{number:,}" for number in numbers)])
  widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
  for name, *numbers in rows:
    cells = zip(numbers, widths[1:], strict=True)
    lines.append(
      "  ".join([f"  {name:<{widths[0]}}", *(f"{x:>{w}}" for x, w in cells)])
    )
  headers = [one.header for one in seen if one.header is not None]
  lines += _counted("sizes", [sizes_lib.named(x.size) for x in headers])
  lines += _counted("stored as", [_kind(header) for header in headers])
  notes = collections.Counter(note for one in seen for note in one.notes)
  notes.update(image_folder.of_some(headers, plan.form))
  lines += [
    f"note: {number:,} of {count} images: {note}"
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


if __name__ == "__main__":
  sys.exit(main())
