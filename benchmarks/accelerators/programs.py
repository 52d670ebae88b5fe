"""The programs that are compiled for TPUs and GPUs, and their lowering."""

import dataclasses
import fnmatch
import importlib
from collections.abc import Iterator, Sequence
from typing import Any

import jax
import numpy as np

from sr2_jax import parallel
from sr2_jax.config import derived
from sr2_jax.data import published
from sr2_jax.evaluation import program as evaluation
from sr2_jax.training import feed, inputs, steps
from sr2_jax.training import phase as phase_lib

# Number of devices of each slice.
SLICES = {"v5e-4": 4, "v5e-8": 8, "v5e-256": 256, "v6e-8": 8, "h100": 1}
NETWORKS = ("fsrcnn_x2", "fsrcnn_x4", "wdsr_x2", "wdsr_x4")
DTYPES = ("float32", "bfloat16")
KINDS = ("step", "loop", "evaluation")
LAYOUTS = ("members", "data")
# MNIST, as the paper splits it.
IMAGE_SHAPE = published.PUBLISHED["mnist"].image_shape
NUM_TRAIN_IMAGES = published.num_train_images("mnist", validation_fraction=0.2)
_NUM_CLASSES = 10
STEPS_PER_CALL = 50


@dataclasses.dataclass(frozen=True)
class Program:
  """A program of the `joint` phase of SR² on MNIST.

  Attributes:
    slice: key of `SLICES`.
    layout: "data" or "members".
    network: name of an experiment file.
    kind: "step", "loop" (a call of 50 steps) or "evaluation" (of a batch).
    members: members on each device.
    dtype: of the layers' arithmetic.
    batch_size: images of a step and member, over all devices; 0: the config's.
  """

  slice: str
  layout: str
  network: str
  kind: str
  members: int
  dtype: str
  batch_size: int = 0

  @property
  def name(self) -> str:
    """Such as "v5e-4/members/fsrcnn_x4/loop/6/float32"."""
    parts = (self.slice, self.layout, self.network, self.kind, self.members)
    end = f"/batch{self.batch_size}" if self.batch_size else ""
    return "/".join(map(str, (*parts, self.dtype))) + end

  @property
  def platform(self) -> str:
    """Platform of its devices: "tpu" or "gpu"."""
    return "gpu" if self.slice == "h100" else "tpu"

  def config(self) -> Any:
    """Its resolved config."""
    config = importlib.import_module(f"experiments.{self.network}").get_config()
    devices = SLICES[self.slice] if self.layout == "members" else 1
    config.num_seeds = self.members * devices
    config.model.dtype = self.dtype
    if self.batch_size:
      config.batch_size = self.batch_size
    return derived.resolve(config)


def everything() -> list[Program]:
  """Every program that differs from the others.

  Layout "members" gives one program for all slices of a chip; it is compiled
  for the smallest one.
  """
  return [
    Program(slice_, layout, network, kind, members, dtype)
    for slice_ in SLICES
    for layout in LAYOUTS
    for network in NETWORKS
    for kind in KINDS
    # Members are evaluated one after another.
    for members in ((1,) if kind == "evaluation" else (1, 6))
    for dtype in DTYPES
    if (layout == "data" and slice_ != "h100")
    or (layout == "members" and slice_ in ("v5e-4", "v6e-8", "h100"))
  ] + [*_large()]


def _large() -> Iterator[Program]:
  """What `everything` leaves out because it is rarely another program."""
  one = Program("v5e-4", "members", "fsrcnn_x4", "loop", 18, "float32")
  yield one
  yield dataclasses.replace(one, slice="h100")
  yield dataclasses.replace(one, slice="v5e-256", members=1)
  yield Program(
    "v5e-256", "data", "fsrcnn_x4", "loop", 1, "float32", batch_size=256
  )


# What is compiled unless --all is given; patterns of names.
_DEFAULT = (
  "v5e-4/members/*/loop/[16]/float32",
  "v5e-4/members/fsrcnn_x4/loop/18/float32",
  "v5e-4/members/fsrcnn_x4/loop/[16]/bfloat16",
  "v5e-4/members/wdsr_x2/loop/[16]/bfloat16",
  "v5e-4/members/fsrcnn_x4/step/[16]/float32",
  "v5e-4/members/wdsr_x2/step/1/float32",
  "v5e-4/members/fsrcnn_x4/evaluation/1/*",
  "v5e-4/members/wdsr_x2/evaluation/1/*",
  "v5e-4/data/fsrcnn_x4/loop/[16]/float32",
  "v5e-4/data/wdsr_x2/loop/1/float32",
  "v5e-8/data/fsrcnn_x4/loop/1/*",
  "v5e-8/data/fsrcnn_x4/step/1/float32",
  "v5e-8/data/wdsr_x2/loop/1/float32",
  "v5e-8/data/fsrcnn_x4/evaluation/1/float32",
  "v5e-256/data/fsrcnn_x4/loop/1/float32*",
  "v5e-256/members/fsrcnn_x4/loop/1/float32",
  "v6e-8/members/fsrcnn_x4/loop/[16]/*",
  "v6e-8/members/wdsr_x2/loop/1/float32",
  "v6e-8/members/fsrcnn_x4/evaluation/1/float32",
  "v6e-8/data/fsrcnn_x4/loop/1/float32",
  "v6e-8/data/wdsr_x2/loop/1/float32",
  "h100/members/*/loop/[16]/float32",
  "h100/members/fsrcnn_x4/loop/18/float32",
  "h100/members/fsrcnn_x4/loop/1/bfloat16",
  "h100/members/fsrcnn_x4/step/1/float32",
  "h100/members/fsrcnn_x4/evaluation/1/float32",
)


