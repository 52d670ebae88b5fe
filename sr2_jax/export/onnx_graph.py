"""Programs as ONNX graphs: jax2onnx makes them, and what it lacks is added."""

import contextlib
import importlib
import json
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from sr2_jax import errors
from sr2_jax.export import programs

OPSET = 18
# Smaller arrays stay as they are: a cast of each would cost more.
_LEAST_HALVED = 64


def encode(
  program: programs.Program,
  *,
  channels: int,
  outputs: Sequence[str],
  halved: bool,
  metadata: Mapping[str, Any],
) -> bytes:
  """A portable program as one ONNX file, for images of any size.

  Args:
    program: of `programs.portable`.
    channels: of its images.
    outputs: their names.
    halved: store the weights in float16. They are computed with in float32.
    metadata: stored in the file as JSON, under "sr2_jax".

  Raises:
    UserError: if jax2onnx cannot convert the program.
  """
  jax2onnx, onnx = _module("jax2onnx"), _module("onnx")

  def in_order(low_res: Any) -> tuple[Any, ...]:
    found = program(low_res)
    return tuple(found[name] for name in outputs)

  # What it puts in the place of JAX's functions leaves ranks to broadcasting.
  with jax.numpy_rank_promotion("allow"), _without_chatter():
    try:
      model = jax2onnx.to_onnx(
        in_order,
        [("batch", "height", "width", channels)],
        model_name="sr2_jax",
        opset=OPSET,
        input_names=[programs.INPUT],
        output_names=list(outputs),
      )
    except Exception as error:  # It has no errors of its own.
      problem = programs.named(error)
      raise errors.UserError(
        f"--to=onnx: jax2onnx cannot convert this network ({problem}).\n"
        "--to=safetensors,stablehlo leaves it out."
      ) from error
  _round_divisions_down(onnx, model)
  if halved:
    _halve(onnx, model)
  entry = model.metadata_props.add()
  entry.key, entry.value = "sr2_jax", json.dumps(metadata)
  onnx.checker.check_model(model, full_check=True)
  return model.SerializeToString(deterministic=True)


def load(data: bytes) -> programs.Run:
  """Runs a file's bytes in onnxruntime, on the CPU."""
  runtime = _module("onnxruntime")
  session = runtime.InferenceSession(data, providers=["CPUExecutionProvider"])
  outputs = [output.name for output in session.get_outputs()]

  def run(low_res: np.ndarray) -> dict[str, np.ndarray]:
    found = session.run(outputs, {programs.INPUT: low_res})
    return dict(zip(outputs, found, strict=True))

  return run


def _module(name: str) -> Any:
  """A package of the extra `export`.

  Raises:
    UserError: if it is installed, but does not work.
  """
  try:
    with _without_chatter():
      return importlib.import_module(name)
  except Exception as error:
    raise errors.UserError(
      f"--to=onnx: {name} cannot be loaded ({programs.named(error)}).\n"
      "Install the extra `export` again, or leave the form out."
    ) from error


@contextlib.contextmanager
def _without_chatter() -> Iterator[None]:
  """Silences what other packages say of each other."""
  logger = logging.getLogger("onnx_ir")
  before = logger.level
  logger.setLevel(logging.ERROR)
  try:
    with warnings.catch_warnings():
      warnings.simplefilter("ignore")
      yield
  finally:
    logger.setLevel(before)


def _round_divisions_down(onnx: Any, model: Any) -> None:
  """Makes every division of whole numbers round down, as JAX means it.

  JAX has the rounded-up half of a side as -(-side // 2), and jax2onnx makes
  `Div` of it. ONNX leaves open how that rounds negative numbers; onnxruntime
  rounds them towards zero. The mean over the classifier's last maps would
  divide by too few pixels, at all sizes that are not multiples of 4.

  `Mod` has the sign of the divisor. What is left without the remainder can be
  divided exactly.
  """
  types = {
    value.name: value.type.tensor_type.elem_type
    for value in onnx.shape_inference.infer_shapes(model).graph.value_info
  }
  whole = (onnx.TensorProto.INT64, onnx.TensorProto.INT32)
  nodes = []
  for node in model.graph.node:
    if node.op_type == "Div" and types.get(node.output[0]) in whole:
      dividend, divisor = node.input
      rest, even = (f"{node.output[0]}_{end}" for end in ("rest", "even"))
      make = onnx.helper.make_node
      nodes += [
        make("Mod", [dividend, divisor], [rest], name=rest),
        make("Sub", [dividend, rest], [even], name=even),
      ]
      node.input[0] = even
    nodes.append(node)
  del model.graph.node[:]
  model.graph.node.extend(nodes)


def _halve(onnx: Any, model: Any) -> None:
  """Stores weights in float16, with a cast to float32 after each.

  Arrays that are not exact in float16 stay: the weights are rounded already.
  """
  casts = []
  for tensor in model.graph.initializer:
    if tensor.data_type != onnx.TensorProto.FLOAT:
      continue
    values = onnx.numpy_helper.to_array(tensor)
    with np.errstate(over="ignore"):
      narrow = values.astype(np.float16)
    if values.size < _LEAST_HALVED or not np.array_equal(narrow, values):
      continue
    name, stored = tensor.name, f"{tensor.name}_float16"
    tensor.CopyFrom(onnx.numpy_helper.from_array(narrow, stored))
    casts.append(
      onnx.helper.make_node(
        "Cast", [stored], [name], name=f"{name}_cast", to=onnx.TensorProto.FLOAT
      )
    )
  nodes = [*casts, *model.graph.node]
  del model.graph.node[:]
  model.graph.node.extend(nodes)
