"""Strict JAX for every test: four virtual devices, no silent broadcasting."""

import jax

jax.config.update("jax_num_cpu_devices", 4)
jax.config.update("jax_numpy_rank_promotion", "raise")
