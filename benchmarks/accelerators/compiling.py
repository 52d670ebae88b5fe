"""Compiles programs in a worker process, for devices that are not there.

A compiler that crashes, or that holds a lock, then does so in the worker only.
"""

import concurrent.futures
import contextlib
import datetime
import functools
import gzip
import hashlib
import importlib.metadata
import importlib.util
import json
import multiprocessing
import os
import pathlib
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import process
from typing import Any, NamedTuple

import jax
from jax.experimental import topologies

from benchmarks.accelerators import gpu_cost, programs, tpu_cost
from sr2_jax import files

# Before JAX starts: nothing looks for devices, and no kernel is tried out.
_ENVIRONMENT = {
  "JAX_PLATFORMS": "cpu",
  "TPU_SKIP_MDS_QUERY": "1",
  # Without a TPU there is nothing that only one process may use.
  "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",
  "XLA_FLAGS": (
    "--xla_gpu_autotune_level=0 --xla_gpu_enable_triton_gemm=false"
  ),
}


class Needed(NamedTuple):
  """What has to be installed: a module, its package, and how to get it."""

  module: str
  package: str
  install: str


NEEDED = {
  "tpu": Needed("libtpu", "libtpu", 'pip install "jax[tpu]"'),
  "gpu": Needed(
    "jax_plugins.xla_cuda13",
    "jax-cuda13-pjrt",
    "pip install --no-deps jax-cuda13-plugin jax-cuda13-pjrt",
  ),
}


def is_installed(platform: str) -> bool:
  """Whether the compiler for a platform, "tpu" or "gpu", is here."""
  try:
    return importlib.util.find_spec(NEEDED[platform].module) is not None
  except ModuleNotFoundError:  # The parent package is missing.
    return False


def rows(chosen: Sequence[programs.Program]) -> Iterator[dict[str, Any]]:
  """One row for each program, as soon as there is one; see `row`."""
  pool = None
  for program in chosen:
    if pool is None:
      pool = concurrent.futures.ProcessPoolExecutor(
        1, multiprocessing.get_context("spawn"), initializer=_be_quiet
      )
    try:
      with _environment():
        found = pool.submit(row, program)
      yield found.result()
    except process.BrokenProcessPool:
      pool = None
      yield _described(program, error="the compiler crashed")
  if pool is not None:
    pool.shutdown()


@contextlib.contextmanager
def _environment() -> Iterator[None]:
  """The worker's environment, for as long as it takes to start it."""
  before = dict(os.environ)
  os.environ.update(_ENVIRONMENT)
  try:
    yield
  finally:
    os.environ.clear()
    os.environ.update(before)


def _be_quiet() -> None:
  """Drops what a compiler prints about hardware that it does not find."""
  os.dup2(os.open(os.devnull, os.O_WRONLY), 2)


def row(program: programs.Program) -> dict[str, Any]:
  """What came of compiling a program.

  Returns:
    Its name, versions, date, `error` (one line; "" if it compiles), `seconds`
    of processor time to compile, `hbm` in bytes, and the sections of
    `tpu_cost.summary` or `gpu_cost.summary`.
  """
  if reason := programs.why_not(program):
    return _described(program, error=reason)
  lowered = programs.lower(program, _devices(program.slice))
  found = _compiled(program, lowered)
  text = found.pop("text")
  if not text:
    return _described(program, **found)
  if program.platform == "gpu":
    sections = gpu_cost.summary(text)
  else:
    chip = program.slice.partition("-")[0]
    sections = tpu_cost.summary(text, tpu_cost.CHIPS[chip])
  return _described(program, **found, **sections)


def _described(program: programs.Program, **found: Any) -> dict[str, Any]:
  return {
    "name": program.name,
    "date": datetime.date.today().isoformat(),
    "compiler": versions(program.platform),
    "error": "",
    **found,
  }


def versions(platform: str) -> dict[str, str]:
  """Versions of JAX and of the compiler for a platform, of what is here."""
  found = {}
  for name in ("jax", "jaxlib", NEEDED[platform].package):
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
      found[name] = importlib.metadata.version(name)
  return found


@functools.cache
def _devices(slice_: str) -> tuple[Any, ...]:
  """The devices of a slice, which can only be compiled for."""
  if slice_ == "h100":
    target = pathlib.Path(__file__).with_name("h100.txtpb").read_text()
    topology = topologies.get_topology_desc(
      "1x1x1", "cuda", topology="1x1x1", target_config=target
    )
  else:
    chip = tpu_cost.CHIPS[slice_.partition("-")[0]]
    shape = tpu_cost.SHAPES[programs.SLICES[slice_]]
    topology = topologies.get_topology_desc(chip.topology.format(shape), "tpu")
  return tuple(topology.devices)


def _compiled(
  program: programs.Program, lowered: jax.stages.Lowered
) -> dict[str, Any]:
  """Text, bytes and compile time of a program, from the cache if there."""
  key = json.dumps(
    (lowered.as_text(), program.slice, versions(program.platform))
  )
  digest = hashlib.sha256(key.encode()).hexdigest()[:16]
  path = files.cache_folder("accelerators") / f"{digest}.json.gz"
  try:
    return json.loads(gzip.decompress(path.read_bytes()))
  except (OSError, EOFError, ValueError):
    found = {"digest": digest, **_compile(lowered)}
    data = gzip.compress(json.dumps(found).encode(), 6)
    files.write_atomically(path, data, shared=True)
    return found


def _compile(lowered: jax.stages.Lowered) -> dict[str, Any]:
  # Of all cores, and whatever else the machine does.
  begin = time.process_time()
  try:
    compiled = lowered.compile()
  except jax.errors.JaxRuntimeError as error:
    return {"text": "", "error": str(error).splitlines()[0][:300]}
  memory = compiled.memory_analysis()
  assert memory is not None, "both compilers say what memory they use"
  return {
    "text": compiled.as_text(),
    "seconds": round(time.process_time() - begin, 1),
    "hbm": {
      "arguments": memory.argument_size_in_bytes,
      "temporaries": memory.temp_size_in_bytes,
      # What donated arguments do not make room for.
      "output": memory.output_size_in_bytes - memory.alias_size_in_bytes,
      "code": memory.generated_code_size_in_bytes,
    },
  }
