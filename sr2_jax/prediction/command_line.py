"""Flags of `python -m sr2_jax.predict`, checked before anything is loaded."""

import argparse
import dataclasses
import difflib
import pathlib
import re
from collections.abc import Sequence
from typing import Any, NoReturn

from sr2_jax import errors, paths, program
from sr2_jax.config import fields
from sr2_jax.prediction import choice, image_files, table
from sr2_jax.records import released

# Most pixels of an output, unless --max-pixels says otherwise.
_MOST_PIXELS = 2**30
# What a flag may say at most: a larger number is a mistake, and would overflow
# far from here.
_LARGEST_NUMBER = 2**40
# A seed, as in `fields.LARGEST_SEED`.
_SEED = r"\d{1,10}"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Command(choice.Asked):
  """What a command line asks for; the help explains each flag."""

  images: tuple[str, ...]
  example: bool
  out: pathlib.Path
  suffix: str | None
  format: str
  bits: str
  color: str
  invert: bool
  classify: str
  table: pathlib.Path | None
  uncertainty: bool
  side_by_side: bool
  degrade: float | None
  tile: int | None
  batch: int | None
  recursive: bool
  force: bool
  skip_existing: bool
  max_pixels: int
  quiet: bool
  json: bool


def parse(argv: Sequence[str]) -> Command:
  """The command of arguments, without the program's name.

  Raises:
    UserError: names the flag that is wrong, in one or two lines.
  """
  # Without a value it would take the image that follows for one.
  arguments = ["--degrade=0" if x == "--degrade" else x for x in argv]
  parser = _parser()
  # Images may stand between flags, which argparse's own lists may not.
  values, images = parser.parse_known_args(arguments)
  refuse_unknown(images, parser)
  require_weights(values.weights)
  if values.example:
    images.append(str(released.EXAMPLES))
  if not images:
    raise errors.UserError(
      "Give the images: files, folders or patterns; or --example."
    )
  _check(values)
  folder = pathlib.Path(paths.local(values.out, "--out", any_bytes=True))
  where = values.table
  if where is not None:
    where = pathlib.Path(paths.local(where, "--table", any_bytes=True))
    if where.suffix not in table.SUFFIXES:
      raise errors.UserError(
        f"--table={where}: the name has to end in .jsonl or .csv."
      )
  return Command(
    **{
      **vars(values),
      "images": tuple(images),
      "out": folder,
      "table": where,
      "seeds": parse_seeds(values.seeds),
    }
  )


def _check(values: Any) -> None:
  """Refuses values and flags that do not go together."""
  if values.force and values.skip_existing:
    raise errors.UserError("Give --force or --skip-existing, not both.")
  if values.bits == "16" and values.format == "webp":
    raise errors.UserError("--bits=16: a WebP has 8; --format=png has both.")
  if values.suffix is not None and re.search(r"[/\0]", values.suffix):
    raise errors.UserError("--suffix is part of a name; it cannot hold a /.")
  if values.degrade is not None and values.color == "chroma":
    raise errors.UserError("--degrade makes gray of colors for a gray network.")
  most = fields.LARGEST_VARIANCE
  if values.degrade is not None and not 0 <= values.degrade <= most:
    raise errors.UserError(
      f"--degrade takes a noise variance from 0 to {most:g}."
    )


def require_weights(weights: str | None) -> None:
  """Refuses a command without --weights.

  Raises:
    UserError: says what the flag takes.
  """
  if weights is None:
    raise errors.UserError(
      "--weights is missing: a released name, a run folder, a folder of "
      "weights in it, or one .safetensors file."
    )


def parse_seeds(text: str) -> choice.Seeds:
  """The value of --seeds.

  Raises:
    UserError: if it is none.
  """
  if text in ("all", "first"):
    return text
  if re.fullmatch(rf"{_SEED}(,{_SEED})*", text):
    return tuple(dict.fromkeys(map(int, text.split(","))))
  raise errors.UserError(
    f"--seeds={text}: give all, first, or numbers such as 0,2."
  )


class Parser(program.Parser):
  """Answers a mistake in one line; has the flags that choose a network."""

  def __init__(self) -> None:
    super().__init__(add_help=False, allow_abbrev=False)
    for name in ("weights", "method"):
      self.add_argument(f"--{name}")
    self.add_argument("--checkpoint", choices=("last", "best"))
    self.add_argument("--seeds", default="all")
    self.add_argument("--member", type=_whole(0))

  def error(self, message: str) -> NoReturn:
    """Raises UserError."""
    message = message.removeprefix("argument ")
    raise errors.UserError(f"{message.rstrip('.')}; see --help.")


def _parser() -> Parser:
  parser = Parser()
  add = parser.add_argument
  for name in ("table", "suffix"):
    add(f"--{name}")
  add("--out", default="sr2_out")
  add("--format", choices=tuple(image_files.WRITTEN), default="png")
  add("--bits", choices=("auto", "8", "16"), default="auto")
  add("--color", choices=("luma", "chroma"), default="luma")
  add("--classify", choices=("auto", "yes", "no"), default="auto")
  add("--degrade", type=float)
  add("--tile", type=_auto_or(_whole(0)))
  add("--batch", type=_auto_or(_whole(1)))
  add("--max-pixels", type=_whole(1), default=_MOST_PIXELS)
  for name in (
    "example", "invert", "uncertainty", "side-by-side", "recursive", "force",
    "skip-existing", "quiet", "json",
  ):  # fmt: skip
    add(f"--{name}", action="store_true")
  return parser


def _whole(least: int) -> Any:
  """The type of a flag that takes a whole number of `least` or more."""

  def number(text: str) -> int:
    # Python reads no number of thousands of digits.
    is_number = re.fullmatch(r"[\d_,]{1,40}", text)
    if not is_number or not least <= int(_digits(text)) <= _LARGEST_NUMBER:
      raise argparse.ArgumentTypeError(
        f"{text!r} is no whole number of {least} or more, up to "
        f"{_LARGEST_NUMBER:,}"
      )
    return int(_digits(text))

  return number


def _digits(text: str) -> str:
  return text.replace(",", "").replace("_", "") or "0"


def _auto_or(number: Any) -> Any:
  return lambda text: None if text == "auto" else number(text)


def refuse_unknown(
  words: Sequence[str], parser: argparse.ArgumentParser
) -> None:
  """Refuses what looks like a flag among the words that are none.

  Raises:
    UserError: names the flag, and the one that it may stand for.
  """
  for word in words:
    if not word.startswith("-"):
      continue
    name = word.partition("=")[0]
    # There is no public list of a parser's flags.
    flags = [
      flag for action in parser._actions for flag in action.option_strings
    ]
    if name in flags:
      raise errors.UserError(f"{name} takes no value.")
    nearest = difflib.get_close_matches(name, flags, 1)
    hint = f"did you mean {nearest[0]}?" if nearest else "see --help."
    raise errors.UserError(f"There is no flag {name}; {hint}")
