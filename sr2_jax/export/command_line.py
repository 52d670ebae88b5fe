"""Flags of `python -m sr2_jax.export`, checked before anything is loaded."""

import dataclasses
import pathlib
from collections.abc import Sequence

from sr2_jax import errors, paths
from sr2_jax.prediction import choice
from sr2_jax.prediction import command_line as predictions

# Forms of a file, which are also the ends of their names.
FORMS = ("safetensors", "onnx", "stablehlo")
DTYPES = ("float32", "float16")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Command(choice.Asked):
  """What a command line asks for; the help explains each flag."""

  out: pathlib.Path
  to: tuple[str, ...]
  dtype: str
  force: bool
  quiet: bool


def parse(argv: Sequence[str]) -> Command:
  """The command of arguments, without the program's name.

  Raises:
    UserError: names the flag that is wrong, in one or two lines.
  """
  parser = _parser()
  values, given = parser.parse_known_args(list(argv))
  predictions.refuse_unknown(given, parser)
  # `sr2_jax.predict` has a flag for what is the only subject here.
  if values.weights is not None:
    given.append(values.weights)
  if len(given) != 1:
    more = f", not {len(given)}: {', '.join(given)}" if given else ""
    raise errors.UserError(
      f"Give the weights of one network{more}.\nThey are a released name, a "
      "run folder, a folder of weights in it, or one .safetensors file."
    )
  return Command(
    **{
      **vars(values),
      "weights": given[0],
      "out": pathlib.Path(paths.local(values.out, "--out")),
      "to": _forms(values.to),
      "seeds": predictions.parse_seeds(values.seeds),
    }
  )


def _forms(text: str) -> tuple[str, ...]:
  """The forms of --to, in the order of FORMS."""
  asked = text.split(",")
  for form in asked:
    if form not in FORMS:
      raise errors.UserError(
        f"--to={text}: {form!r} is none of {', '.join(FORMS)}."
      )
  return tuple(form for form in FORMS if form in asked)


def _parser() -> predictions.Parser:
  parser = predictions.Parser()
  add = parser.add_argument
  add("--out", default="sr2_exported")
  add("--to", default=",".join(FORMS))
  add("--dtype", choices=DTYPES, default="float32")
  for name in ("force", "quiet"):
    add(f"--{name}", action="store_true")
  return parser
