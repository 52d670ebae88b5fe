"""What the benchmark of prediction does; no test measures speed."""

import json

import pytest

from benchmarks import prediction
from sr2_jax import cpu_tuning


def test_both_programs_run_in_turns(monkeypatch, capsys):
  monkeypatch.setattr(cpu_tuning, "prepare", lambda: None)
  prediction.main(["digits", "--images=3", "--rounds=2"])
  found = json.loads(capsys.readouterr().out)
  assert {name: len(samples) for name, samples in found.items()} == {
    "predictor": 2,
    "evaluation": 2,
  }


@pytest.mark.parametrize("pytorch", [False, True])
def test_a_large_image(pytorch):
  if pytorch:
    pytest.importorskip("torch", reason="PyTorch is not installed")
  found = prediction.large(9, 7, pytorch=pytorch)
  assert found.keys() == {"cpu_seconds", "peak_gb"}
  assert found["peak_gb"] > 0.05
