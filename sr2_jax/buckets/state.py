"""What a folder here notes of its mirror, for the next start; no JAX."""

import contextlib
import json
import pathlib

from sr2_jax import files, json_files
from sr2_jax.buckets import lists

# In the folder: notes, and second names of files that are being sent.
OWN = ".mirror"


def mark(folder: pathlib.Path, *, is_unsent: bool) -> None:
  """Notes whether a folder here may have what its bucket has not."""
  # Without room for it, a run that is done is not sent again by itself.
  with contextlib.suppress(OSError):
    path = folder / OWN / "unsent"
    if is_unsent:
      path.parent.mkdir(parents=True, exist_ok=True)
      path.touch()
    else:
      path.unlink(missing_ok=True)


def is_unsent(folder: pathlib.Path) -> bool:
  """Whether that was noted last."""
  return (folder / OWN / "unsent").exists()


def remember(
  folder: pathlib.Path, session: str, base: lists.FileList | None
) -> None:
  """Notes which list a folder here goes on from, and who works in it."""
  mark = base.mark if base else (0, "")
  text = json.dumps({"session": session, "base": mark})
  # On a full disk it is missing, and the folder is fetched again.
  with contextlib.suppress(OSError):
    files.write_atomically(folder / OWN / "state.json", text.encode())


def forget(folder: pathlib.Path) -> None:
  """Notes that a folder here is not what any list says."""
  for name in ("state.json", "unsent"):
    (folder / OWN / name).unlink(missing_ok=True)


def remembered(folder: pathlib.Path) -> tuple[str, tuple[int, str]] | None:
  """The session and the mark that were noted last; None if there are none."""
  try:
    found = json_files.read(folder / OWN / "state.json")
    number, session = found["base"]
    return str(found["session"]), (int(number), str(session))
  except (OSError, ValueError, LookupError, TypeError):
    return None


def goes_on_from(folder: pathlib.Path, newest: lists.FileList) -> bool:
  """Whether a folder here has what the newest list has, or more.

  It has if it was fetched from that list, or if its own mirror has put it.
  """
  session, mark = remembered(folder) or ("", (0, ""))
  return newest.session == session or newest.mark == mark
