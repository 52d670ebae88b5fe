"""Programs as the compilers for TPUs and GPUs make them; no device is needed.

The tests with a compiler are a group of their own, because they take minutes:
python -m pytest -m accelerators
"""

import os

import pytest

from benchmarks.accelerators import compiling, programs, tpu_cost

# A tenth above docs/scaling.md.
MOST_CYCLES, MOST_KERNELS = 1_100_000, 350
PARTS = ("step", "call")
V5E_BYTES = tpu_cost.CHIPS["v5e"].hbm_bytes


def _needs(platform):
  missing = not compiling.is_installed(platform)
  return pytest.mark.skipif(
    missing, reason=f"needs {compiling.NEEDED[platform].install}"
  )


def _compile(program):
  [row] = compiling.rows([program])
  assert row["error"] == ""
  return row


@pytest.mark.accelerators
@_needs("tpu")
@pytest.mark.parametrize("layout", programs.LAYOUTS)
def test_a_step_for_eight_chips(layout):
  row = _compile(
    programs.Program("v5e-8", layout, "fsrcnn_x4", "step", 1, "float32")
  )
  call = row["call"]
  assert call["host_transfers"] == 0
  assert sum(row["hbm"].values()) < V5E_BYTES
  # A gather that became a loop would take its values one by one.
  assert all(loop["turns"] < 100 for loop in call["loops"])
  # No copy of all training images.
  assert call["copies"][1] < 48_000 * 784
  if layout == "members":
    assert call["collectives"] == {}
  else:
    assert set(call["collectives"]) == {"all-reduce"}


@pytest.mark.accelerators
@_needs("tpu")
def test_cycles_of_a_step_do_not_grow_unnoticed():
  row = _compile(
    programs.Program("v5e-4", "members", "fsrcnn_x4", "loop", 1, "float32")
  )
  cycles = {x: row[x]["cycles"] + row[x]["floor_cycles"] for x in PARTS}
  assert cycles["step"] < MOST_CYCLES
  # A call of 50 steps: outside the loop at most 2 % of it.
  assert cycles["call"] < cycles["step"]


@pytest.mark.accelerators
@_needs("gpu")
def test_kernels_of_a_step_do_not_grow_unnoticed():
  row = _compile(
    programs.Program("h100", "members", "fsrcnn_x4", "loop", 1, "float32")
  )
  assert row["step"]["kernels"] < MOST_KERNELS


def _die(program):
  del program
  os._exit(1)


def test_a_worker_that_dies_loses_one_row(monkeypatch):
  """And the environment of this process stays as it was."""
  before = dict(os.environ)
  monkeypatch.setattr(compiling, "row", _die)
  program, *_ = programs.select()
  [row] = compiling.rows([program])
  assert (row["name"], row["error"]) == (program.name, "the compiler crashed")
  assert dict(os.environ) == before
