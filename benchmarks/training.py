"""Training steps compared with PyTorch's, and rows computed from them."""

import dataclasses
import statistics
from collections.abc import Mapping

from benchmarks import effort as effort_lib
from benchmarks import goals, records, sides
from experiments import default

_BATCH_SIZE = default.get_config().batch_size

_NOTE = (
  "batch of {batch_size} digits of 28x28 px, float32, with L2, BatchNorm "
  "and Adam. Ours is the training program of one member, which also chooses, "
  "augments and degrades the images and computes the accuracy; PyTorch's gets "
  "a prepared batch and computes only the losses. FSRCNN's last two "
  "convolutions are one in ours and two in PyTorch's. Biases before a "
  "BatchNorm are trained in PyTorch's alone. Our process keeps "
  "freed memory, as in sr2_jax.main; PyTorch's has the C library's "
  "defaults. Median of the turns; ratio: median of the ratios of {rounds} "
  "alternating turns"
)
_INPUTS_NOTE = (
  "the part of the step before the network, compiled as a separate program and "
  "timed in turn with whole steps; median time over that of a step: {parts}"
)


def measure(
  row: goals.Row, both: sides.Sides, effort: effort_lib.Effort
) -> records.Measurement:
  """Comparison of one network's training steps, timed in alternation.

  `samples["inputs_s"]` has the times of our part before the network.
  """
  case = {"network": row.network, "scale": row.scale}
  # Theirs first, because it fails at once without PyTorch.
  their_facts = both.theirs.prepare("step", "training_step", **case)
  our_facts = both.ours.prepare("step", "training_step", **case)
  both.ours.prepare("inputs", "step_inputs", scale=row.scale)
  if our_facts["num_parameters"] != their_facts["num_parameters"]:
    raise ValueError(
      f"the networks differ: {our_facts['num_parameters']:,} and "
      f"{their_facts['num_parameters']:,} parameters"
    )
  seconds = sides.take_turns(
    {
      "ours": (both.ours, "step"),
      "theirs": (both.theirs, "step"),
      "inputs": (both.ours, "inputs"),
    },
    rounds=effort.step_rounds,
    seconds=effort.step_seconds,
  )
  compared = records.versus(
    seconds["ours"], seconds["theirs"], per_second=_BATCH_SIZE
  )
  return dataclasses.replace(
    compared,
    samples={
      **compared.samples,
      "inputs_s": seconds["inputs"],
      "facts": {"ours": our_facts, "theirs": their_facts},
    },
    note=_NOTE.format(batch_size=_BATCH_SIZE, rounds=effort.step_rounds),
  )


def geometric_mean(
  measured: Mapping[str, records.Measurement],
) -> records.Measurement:
  """Geometric mean of the ratios of all training rows that were measured."""
  found = _found(measured)
  return records.Measurement(
    ratio=records.geometric_mean(list(found.values())),
    note=""
    if len(found) == len(goals.TRAINING)
    else f"over {len(found)} of the {len(goals.TRAINING)} networks",
  )


def inputs(
  measured: Mapping[str, records.Measurement],
) -> records.Measurement:
  """Largest part of augmentation and degradation in a step, in percent."""
  percent = {
    name: 100
    * statistics.median(row.samples["inputs_s"])
    / statistics.median(row.samples["ours_s"])
    for name, row in _found(measured).items()
  }
  parts = ", ".join(
    f"{goals.NETWORKS[goals.ROWS[name].network].title} "
    f"x{goals.ROWS[name].scale} {value:.1f} %"
    for name, value in percent.items()
  )
  return records.Measurement(
    ours=max(percent.values()),
    samples={"percent": percent},
    note=_INPUTS_NOTE.format(parts=parts),
  )


def _found(
  measured: Mapping[str, records.Measurement],
) -> dict[str, records.Measurement]:
  """Training rows that were measured without an error.

  Raises:
    ValueError: if there are none.
  """
  found = {
    name: measured[name]
    for name in goals.TRAINING
    if name in measured and not measured[name].error
  }
  if not found:
    raise ValueError("no training step was measured")
  return found
