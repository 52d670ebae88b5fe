"""The flags of a sweep, read and checked before anything is loaded."""

import argparse
import dataclasses
import pathlib
import re
from collections.abc import Sequence
from typing import NoReturn

from launch import attempts, bucket, emulation, notify, shares, slices
from sr2_jax import errors, paths, program
from sr2_jax.buckets import address

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_SHORTEST_STALL, _LONGEST_TIME = 10, 30 * 86400  # seconds
_MOST_RETRIES = 1000
_MOST_SLICES = 10_000


@dataclasses.dataclass(frozen=True)
class Options:
  """What a command asks for.

  Attributes:
    sweep: a sweep file, perhaps with a budget.
    workdir: folder of all run folders, on this machine.
    url: of that folder, if it is in a bucket; else "".
    only: globs of names of runs.
    settings: {field: value} for all runs.
    grid: {field: values}, of an experiment file.
    mode: "train" or "eval".
    action: "run", "dry-run" or "status".
    engine: what runs the jobs.
    policy: how often a run is started again.
    notify: URL or path that is told how the sweep goes; "" for nobody.
    slice_: what each run gets of a cluster; None on this machine.
    emit: kind of file to print; "" for none.
    slices: at most so many at once; 0 is any number.
    at_once: runs side by side on this machine.
    image: of a container.
    volume: a claim, and where it is mounted.
    queue: of Kueue, or partition of Slurm.
    address: of a Ray cluster.
    wait: seconds without any slice until a sweep gives up; 0 is never.
    price: of a chip-hour, in any currency; 0 is unknown.
  """

  sweep: str
  workdir: pathlib.Path
  url: str
  only: tuple[str, ...]
  settings: dict[str, str]
  grid: dict[str, str]
  mode: str
  action: str
  engine: str
  policy: attempts.Policy
  notify: str
  slice_: slices.Slice | None
  emit: str
  slices: int
  at_once: int
  image: str
  volume: tuple[str, str] | None
  queue: str
  address: str
  wait: float
  price: float


class _Parser(program.Parser):
  def error(self, message: str) -> NoReturn:
    raise errors.UserError(f"{message}.\n--help explains all flags.")


def parse(arguments: Sequence[str], *, engines: Sequence[str]) -> Options:
  """Reads the arguments of a command.

  Args:
    arguments: without the program's name.
    engines: that there are.

  Raises:
    UserError: names the flag that is wrong.
  """
  typed = _parser(engines).parse_args(arguments)
  if not 0 <= typed.retries <= _MOST_RETRIES:
    raise errors.UserError(
      f"--retries has to be from 0 to {_MOST_RETRIES}, not {typed.retries}."
    )
  if not typed.workdir:
    raise errors.UserError("--workdir has to name a folder, as in runs/paper.")
  _check_cluster(typed)
  _check_at_once(typed)
  # A silent evaluation may take long on a laptop, but not there.
  is_on_cluster = typed.engine == "ray" or typed.emit == "rayjob"
  usual = "30m" if is_on_cluster else "0"
  stall = seconds(typed.stall or usual, "--stall")
  if 0 < stall < _SHORTEST_STALL:
    raise errors.UserError(
      f"--stall has to be at least {_SHORTEST_STALL}s, or 0 for never, not "
      f"{typed.stall}."
    )
  workdir = address.run_folder(typed.workdir, "--workdir")
  url = workdir if address.is_url(workdir) else ""
  return Options(
    sweep=paths.local(typed.sweep, "--sweep"),
    workdir=bucket.local(workdir),
    url=url,
    only=tuple(typed.only),
    settings=assignments(typed.set, "--set"),
    grid=assignments(typed.grid, "--grid"),
    mode=typed.mode,
    action=typed.action,
    engine=typed.engine,
    policy=attempts.Policy(typed.retries, stall),
    notify=typed.notify
    if notify.is_url(typed.notify)
    else paths.local(typed.notify, "--notify"),
    slice_=_slice(typed),
    emit=typed.emit,
    slices=typed.slices,
    at_once=typed.at_once,
    image=typed.image,
    volume=_volume(typed.volume),
    queue=typed.queue,
    address=typed.address or "auto",
    wait=seconds(typed.wait or "0", "--wait"),
    price=_price(typed.price),
  )


def _price(typed: str) -> float:
  """The price of a chip-hour; 0 if there is none."""
  if typed and not re.fullmatch(r"\d{0,6}(\.\d{1,4})?", typed):
    raise errors.UserError(
      f'--price has to be what a chip costs an hour, as in 1.20, not "{typed}".'
    )
  return float(typed or 0)


def _volume(typed: str) -> tuple[str, str] | None:
  if not typed:
    return None
  claim, colon, path = typed.partition(":")
  if not colon or not re.fullmatch(r"[a-z0-9][a-z0-9.-]*", claim):
    raise errors.UserError(
      f'--volume has to be CLAIM:/PATH, as in runs:/mnt/shared, not "{typed}".'
    )
  if not path.startswith("/") or path == "/":
    raise errors.UserError(f"--volume={typed}: /PATH has to be a folder.")
  return claim, path


