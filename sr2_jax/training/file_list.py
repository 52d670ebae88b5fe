"""files.sha256: a list, in sha256sum's format, of the files in a folder."""

import hashlib
import os
import pathlib

from sr2_jax import files

NAME = "files.sha256"


def write(folder: pathlib.Path) -> None:
  """Lists the files of all subfolders; those beside the list are left out."""
  found = sorted(_digests(folder).items())
  lines = "".join(f"{digest}  {name}\n" for name, digest in found)
  files.write_atomically(folder / NAME, lines.encode())


def verify(folder: pathlib.Path) -> None:
  """Compares the files with the list.

  Raises:
    ValueError: names a file that is missing or differs.
    OSError: the system cannot read a file now.
  """
  try:
    lines = files.read(folder / NAME).decode(errors="replace").splitlines()
  except FileNotFoundError as error:
    raise ValueError(f"{NAME}: {error.strerror}") from error
  expected = {
    name: digest for digest, _, name in (x.partition("  ") for x in lines)
  }
  found = _digests(folder)
  for name in sorted(expected.keys() | found.keys()):
    if name not in found:
      raise ValueError(f"{name} is missing")
    if expected.get(name) != found[name]:
      raise ValueError(f"sha256 of {name} differs from {NAME}")


def _digests(folder: pathlib.Path) -> dict[str, str]:
  """sha256 of every file of the subfolders, by its relative path."""

  def fail(error: OSError) -> None:
    raise error  # os.walk would skip what it cannot list.

  found = {}
  for subfolder in filter(pathlib.Path.is_dir, folder.iterdir()):
    for root, _, names in os.walk(subfolder, onerror=fail):
      for path in (pathlib.Path(root) / name for name in names):
        with files.open_regular(path) as file:
          digest = hashlib.file_digest(file, "sha256").hexdigest()
        found[path.relative_to(folder).as_posix()] = digest
  return found
