"""Doing a plan: every file is made and checked before the first is written."""

import dataclasses
import functools
import hashlib
import importlib.metadata
import json
import sys
from typing import Any

import numpy as np
from flax import traverse_util

from sr2_jax import errors, files
from sr2_jax.export import onnx_graph, programs, rounding, stablehlo
from sr2_jax.export import plan as plan_lib
from sr2_jax.prediction import choice
from sr2_jax.records import provenance
from sr2_jax.records import weights as weights_lib
from sr2_jax.training import network as network_lib

# What a file depends on beside the weights, by form.
_PACKAGES = {
  "safetensors": (),
  "stablehlo": ("jax",),
  "onnx": ("jax", "jax2onnx", "onnx", "onnxruntime"),
}


@dataclasses.dataclass
class Made:
  """What was made of one member.

  Attributes:
    target: its files.
    variables: its weights, as they are stored.
    description: of its files, for their users.
    contents: of its programs, by form.
  """

  target: plan_lib.Target
  variables: Any
  description: dict[str, Any]
  contents: dict[str, bytes] = dataclasses.field(default_factory=dict)


class Work:
  """Does a plan.

  Args:
    plan: the plan.
    trained: the network that it chose.
  """

  def __init__(self, plan: plan_lib.Plan, trained: network_lib.Trained) -> None:
    self._plan, self._trained = plan, trained
    self._model = trained.network.model
    self._is_narrow = plan.command.dtype == "float16"
    self._reference = programs.Reference(trained)

  def do(self) -> None:
    """Makes, checks and writes all files.

    Raises:
      UserError: if a file is wrong, or cannot be written.
    """
    self._say(choice.title_of(self._plan.chosen))
    for note in self._plan.chosen.notes:
      self._say(f"note: {note}")
    places = range(len(self._plan.targets))
    for place, made in enumerate([self._make(place) for place in places]):
      self._write(made, place)
    self._say(f"written to {self._plan.command.out}")

  def _make(self, place: int) -> Made:
    target = self._plan.targets[place]
    variables = programs.variables_of(self._trained, place)
    made = Made(target, variables, self._description(place))
    if self._is_narrow:
      made.variables = programs.rounded(variables)
      cost = self._cost(variables, made.variables)
      made.description["cost_of_float16"] = dataclasses.asdict(cost)
      self._say(f"{target.stem}: {cost}")
    if set(target.forms) - {"safetensors"}:
      self._add_programs(made)
    return made

  def _cost(self, exact: Any, narrow: Any) -> rounding.Cost:
    return rounding.cost(
      *(
        self._reference.outputs(variables, self._digits)
        for variables in (exact, narrow)
      )
    )

  @functools.cached_property
  def _digits(self) -> np.ndarray:
    return rounding.digits(self._trained)

  def _add_programs(self, made: Made) -> None:
    """Makes the programs of a member and compares them with JAX."""
    target, number = made.target, len(self._reference.sizes)
    if target == self._plan.targets[0]:
      self._say(f"compiling the network at {number} sizes, to compare with")
    cases = self._reference.cases(made.variables)
    program = programs.portable(self._model, made.variables)
    checked: dict[str, float] = {}
    # ONNX comes last: jax2onnx replaces functions of JAX while it works.
    for form in ("stablehlo", "onnx"):
      if form not in target.forms:
        continue
      name = target.path(form).name
      if form == "stablehlo":
        data = stablehlo.encode(program, self._model.channels)
        run = stablehlo.decode(data, name, options=programs.COMPILED_ONCE)
      else:
        data = onnx_graph.encode(
          program,
          channels=self._model.channels,
          outputs=programs.outputs_of(self._model),
          halved=self._is_narrow,
          metadata=made.description,
        )
        run = onnx_graph.load(data)
      made.contents[form] = data
      checked[form] = programs.check(
        name, run, cases, compiles=form == "stablehlo"
      )
      self._say(
        f"{name}: {len(data) / 1e6:.1f} MB, equal to JAX within "
        f"{checked[form]:.1e} at {number} sizes"
      )
    made.description["difference_from_jax"] = checked

  def _description(self, place: int) -> dict[str, Any]:
    """What a user of a member's files has to know."""
    origin, digest = (
      self._trained.origins[place],
      self._plan.chosen.digests[place],
    )
    channels, scale = self._model.channels, self._model.scale
    names = programs.outputs_of(self._model)
    classes = origin.class_names if "logits" in names else ()
    outputs = {
      "super_res": f"float32 [batch, {scale} * height, {scale} * width, "
      f"{channels}], not clipped",
      "logits": f"float32 [batch, {len(classes)}]",
    }
    height, width, _ = self._trained.network.low_res_shape
    packages = {
      name: importlib.metadata.version(name)
      for form in self._plan.command.to
      for name in _PACKAGES[form]
    }
    return {
      "method": origin.method,
      "seed": origin.member.seed,
      "scale": scale,
      "channels": channels,
      "trained_size": {"height": height, "width": width},
      "class_names": list(classes),
      "inputs": {
        programs.INPUT: f"float32 [batch, height, width, {channels}] in [0, 1]"
      },
      "outputs": {name: outputs[name] for name in names},
      "weights_stored_in": self._plan.command.dtype,
      "made_from": {
        "experiment": origin.config["experiment"],
        "sha256": digest,
      },
      "made_with": {"sr2_jax": provenance.git_revision(), **packages},
    }

  def _write(self, made: Made, place: int) -> None:
    target = made.target
    description = {
      **made.description,
      "sha256": {
        target.path(form).name: hashlib.sha256(data).hexdigest()
        for form, data in made.contents.items()
      },
    }
    text = json.dumps(description, indent=2, ensure_ascii=False)
    try:
      if "safetensors" in target.forms:
        weights_lib.write(
          target.path("safetensors"),
          _flat(made.variables),
          self._trained.origins[place],
        )
      for form, data in made.contents.items():
        files.write_atomically(target.path(form), data)
      files.write_atomically(target.path("json"), f"{text}\n".encode())
    except OSError as error:
      raise errors.UserError(
        f"{error.filename or target.folder}: {error.strerror or error}.\n"
        "Files that were written before it are complete; --force replaces them."
      ) from error

  def _say(self, text: str) -> None:
    if not self._plan.command.quiet:
      print(text, file=sys.stderr, flush=True)


def _flat(variables: Any) -> dict[str, Any]:
  """Arrays under names such as "params/sr/map_0/kernel"."""
  return traverse_util.flatten_dict(variables, sep="/")
