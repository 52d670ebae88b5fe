"""The files of a trained network that a user names; no JAX.

They are found in a run folder, in its weights/, in the folder of one network or
of one member in there, or given as one file. What is no path is the name of
released weights.
"""

import difflib
import pathlib
from collections.abc import Iterable, Sequence

from sr2_jax import errors, paths
from sr2_jax.buckets import copies
from sr2_jax.records import released
from sr2_jax.records import weights as weights_lib


def files_of(
  given: str,
  *,
  flag: str = "--weights",
  method: str | None = None,
  phase: str | None = None,
  checkpoint: str | None = None,
) -> list[pathlib.Path]:
  """Files of all members of a network.

  Args:
    given: a path or URL as typed, or a released name.
    flag: what it was given as, for messages.
    method: key of the network, where a folder has several; None: the last one
      that was trained.
    phase: that the network is of, where a folder has several; None: any.
    checkpoint: "last" or "best", where a folder has both; None: "last".

  Raises:
    UserError: names what is missing, and what there is instead.
  """
  here = copies.bring(given, flag, copies.is_of_weights)
  path = pathlib.Path(paths.local(here, flag))
  known = released.of_package()
  if not path.exists() and given in known:
    _refuse_checkpoint(checkpoint, f"{given} is a released name")
    return released.find(known[given])
  if path.is_file():
    _refuse_checkpoint(checkpoint, f"{path} is one file")
    return [path]
  if not path.is_dir():
    raise errors.UserError(_nowhere(flag, given, known))
  folder, name = path, f"{checkpoint or 'last'}.safetensors"
  every = weights_lib.network_folders(path) or weights_lib.networks_in(path)
  networks = {
    key: network
    for key, network in every.items()
    if phase is None or network.name.startswith(f"{phase}_")
  }
  if every and not networks:
    raise errors.UserError(
      f"{flag}={given}: has {', '.join(every)}, and no weights of {phase}."
    )
  if networks:
    folder = networks.get(method or list(networks)[-1])
    if folder is None:
      raise errors.UserError(
        f"--method={method}: {path} has {', '.join(networks)}."
      )
  wanted = [name] if networks or checkpoint else [name, released.MODEL]
  for last in wanted:
    files = weights_lib.members_in(folder, last) or sorted(folder.glob(last))
    if files:
      _refuse_missing(folder, files)
      return files
  raise errors.UserError(
    f"{flag}={given}: no {name} in {folder}.\n"
    "The end of a phase writes the last weights, and --mode=eval of "
    "sr2_jax.main the last or the best."
  )


def _refuse_missing(
  folder: pathlib.Path, files: Sequence[pathlib.Path]
) -> None:
  """Refuses a copy of released weights that lacks some: results would differ.

  A list that cannot be read is refused with the files that it is about.
  """
  try:
    listed = released.sums_in(folder)
  except (OSError, UnicodeDecodeError):
    return
  for name in listed:
    path = folder / name
    if path.name == released.MODEL and path not in files:
      raise errors.UserError(
        f"{path}: missing, but listed in {released.SUMS}.\n"
        "Copy it as well, or give the folder of one member."
      )


def _nowhere(flag: str, given: str, known: Iterable[str]) -> str:
  """What is said if a name stands for nothing."""
  nearest = difflib.get_close_matches(given, known, 1)
  hint = f" Did you mean {nearest[0]}?" if nearest else ""
  names = f"a released name ({', '.join(known)}), " if known else ""
  return (
    f"{flag}={given}: there is no such file or folder.{hint}\n"
    f"It takes {names}a run folder, a folder of weights in it, or one "
    ".safetensors file."
  )


def _refuse_checkpoint(checkpoint: str | None, reason: str) -> None:
  if checkpoint is not None:
    raise errors.UserError(
      f"--checkpoint={checkpoint} chooses in a run folder; {reason}."
    )
