"""A run folder of real networks that never trained, and its control's."""

import jax
import numpy as np

from sr2_jax import output, parallel
from sr2_jax.config import derived
from sr2_jax.data import dataset as dataset_lib
from sr2_jax.evaluation import evaluate, methods
from sr2_jax.records import folder as folder_lib
from sr2_jax.training import preemption
from sr2_jax.training import run as run_lib
from tests import tiny

STEPS = 8  # Both epochs of 4 steps.


def make(folder, **changes):
  """Two seeds after `joint`, evaluated on 24 digits."""
  config = tiny.get_config()
  config.eval.batch_norm = ("running",)
  config.update_from_flattened_dict(
    {name.replace("__", "."): value for name, value in changes.items()}
  )
  config = derived.resolve(config)
  run = run_lib.Run(
    config=config,
    folder=folder_lib.RunFolder(folder),
    dataset=dataset_lib.load(config.data),
    layout=parallel.layout("data", 1),
    stop=preemption.StopRequest(),
  )
  phase = run.phase("joint")
  seeds = np.arange(phase.population.size, dtype=np.uint32)
  init = jax.jit(jax.vmap(phase.network.init))
  variables = jax.tree.map(np.asarray, init(seeds))
  steps = [STEPS] * phase.population.size
  method = methods.of_phase(
    run, phase, variables, steps_done=steps, batch_norm="running"
  )
  for of_method in (method, *methods.untrained(run)):
    found = evaluate.evaluate(run, of_method, only_rows=True)
    output.store_rows(run, found.rows)
  output.store_weights(run, phase, "last", {"running": variables}, steps)
  record = run_lib.record_of(run)
  run.folder.record({**record, "git_revision": "0123abcd"})
  run.folder.set_done()
  return run