def _check_cluster(typed: argparse.Namespace) -> None:
  """Checks the flags of clusters against each other."""
  if not 0 <= typed.slices <= _MOST_SLICES:
    raise errors.UserError(
      f"--slices has to be from 1 to {_MOST_SLICES}, or 0 for all, not "
      f"{typed.slices}."
    )
  is_emulated = emulation.is_emulated(typed.address)
  for name in ("address", "wait"):
    if getattr(typed, name) and typed.engine != "ray":
      raise errors.UserError(f"--{name} goes with --engine=ray.")
  if is_emulated and typed.accelerator is not None:
    raise errors.UserError(f"--accelerator does not go with {typed.address}.")
  if typed.engine == "ray" and not is_emulated and typed.accelerator is None:
    raise errors.UserError(
      "--engine=ray needs --accelerator, and --topology or --gpus."
    )
  if typed.emit and typed.accelerator is None:
    raise errors.UserError(
      "--emit needs --accelerator, and --topology or --gpus."
    )
  for name in ("image", "volume", "queue"):
    value = getattr(typed, name)
    if value and not typed.emit:
      raise errors.UserError(f"--{name} goes with --emit.")
    if re.search(r"[\s'\"`$;]", value):
      raise errors.UserError(f"--{name}={value}: has odd characters.")
  if typed.engine == "local" and typed.action == "run" and not typed.emit:
    # All of it would be trained on this machine, one run after another.
    for name in ("accelerator", "slices"):
      if getattr(typed, name):
        raise errors.UserError(
          f"--{name} goes with --engine=ray, --dry-run, --status or --emit."
        )


def _check_at_once(typed: argparse.Namespace) -> None:
  """Checks that this machine can have so many runs at once."""
  if typed.at_once < 1:
    raise errors.UserError(
      f"--at_once has to be at least 1, not {typed.at_once}."
    )
  if typed.at_once > 1 and (typed.engine != "local" or typed.emit):
    raise errors.UserError(
      "--at_once is for runs on this machine; --slices=N says how many there "
      "are at once on a cluster."
    )
  if typed.action != "status":  # That may look from another machine.
    shares.of_cores(typed.at_once)


def _slice(typed: argparse.Namespace) -> slices.Slice | None:
  if emulation.is_emulated(typed.address):
    for flag in ("topology", "chips_per_host"):
      if getattr(typed, flag):
        raise errors.UserError(f"--{flag} does not go with {typed.address}.")
    return emulation.parse(typed.address, gpus=typed.gpus, cut=typed.cut)[1]
  if typed.accelerator is None:
    for flag in ("topology", "gpus", "chips_per_host", "cut"):
      if getattr(typed, flag):
        raise errors.UserError(
          f"--{flag} goes with --accelerator, as in --accelerator=v5e."
        )
    return None
  return slices.find(
    typed.accelerator,
    typed.topology,
    gpus=typed.gpus,
    chips_per_host=typed.chips_per_host,
    cut=typed.cut,
  )


def _parser(engines: Sequence[str]) -> argparse.ArgumentParser:
  parser = _Parser(add_help=False, allow_abbrev=False)
  parser.add_argument("--sweep", required=True)
  parser.add_argument("--workdir", required=True)
  parser.add_argument("--only", nargs="+", default=[])
  parser.add_argument("--set", action="append", default=[])
  parser.add_argument("--grid", action="append", default=[])
  parser.add_argument("--mode", choices=("train", "eval"), default="train")
  actions = parser.add_mutually_exclusive_group()
  parser.set_defaults(action="run")
  for action in ("dry-run", "status"):
    actions.add_argument(
      f"--{action}", action="store_const", dest="action", const=action
    )
  parser.add_argument("--engine", choices=tuple(engines), default="local")
  parser.add_argument("--at_once", type=int, default=1)
  parser.add_argument("--retries", type=int, default=2)
  parser.add_argument("--stall", default="")
  parser.add_argument("--notify", default="")
  parser.add_argument("--accelerator")
  parser.add_argument("--topology", default="")
  parser.add_argument("--gpus", type=int, default=0)
  parser.add_argument("--chips_per_host", type=int, default=0)
  parser.add_argument("--cut", default="")
  parser.add_argument("--address", default="")
  parser.add_argument("--wait", default="")
  parser.add_argument("--price", default="")
  kinds = ("jobset", "rayjob", "sbatch", "xpk", "commands")
  actions.add_argument("--emit", choices=kinds, default="")
  parser.add_argument("--slices", type=int, default=0)
  parser.add_argument("--image", default="")
  parser.add_argument("--volume", default="")
  parser.add_argument("--queue", default="")
  return parser


def assignments(typed: Sequence[str], flag: str) -> dict[str, str]:
  """{field: value} of FIELD=VALUE arguments.

  Raises:
    UserError: if one has another form.
  """
  settings: dict[str, str] = {}
  for text in typed:
    field, equals, value = text.partition("=")
    if not equals:
      raise errors.UserError(
        f'{flag} has to be FIELD=VALUE, as in eval.clip=true, not "{text}".'
      )
    name = field.removeprefix("config.")
    if flag == "--grid" and name in settings:
      raise errors.UserError(
        f"--grid {name} is there twice; give all its values at once."
      )
    settings[name] = value
  return settings


def seconds(typed: str, flag: str) -> float:
  """Seconds of a time such as 90s, 30m or 2h; 0 needs no unit.

  Raises:
    UserError: if it is none, or too long.
  """
  number = re.fullmatch(r"(\d{1,9}(?:\.\d{1,9})?)([smhd])", typed)
  if typed != "0" and not number:
    raise errors.UserError(
      f'{flag} has to be a time such as 90s, 30m or 2h, not "{typed}".'
    )
  found = float(number[1]) * _SECONDS[number[2]] if number else 0.0
  if found > _LONGEST_TIME:
    raise errors.UserError(f"{flag} has to be at most 30d, not {typed}.")
  return found
