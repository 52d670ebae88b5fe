"""The files that a command reads and writes, settled before it begins; no JAX.

Everything that can go wrong with names goes wrong here: nothing has been
computed or written yet.
"""

import collections
import dataclasses
import glob
import os
import pathlib
import re
from collections.abc import Iterable, Iterator, Sequence

from sr2_jax import errors, paths
from sr2_jax.data import image_file
from sr2_jax.prediction import image_files


@dataclasses.dataclass(frozen=True)
class Found:
  """An image to read.

  Attributes:
    path: of the file.
    below: the folders between the given folder and the file.
    is_named: whether it was given itself, not its folder.
  """

  path: pathlib.Path
  below: pathlib.PurePath = dataclasses.field(default=pathlib.PurePath())
  is_named: bool = False


@dataclasses.dataclass(frozen=True)
class Listing:
  """What the arguments name.

  Attributes:
    images: in order, each once.
    failures: folders that cannot be read, and why.
    num_ignored: files in folders that are no images.
  """

  images: tuple[Found, ...]
  failures: tuple[tuple[pathlib.Path, str], ...]
  num_ignored: int


@dataclasses.dataclass(frozen=True)
class Job:
  """An image and the files that are made of it.

  Attributes:
    path: of the image.
    output: the super-resolved image.
    spread: picture of the seeds' disagreement, or None.
    spread_array: the disagreement as an array, or None.
    side_by_side: picture to show, or None.
  """

  path: pathlib.Path
  output: pathlib.Path
  spread: pathlib.Path | None = None
  spread_array: pathlib.Path | None = None
  side_by_side: pathlib.Path | None = None

  @property
  def outputs(self) -> list[pathlib.Path]:
    """All files that are made."""
    every = (self.output, self.spread, self.spread_array, self.side_by_side)
    return [path for path in every if path is not None]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Naming:
  """How outputs are called.

  Attributes:
    folder: where they go.
    suffix: after the image's name; {ext} stands for its own suffix.
    kind: a key of `image_files.WRITTEN`.
    spread: whether disagreement is written as well.
    side_by_side: whether the picture to show is written as well.
  """

  folder: pathlib.Path
  suffix: str
  kind: str = "png"
  spread: bool = False
  side_by_side: bool = False

  def job(self, found: Found) -> Job:
    """The files of an image."""
    ext = found.path.suffix.removeprefix(".")
    name = found.path.stem + self.suffix.replace("{ext}", ext)
    folder = self.folder / found.below

    def output(ending: str, wanted: bool = True) -> pathlib.Path | None:
      return folder / f"{name}{ending}" if wanted else None

    main = output(image_files.WRITTEN[self.kind][0])
    assert main is not None
    return Job(
      found.path,
      main,
      spread=output("_std.png", self.spread),
      spread_array=output("_std.npy", self.spread),
      side_by_side=output("_side.png", self.side_by_side),
    )


def find(
  arguments: Sequence[str], *, recursive: bool, skip: pathlib.Path
) -> Listing:
  """The images that files, folders and patterns name.

  Args:
    arguments: as typed.
    recursive: whether to go into the folders of folders.
    skip: a folder that is not gone into: that of the outputs.

  Raises:
    UserError: if an argument names nothing, or there is no image at all.
  """
  named = [path for argument in arguments for path in _named(argument)]
  several = sum(path.is_dir() for path in named) > 1
  images: dict[str, Found] = {}
  failures: list[tuple[pathlib.Path, str]] = []
  num_ignored = 0
  for path in named:
    if not path.is_dir():
      images.setdefault(os.path.abspath(path), Found(path, is_named=True))
      continue
    # Two folders may hold files of one name.
    top = pathlib.PurePath(path.resolve().name if several else "")
    for file in _files_in(path, recursive, skip, failures):
      if file.suffix.lower() in image_file.SUFFIXES:
        found = Found(file, top / file.parent.relative_to(path))
        images.setdefault(os.path.abspath(file), found)
      else:
        num_ignored += 1
  if not images and not failures:
    ignored = f" ({num_ignored} other files)" if num_ignored else ""
    raise errors.UserError(
      f"No images in {', '.join(map(paths.shown, arguments))}{ignored}."
      + ("" if recursive else "\n--recursive goes into the folders in it.")
    )
  return Listing(tuple(images.values()), tuple(failures), num_ignored)


