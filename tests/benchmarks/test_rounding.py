"""What the comparison does; its numbers are of networks that were trained."""

import numpy as np
import pytest

from benchmarks import rounding
from sr2_jax import cpu_tuning
from sr2_jax.records import weights
from tests import random_network


@pytest.fixture
def run(tmp_path):
  return random_network.write(tmp_path / "run", random_network.make())


def test_both_ways_are_compared_and_said(run, monkeypatch, capsys):
  monkeypatch.setattr(cpu_tuning, "prepare", lambda: None)
  rounded = []
  real = weights.write

  def write(path, arrays, origin):
    rounded.append({name: array.dtype for name, array in arrays.items()})
    real(path, arrays, origin)

  monkeypatch.setattr(weights, "write", write)
  rounding.main([str(run)])
  kernels, everything = capsys.readouterr().out.splitlines()
  assert kernels.startswith("kernels in float16: on 200 MNIST digits, ")
  assert everything.startswith("all arrays in float16: on 200 MNIST digits, ")
  of_kernels, of_all = rounded
  assert set(of_all.values()) == {np.dtype(np.float16)}
  assert {name.rpartition("/")[2] for name in of_kernels} > {"kernel", "bias"}
  for name, dtype in of_kernels.items():
    assert (dtype == np.float16) == name.endswith("/kernel")
