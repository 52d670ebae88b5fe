"""What an export will write, settled before anything is loaded; no JAX."""

import dataclasses
import importlib.util
import pathlib

from sr2_jax import errors, paths
from sr2_jax.export import command_line
from sr2_jax.prediction import choice

# What a form needs that the extra `export` brings.
_NEEDS = {
  "safetensors": (),
  "onnx": ("jax2onnx", "onnx", "onnxruntime"),
  "stablehlo": ("flatbuffers",),
}


@dataclasses.dataclass(frozen=True)
class Target:
  """The files of one member.

  Attributes:
    folder: where they are.
    stem: their common name.
    forms: the ends of those names.
  """

  folder: pathlib.Path
  stem: str
  forms: tuple[str, ...]

  def path(self, form: str) -> pathlib.Path:
    """The file of a form."""
    return self.folder / f"{self.stem}.{form}"

  @property
  def paths(self) -> tuple[pathlib.Path, ...]:
    """All of its files, with those that describe the others."""
    ends = list(self.forms)
    if "safetensors" in ends:
      ends.append("safetensors.sha256")
    return tuple(self.path(end) for end in (*ends, "json"))


@dataclasses.dataclass(frozen=True)
class Plan:
  """A command whose files are settled.

  Attributes:
    command: what was asked for.
    chosen: the network.
    targets: of each of its members.
  """

  command: command_line.Command
  chosen: choice.Choice
  targets: tuple[Target, ...]


def prepare(command: command_line.Command) -> Plan:
  """Finds the weights, and refuses what cannot work; no JAX.

  Raises:
    UserError: says what to change; nothing has been written.
  """
  chosen = command.find()
  model = chosen.origins[0].config["model"]
  if "onnx" in command.to and model.get("transposed_convolution"):
    raise errors.UserError(
      "--to=onnx: a transposed convolution has no form there that takes images "
      "of any size.\n--to=safetensors,stablehlo leaves it out."
    )
  for form in command.to:
    _require(form)
  paths.check_writable(command.out, "--out")
  end = "_float16" if command.dtype == "float16" else ""
  targets = tuple(
    Target(
      command.out,
      f"{origin.method}_x{chosen.scale}_seed_{origin.member.seed}{end}",
      command.to,
    )
    for origin in chosen.origins
  )
  if not command.force:
    _refuse_existing(targets)
  return Plan(command, chosen, targets)


def _require(form: str) -> None:
  for module in _NEEDS[form]:
    if importlib.util.find_spec(module) is None:
      raise errors.UserError(
        f"--to={form} needs {module}, which is not installed.\n"
        'The extra `export` brings it: pip install ".[export]" in a clone.'
      )


def _refuse_existing(targets: tuple[Target, ...]) -> None:
  existing = [
    str(path) for target in targets for path in target.paths if path.exists()
  ]
  if existing:
    more = f" and {len(existing) - 3} more" if len(existing) > 3 else ""
    raise errors.UserError(
      f"These exist: {', '.join(existing[:3])}{more}.\n--force replaces them."
    )
