"""Paths for orbax that mean what they say."""

import glob
import os
import pathlib
from collections.abc import Iterator

from etils.epath import gpath


class LiteralPath(gpath.PosixGPath):
  """A local path for orbax, whatever characters it has.

  Its base class sees a pattern in [1] and a bucket in /s3/runs.
  """

  @property
  def _uri_scheme(self) -> None:
    return None

  def glob(self, pattern: str) -> Iterator["LiteralPath"]:
    """What a pattern finds in the folder, whose own name is none."""
    for found in glob.iglob(os.path.join(glob.escape(str(self)), pattern)):
      yield type(self)(found)


def literal(path: pathlib.Path) -> LiteralPath:
  """The same path, for orbax."""
  # TensorStore would take link/../run for run, wherever the link leads.
  return LiteralPath(path.resolve())
