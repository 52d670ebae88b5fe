"""The trained networks that `--weights` and the flags beside it choose; no JAX.

Weights are files of `records.weights`. They are found in a run folder, in its
weights/, in the folder of one network or of one member in there, or given as
one file. What is no path is the name of released weights.
"""

import dataclasses
import pathlib
from collections.abc import Sequence
from typing import Literal

import ml_collections

from sr2_jax import errors, names
from sr2_jax.buckets import address
from sr2_jax.config import checks
from sr2_jax.data import sizes
from sr2_jax.records import networks
from sr2_jax.records import weights as weights_lib

Seeds = Literal["all", "first"] | Sequence[int]


@dataclasses.dataclass(frozen=True)
class Choice:
  """Files of the members of one network, that differ in their seed only.

  Attributes:
    title: what was given, for messages.
    paths: the files, by seed.
    origins: of each file.
    notes: what the user should know about them.
  """

  title: str
  paths: tuple[pathlib.Path, ...]
  origins: tuple[weights_lib.Origin, ...]
  notes: tuple[str, ...] = ()

  @property
  def digests(self) -> tuple[str, ...]:
    """The sha256 of each file, as the file beside it has it."""
    return tuple(weights_lib.digest(path) for path in self.paths)

  @property
  def scale(self) -> int:
    """The super-resolution factor."""
    return self.origins[0].config["degradation"]["scale"]

  @property
  def channels(self) -> int:
    """Channels of the network's images, 1 or 3."""
    return self.origins[0].image_shape[2]

  @property
  def trunk(self) -> str:
    """A key of `names.TRUNKS`."""
    return self.origins[0].config["model"]["trunk"]

  @property
  def low_res_path(self) -> str:
    """Where its low-resolution images came from; "": made by its run."""
    return self.origins[0].low_res_path

  @property
  def classifies(self) -> bool:
    """Whether the network has a classifier."""
    origin = self.origins[0]
    wiring = origin.config["model"]["wiring"]
    return origin.phase == "joint" and wiring != "none"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Asked:
  """What a command line says about a network; see `find` for each field."""

  weights: str
  method: str | None
  checkpoint: str | None
  seeds: Seeds
  member: int | None

  def find(self) -> Choice:
    """The files that are asked for, as `find` has them."""
    return find(
      self.weights,
      method=self.method,
      checkpoint=self.checkpoint,
      seeds=self.seeds,
      member=self.member,
    )


def find(
  weights: str,
  *,
  method: str | None = None,
  checkpoint: str | None = None,
  seeds: Seeds = "all",
  member: int | None = None,
) -> Choice:
  """The files of a network.

  Args:
    weights: a path as typed, or a released name.
    method: key of the network, where a folder has several; None: the last one
      that was trained.
    checkpoint: "last" or "best", where a folder has both; None: "last".
    seeds: which seeds' networks, "first" for the lowest.
    member: which L2 strength and loss weight, where there are several; a number
      from the list that the error has.

  Raises:
    UserError: names what is missing, and what there is instead.
  """
  files = networks.files_of(weights, method=method, checkpoint=checkpoint)
  for file in files:
    weights_lib.verify(file)
  found = [(_origin(file), file) for file in files]
  _refuse_several_networks(weights, found)
  found.sort(key=lambda pair: weights_lib.order(pair[0].member))
  origin = found[0][0]
  if method not in (None, origin.method):
    raise errors.UserError(f"--method={method}: {weights} has {origin.method}.")
  if origin.config["model"]["trunk"] == "srmd":
    raise errors.UserError(
      f"{weights}: SRMD has to be told how each image was degraded, which an "
      "image does not say.\nChoose a network with another trunk."
    )
  found = _of_seeds(_of_setting(found, member), seeds, weights)
  return Choice(
    title=weights,
    paths=tuple(file for _, file in found),
    origins=tuple(origin for origin, _ in found),
    notes=_notes(weights),
  )


def _origin(file: pathlib.Path) -> weights_lib.Origin:
  """The origin of a file, whose config has every field."""
  origin = weights_lib.read_origin(file)
  try:
    checks.validate_names(ml_collections.ConfigDict(dict(origin.config)))
  except errors.UserError as error:
    raise errors.UserError(
      f"{file}: damaged, or from another version: {error}"
    ) from error
  return origin


def _refuse_several_networks(weights: str, found: "_Found") -> None:
  """A folder of released folders has files of several networks in it."""
  folders = {}
  for origin, file in found:
    config = origin.config
    network = (config["degradation"]["scale"], config["data"]["name"])
    folders[origin.method, *network] = file.parent.name
  if len(folders) > 1:
    raise errors.UserError(
      f"--weights={weights}: has several networks; give one of its folders: "
      f"{', '.join(folders.values())}."
    )


_Found = list[tuple[weights_lib.Origin, pathlib.Path]]


def _of_setting(found: _Found, member: int | None) -> _Found:
  """The files of one L2 strength and loss weight."""
  settings = dict.fromkeys(
    (origin.member.l2, origin.member.loss_weight) for origin, _ in found
  )
  if member is None and len(settings) == 1:
    return found
  if member is None or not 0 <= member < len(settings):
    listed = "\n".join(
      f"  --member={i}  L2 {l2}, loss weight {loss_weight}"
      for i, (l2, loss_weight) in enumerate(settings)
    )
    raise errors.UserError(f"Choose one of the networks:\n{listed}")
  chosen = list(settings)[member]
  return [
    (origin, file)
    for origin, file in found
    if (origin.member.l2, origin.member.loss_weight) == chosen
  ]


def _of_seeds(found: _Found, seeds: Seeds, weights: str) -> _Found:
  by_seed = {origin.member.seed: (origin, file) for origin, file in found}
  if seeds == "all":
    return found
  if seeds == "first":
    return found[:1]
  for seed in seeds:
    if seed not in by_seed:
      known = ", ".join(map(str, by_seed))
      raise errors.UserError(
        f"--seeds: {weights} has no seed {seed}; it has {known}."
      )
  return [by_seed[int(seed)] for seed in seeds]


def _notes(weights: str) -> tuple[str, ...]:
  path = address.local(weights).expanduser()
  is_run = (path / "config.json").is_file() and (path / "weights").is_dir()
  if is_run and not (path / "DONE").is_file():
    return (f"{weights} has not finished; these are its latest weights",)
  return ()


def short_title(choice: Choice) -> str:
  """The network's name and scale."""
  return f"{names.method(choice.origins[0].method).title} x{choice.scale}"


def title_of(choice: Choice) -> str:
  """One line about the network, for people."""
  origin = choice.origins[0]
  large = origin.image_shape[:2]
  small = tuple(side // choice.scale for side in large)
  count = len(choice.origins)
  return (
    f"{short_title(choice)}, "
    f"{'gray' if choice.channels == 1 else 'RGB'}, "
    f"{count} seed{'s' * (count > 1)}; trained on "
    f"{sizes.named(small)} -> {sizes.named(large)} (height x width)"
  )
