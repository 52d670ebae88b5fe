"""Compiled programs, kept on disk from one process to the next."""

import jax

from sr2_jax import files


def use_cache() -> None:
  """Keeps compiled programs on disk, unless the user has chosen a folder."""
  if jax.config.values["jax_compilation_cache_dir"] is None:
    folder = files.cache_folder("xla")
    jax.config.update("jax_compilation_cache_dir", str(folder))
    # By default JAX keeps only programs that took a second to compile.
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
