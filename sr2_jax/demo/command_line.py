"""Flags of `python -m sr2_jax.demo`, checked before anything is loaded."""

import dataclasses
import pathlib
import re
from collections.abc import Sequence

from sr2_jax import errors, paths
from sr2_jax.prediction import choice
from sr2_jax.prediction import command_line as of_predict


@dataclasses.dataclass(frozen=True, kw_only=True)
class Command(choice.Asked):
  """What a command line asks for; the help explains each flag."""

  out: pathlib.Path
  force: bool


def parse(argv: Sequence[str]) -> Command:
  """The command of arguments, without the program's name.

  Raises:
    UserError: names the flag that is wrong, in one or two lines.
  """
  parser = _parser()
  values, others = parser.parse_known_args(argv)
  of_predict.refuse_unknown(others, parser)
  if others:
    raise errors.UserError(
      f"{others[0]}: the page takes no images; see --help."
    )
  of_predict.require_weights(values.weights)
  out = pathlib.Path(paths.local(values.out, "--out", any_bytes=True))
  if out.suffix not in (".html", ".htm"):
    raise errors.UserError(f"--out={out}: the name has to end in .html.")
  if out.is_dir():
    raise errors.UserError(f"--out={out} is a folder, not a file.")
  return Command(**{**vars(values), "out": out, "seeds": _seed(values.seeds)})


def _seed(text: str) -> choice.Seeds:
  if text == "first":
    return text
  if re.fullmatch(r"\d+", text):
    return of_predict.parse_seeds(text)
  raise errors.UserError(
    f"--seeds={text}: a page holds one network; give first, or a number."
  )


def _parser() -> of_predict.Parser:
  parser = of_predict.Parser()
  parser.set_defaults(seeds="first")
  parser.add_argument("--out", default="demo.html")
  parser.add_argument("--force", action="store_true")
  return parser
