"""Training steps against PyTorch's, and what is computed from their times."""

import dataclasses
import statistics
from collections.abc import Mapping

from benchmarks import effort as effort_lib
from benchmarks import goals, records, sides
from experiments import default

_BATCH_SIZE = default.get_config().batch_size

_NOTE = (
  "batch of {batch_size} digits of 28x28 px, float32, with L2, BatchNorm "
  "and Adam. Ours is the program that trains, one member, with choosing the"
  " images, augmentation, degradation and accuracy in it; PyTorch's gets a "
  "ready batch and computes the losses alone. FSRCNN's two last "
  "convolutions are one in ours and two in PyTorch's. Our process keeps "
  "freed memory, as in sr2_jax.main; PyTorch's has the C library's "
  "defaults. Median of the turns; ratio: median of the ratios of {rounds} "
  "alternating turns"
)
_INPUTS_NOTE = (
  "the part of the step before the network, compiled and timed by itself in "
  "turn with whole steps, over the median step: {parts}"
)


def measure(
  row: goals.Row, both: sides.Sides, effort: effort_lib.Effort
) -> records.Measurement:
  """Training steps of one network on both sides, in alternation.

  Our part before the network has its turns as well: `samples["inputs_s"]`.
  """
  case = {"network": row.network, "scale": row.scale}
  # Theirs first: it fails at once where there is no PyTorch.
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
  """Of the ratios of all training rows that were measured."""
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
  """The largest part that augmentation and degradation have in a step, in %."""
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
  """The training rows that have numbers.

  Raises:
    ValueError: there are none.
  """
  found = {
    name: measured[name]
    for name in goals.TRAINING
    if name in measured and not measured[name].error
  }
  if not found:
    raise ValueError("no training step was measured")
  return found
