"""Every network as StableHLO and ONNX, compared with JAX at every size.

`python -m tests.exports` takes ten minutes of a core; names of networks, such
as wdsr_parallel_x4_rgb, choose among them. The suite plays some.
"""

import itertools
import sys

from sr2_jax import cpu_tuning
from sr2_jax.export import onnx_graph, programs, stablehlo
from tests import random_network

NETWORKS = {
  f"{trunk}_{wiring}_x{scale}_{'gray' if channels == 1 else 'rgb'}": (
    trunk, wiring, scale, channels,
  )
  for trunk, wiring, scale, channels in itertools.product(
    ("fsrcnn", "wdsr"), ("none", "sequential", "parallel"), (2, 4), (1, 3)
  )
}  # fmt: skip


def play(name):
  """Raises UserError if a program of this network is wrong."""
  trained = random_network.make(*NETWORKS[name])
  model = trained.network.model
  variables = programs.variables_of(trained, 0)
  cases = programs.Reference(trained).cases(variables)
  program = programs.portable(model, variables)
  run = stablehlo.decode(
    stablehlo.encode(program, model.channels),
    name,
    options=programs.COMPILED_ONCE,
  )
  found = [programs.check(name, run, cases, compiles=True)]
  data = onnx_graph.encode(
    program,
    channels=model.channels,
    outputs=programs.outputs_of(model),
    halved=False,
    metadata={},
  )
  found.append(programs.check(name, onnx_graph.load(data), cases))
  print(f"{name}: StableHLO {found[0]:.1e}, ONNX {found[1]:.1e}", flush=True)


if __name__ == "__main__":
  cpu_tuning.prepare()
  for chosen in sys.argv[1:] or NETWORKS:
    play(chosen)
