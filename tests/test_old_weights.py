"""Weights of version 0.1.0 load, and give what they gave.

`make_old_weights` says what is in the archive and what made it.
"""

import tarfile

import numpy as np
import pytest

from sr2_jax import compilation, cpu_tuning, predict
from tests import make_old_weights


@pytest.fixture(scope="module")
def old(tmp_path_factory):
  folder = tmp_path_factory.mktemp("old")
  with tarfile.open(make_old_weights.ARCHIVE) as archive:
    archive.extractall(folder, filter="data")
  return folder


@pytest.mark.parametrize("part", ["released", "run"])
def test_old_weights_give_what_they_gave(old, part, monkeypatch):
  # They would change the process of the tests for good.
  monkeypatch.setattr(cpu_tuning, "prepare", lambda: None)
  monkeypatch.setattr(compilation, "use_cache", lambda: None)
  expected = np.load(old / "expected.npz")
  found = predict.load(old / part)(expected["images"])
  reference = expected[f"{part}_super_res"]
  assert np.ptp(reference) > 0.1
  np.testing.assert_allclose(
    found.super_res, reference, atol=1e-4 * np.abs(reference).max()
  )
  if part == "released":
    probabilities = expected["released_probabilities"]
    assert np.ptp(probabilities) > 0.01
    np.testing.assert_allclose(found.probabilities, probabilities, atol=1e-4)