def select(
  patterns: Sequence[str] = (), *, every: bool = False
) -> list[Program]:
  """Programs whose names match a pattern.

  Args:
    patterns: such as "v5e-4/members/*"; none: the default ones.
    every: without patterns, all programs in place of the default ones.

  Raises:
    ValueError: if a pattern matches no program; the message names the pattern.
  """
  programs = {program.name: program for program in everything()}
  chosen: set[str] = set()
  for pattern in patterns or (("*",) if every else _DEFAULT):
    found = fnmatch.filter(programs, pattern)
    if not found:
      raise ValueError(f'no program is called "{pattern}"')
    chosen |= set(found)
  return [programs[name] for name in programs if name in chosen]


def why_not(program: Program) -> str:
  """Why a program cannot exist; "" if it can."""
  size, devices = program.config().batch_size, SLICES[program.slice]
  # An evaluation rounds its batches up.
  splits = program.layout == "data" and program.kind != "evaluation"
  if splits and size % devices:
    return f"a batch of {size} cannot be split over {devices} devices"
  return ""


def joint(
  config: Any, layout: parallel.Layout, *, platform: str
) -> phase_lib.Phase:
  """The `joint` phase of a config on MNIST, for devices of a platform."""
  return phase_lib.create(
    config,
    "joint",
    image_shape=IMAGE_SHAPE,
    num_train_images=NUM_TRAIN_IMAGES,
    num_classes=_NUM_CLASSES,
    platform=platform,
    axis_name=layout.axis_name,
  )


def lower(program: Program, devices: Sequence[Any]) -> jax.stages.Lowered:
  """The program, lowered for these devices."""
  config = program.config()
  layout = parallel.Layout(program.layout, tuple(devices))
  phase = joint(config, layout, platform=program.platform)
  if program.kind == "evaluation":
    return _lower_evaluation(config, phase, layout)
  return _lower_steps(program, config, phase, layout)


def _integers(*shape: int) -> jax.ShapeDtypeStruct:
  return jax.ShapeDtypeStruct(shape, np.int32)


def _lower_steps(
  program: Program, config: Any, phase: phase_lib.Phase, layout: parallel.Layout
) -> jax.stages.Lowered:
  order = _integers(phase.population.size, NUM_TRAIN_IMAGES)
  images = np.zeros((NUM_TRAIN_IMAGES, *IMAGE_SHAPE), np.uint8)
  return layout.lower(
    phase_lib.train_program(
      phase,
      config,
      layout,
      steps_per_call=STEPS_PER_CALL if program.kind == "loop" else 1,
    ),
    steps.all_alive(phase.abstract_state()),
    (phase.population.arrays(), order),
    (
      feed.as_kept(images, program.platform),
      _integers(NUM_TRAIN_IMAGES),
      np.int32(0),
      np.int32(STEPS_PER_CALL),
    ),
    donate=True,
  )


def _lower_evaluation(
  config: Any, phase: phase_lib.Phase, layout: parallel.Layout
) -> jax.stages.Lowered:
  settings = evaluation.Settings(
    apply=phase.network.apply,
    degrade=inputs.degradation_of(config, *IMAGE_SHAPE[:2]),
    sr_loss=config.loss.super_resolution,
    clip=config.eval.clip,
    noise_seed=config.eval.noise_seed,
    num_shards=layout.num_shards,
    axis_name=layout.axis_name,
  )
  size = layout.whole_shards(config.eval.batch_size)
  batch = evaluation.EvalBatch(
    images=jax.ShapeDtypeStruct((size, *IMAGE_SHAPE), np.uint8),
    labels=_integers(size),
    positions=_integers(size),
    mask=jax.ShapeDtypeStruct((size,), np.float32),
  )
  variances = np.asarray(config.eval.noise_variances, np.float32)
  state: steps.TrainState = phase.abstract_state()
  return layout.lower(
    evaluation.create(settings), state.variables, (), (batch, variances)
  )
