"""Prints the collectives of the compiled training step on eight devices.

A line for each layout: their counts by name, and the number of BatchNorms.
"""

import collections
import json
import re

import jax

jax.config.update("jax_num_cpu_devices", 8)

import numpy as np  # noqa: E402

from sr2_jax import parallel  # noqa: E402
from sr2_jax.training import phase as phase_lib  # noqa: E402
from sr2_jax.training import steps  # noqa: E402
from tests.training import test_phase  # noqa: E402

KINDS = "all-reduce|all-gather|all-to-all|reduce-scatter|collective-permute"


def compiled_step(phase, layout, config):
  """HLO of a call of three steps."""
  step = phase_lib.train_steps(phase, config, layout, steps_per_call=3)
  state = jax.tree.map(
    lambda x: np.zeros(x.shape, x.dtype), phase.abstract_state()
  )
  num_images = test_phase.NUM_IMAGES
  order = np.zeros((phase.population.size, num_images), np.int32)
  size = test_phase.SIZE
  lowered = jax.jit(lambda *inputs: step(*inputs)).lower(
    layout.put_members(steps.all_alive(state)),
    layout.put_members((phase.population.arrays(), order)),
    (
      np.zeros((num_images, size, size, 1), np.uint8),
      np.zeros(num_images, np.int32),
      np.int32(0),
      np.int32(3),
    ),
  )
  # Less work on machine code; the HLO is the same.
  options = {"xla_backend_optimization_level": 0}
  return lowered.compile(compiler_options=options).as_text()


def main():
  changes = {"num_seeds": 8}
  for name in ("data", "members"):
    layout = parallel.layout(name, 8)
    phase = test_phase.make_phase(
      "pretrain", axis_name=layout.axis_name, **changes
    )
    text = compiled_step(phase, layout, test_phase.make_config(**changes))
    found = collections.Counter(re.findall(rf" ({KINDS})(?:-start)?\(", text))
    norms = [
      path
      for path, _ in jax.tree_util.tree_leaves_with_path(phase.abstract_state())
      if "batch_stats" in jax.tree_util.keystr(path)
      and jax.tree_util.keystr(path).endswith("['mean']")
    ]
    print(json.dumps([found, len(norms)]))


if __name__ == "__main__":
  main()
