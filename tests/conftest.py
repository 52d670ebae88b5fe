"""Strict JAX for every test: four virtual devices, no silent broadcasting."""

import jax

from sr2_jax import cpu_tuning

cpu_tuning.convolve_without_ynnpack()  # As sr2_jax.main does.
jax.config.update("jax_num_cpu_devices", 4)
jax.config.update("jax_numpy_rank_promotion", "raise")


def pytest_collection_modifyitems(items):
  """The files that take longest start first, or one worker ends alone."""
  first = ("test_train.py", "test_sweep.py", "test_processes.py")
  items.sort(key=lambda item: item.path.name not in first)