def _named(argument: str) -> list[pathlib.Path]:
  """The paths that an argument stands for."""
  path = pathlib.Path(paths.local(argument, "IMAGE", any_bytes=True))
  if os.path.lexists(path):
    return [path]
  matches = []
  if glob.has_magic(argument):
    matches = [pathlib.Path(x) for x in glob.glob(str(path), recursive=True)]
  if not matches:
    raise errors.UserError(
      f"{paths.shown(argument)}: there is no such file or folder."
    )
  return sorted(matches, key=natural)


def natural(path: pathlib.Path) -> tuple[list[str | int], str]:
  """A key that sorts 2.png before 10.png."""
  words = re.split(r"(\d+)", str(path))
  return [int(w) if i % 2 else w for i, w in enumerate(words)], str(path)


def _files_in(
  folder: pathlib.Path,
  recursive: bool,
  skip: pathlib.Path,
  failures: list[tuple[pathlib.Path, str]],
) -> Iterator[pathlib.Path]:
  """Files of a folder, in order, without hidden ones; links to folders too."""
  try:
    entries = sorted(folder.iterdir(), key=natural)
  except OSError as error:
    failures.append((folder, error.strerror or str(error)))
    return
  for entry in entries:
    if entry.name.startswith("."):
      continue
    if not entry.is_dir():
      yield entry
    elif recursive and not entry.is_symlink() and not _is_same(entry, skip):
      yield from _files_in(entry, recursive, skip, failures)


def _is_same(a: pathlib.Path, b: pathlib.Path) -> bool:
  return a.exists() and b.exists() and a.samefile(b)


def jobs(images: Iterable[Found], naming: Naming) -> list[Job]:
  """A job for each image.

  An image in a folder that another one's output replaces is an earlier output,
  and no job.

  Raises:
    UserError: if two images have one output, or an output is an input.
  """
  listed = [(found, naming.job(found)) for found in images]
  owners: dict[str, list[Job]] = collections.defaultdict(list)
  for _, job in listed:
    for output in job.outputs:
      owners[os.path.abspath(output)].append(job)
  kept = []
  for found, job in listed:
    others = owners.get(os.path.abspath(found.path), ())
    if found.is_named or all(other is job for other in others):
      kept.append(job)
  _refuse_collisions(kept)
  _refuse_inputs(kept)
  return kept


def _refuse_collisions(kept: Sequence[Job]) -> None:
  inputs: dict[str, list[pathlib.Path]] = collections.defaultdict(list)
  for job in kept:
    for output in job.outputs:
      inputs[str(output)].append(job.path)
  for output, of_output in inputs.items():
    if len(of_output) > 1:
      given = " and ".join(map(paths.shown, of_output[:2]))
      raise errors.UserError(
        f"{given} would both become {paths.shown(output)}.\n"
        "--suffix=_{ext}_x4 puts their own suffixes into the names."
      )


def _refuse_inputs(kept: Sequence[Job]) -> None:
  """An output must not replace an image that is read, not even by --force."""
  existing = {}
  for job in kept:
    if job.path.exists():
      status = job.path.stat()
      existing[status.st_dev, status.st_ino] = job.path
  for job in kept:
    for output in job.outputs:
      if output.exists():
        status = output.stat()
        if (status.st_dev, status.st_ino) in existing:
          raise errors.UserError(
            f"{paths.shown(output)} is an image to read; it would be "
            "replaced.\nChoose another --out or --suffix."
          )


def refuse_existing(existing: Sequence[pathlib.Path]) -> None:
  """Raises UserError, naming the files, if there are any."""
  if existing:
    raise errors.UserError(
      f"These exist: {paths.listed(existing)}.\n"
      "--skip-existing does the rest, --force replaces them."
    )
