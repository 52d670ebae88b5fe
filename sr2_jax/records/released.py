"""Released weights: which there are, and where their files lie; no JAX.

`sr2_jax/released/weights.json` has each file of each by name, with its bytes
and sha256. The files are in a folder of that name beside it, or in the cache
folder `weights`. Nothing is ever downloaded.
"""

import dataclasses
import functools
import hashlib
import pathlib
import re
from collections.abc import Mapping

from sr2_jax import errors, files, json_files
from sr2_jax.records import row_values

# What comes with the package.
FOLDER = pathlib.Path(__file__).parents[1] / "released"
# Low-resolution digits to try them on.
EXAMPLES = FOLDER / "examples"
INDEX = "weights.json"
SUMS = "SHA256SUMS"
# The file of a member, in the folder of its network or in one of its own there.
MODEL = "model.safetensors"
_LONGEST_LIST = 1_000_000  # bytes
_SAFE_PART = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclasses.dataclass(frozen=True)
class File:
  """What a file has to be."""

  sha256: str
  num_bytes: int


@dataclasses.dataclass(frozen=True)
class Released:
  """The weights of one network.

  Attributes:
    name: for `--weights`, and of their folder.
    files: by their paths in that folder.
    address: where they can be had; None: nowhere yet.
  """

  name: str
  files: Mapping[str, File]
  address: str | None = None

  @property
  def models(self) -> dict[str, File]:
    """The file of each member."""
    return {
      path: file
      for path, file in self.files.items()
      if pathlib.PurePosixPath(path).name == MODEL
    }


@functools.cache
def index(folder: pathlib.Path) -> dict[str, Released]:
  """The released weights that a folder's list has, by name.

  Raises:
    UserError: if the list is damaged, or a name leads out of the folder.
  """
  path = folder / INDEX
  try:
    listed = json_files.read(path)
  except FileNotFoundError:
    return {}
  except (OSError, ValueError) as error:
    raise _damaged(path, error) from error
  try:
    found = {
      name: Released(
        name,
        {
          file: File(
            row_values.own("sha256", str, what["sha256"]),
            row_values.own("bytes", int, what["bytes"]),
          )
          for file, what in entry["files"].items()
        },
        entry["address"],
      )
      for name, entry in listed.items()
    }
  except (AttributeError, LookupError, TypeError, ValueError) as error:
    raise _damaged(path, error) from error
  for name, entry in found.items():
    for file in entry.files:
      if not all(map(_SAFE_PART.fullmatch, (name, *file.split("/")))):
        raise errors.UserError(
          f"{path}: {name}/{file} could lead out of its folder.\n"
          "Install it again."
        )
  return found


def _damaged(path: pathlib.Path, error: Exception) -> errors.UserError:
  return errors.UserError(
    f"{path}: damaged ({type(error).__name__}: {error}).\nInstall it again."
  )


def of_package() -> dict[str, Released]:
  """The released weights that this version knows, by name."""
  return index(FOLDER)


def find(released: Released) -> list[pathlib.Path]:
  """The files of its members on this machine, which are as they should be.

  Raises:
    UserError: names the file that is missing or another, and the way out.
  """
  places = (FOLDER, files.cache_folder("weights"))
  for place in places:
    folder = place / released.name
    if all((folder / path).exists() for path in released.models):
      for path, file in released.models.items():
        _check(folder, path, file)
      return [folder / path for path in released.models]
  folder = places[-1] / released.name
  path, file = next(
    (path, file)
    for path, file in released.models.items()
    if not (folder / path).exists()
  )
  source = released.address or "there is no address for it yet"
  raise errors.UserError(
    f"--weights={released.name}: its files are not on this machine.\n"
    f"Put {path} ({file.num_bytes:,} bytes, sha256 {file.sha256}) into "
    f"{folder}; {source}."
  )


def sums_in(folder: pathlib.Path) -> dict[str, str]:
  """The sha256 of files by path, as the list in a folder has them.

  Empty where there is none.

  Raises:
    OSError: if it cannot be read.
    UnicodeDecodeError: if it is no text.
  """
  path = folder / SUMS
  if not path.is_file():
    return {}
  lines = files.read(path, most=_LONGEST_LIST).decode().splitlines()
  pairs = (line.partition("  ") for line in lines)
  return {name: digest for digest, _, name in pairs}


def is_known(sha256: str) -> bool:
  """Whether a file with this sha256 has been released."""
  return any(
    sha256 == file.sha256
    for released in of_package().values()
    for file in released.models.values()
  )


def _check(folder: pathlib.Path, path: str, file: File) -> None:
  """Raises UserError if a file is a link, or not the one that was released."""
  whole = folder / path
  for part in (folder, *folder.joinpath(path).parents, whole):
    if part.is_relative_to(folder) and part.is_symlink():
      raise errors.UserError(
        f"{part}: is a link, which released weights never are.\n"
        "Put the file itself there."
      )
  try:
    with files.open_regular(whole) as opened:
      digest = hashlib.file_digest(opened, "sha256").hexdigest()
  except OSError as error:
    raise errors.UserError(
      f"{whole}: cannot be read ({error.strerror or error})."
    ) from error
  if digest != file.sha256:
    raise errors.UserError(
      f"{whole}: damaged, or another file; its sha256 is not the one in "
      f"{INDEX}.\nRestore it: {file.num_bytes:,} bytes, sha256 {file.sha256}."
    )
