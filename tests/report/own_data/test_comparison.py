import re

import numpy as np
import pytest
import scipy.stats

from sr2_jax.report.own_data import comparison
from sr2_jax.report.paper import measurements as measurements_lib
from tests.report.own_data import worlds


def _read(folder, **changes):
  folder = worlds.write(folder, **changes)
  return measurements_lib.read(folder, split="test")


def test_sr2_of_any_loss_weight_has_the_control_of_its_trunk(tmp_path):
  measurements = _read(tmp_path)
  [pair] = comparison.pairs(measurements, "plates", 4)
  assert pair.proposed.loss_weight == 0.1
  assert pair.control.method == "sr_continued_fsrcnn"
  assert pair.name == "FSRCNN"
  assert comparison.pairs(measurements, "plates", 2) == []
  assert comparison.pairs(measurements, "mnist", 4) == []


def test_without_a_control_there_is_no_pair(tmp_path):
  measurements = _read(tmp_path, control=False)
  assert comparison.pairs(measurements, "plates", 4) == []


def test_each_network_has_the_control_of_its_own_pretraining(tmp_path):
  """Folders `own` and `control` once with new weights, once fine-tuned."""
  for kind, gain in (("new", 0.02), ("tuned", -0.03)):
    worlds.write(tmp_path / kind, gain=gain)
    tuned = {"fine_tuned_from": ["d1", "d2"]} if kind == "tuned" else {}
    worlds.rename(tmp_path / kind, kind, tmp_path / "runs", tuned)
  measurements = measurements_lib.read(tmp_path / "runs", split="test")
  pairs = comparison.pairs(measurements, "plates", 4)
  found = {pair.name: pair.estimate(measurements, 0.0).value for pair in pairs}
  assert found == {
    "FSRCNN, new": pytest.approx(0.02),
    "FSRCNN, tuned": pytest.approx(-0.03),
  }


@pytest.mark.parametrize(
  ("gain", "start"),
  [
    (0.02, "**Classification helps"),
    (-0.02, "**Classification costs"),
    (0.002, "**Classification changes super-resolution by nothing"),
    (0.011, "**Classification helps"),
  ],
)
def test_the_sentence_has_verdict_number_and_interval(tmp_path, gain, start):
  measurements = _read(tmp_path, gain=gain)
  [pair] = comparison.pairs(measurements, "plates", 4)
  text = comparison.sentence(measurements, pair, 0.0)
  assert text.startswith(start)
  by_seed = worlds.gain_of([0, 1, 2], gain)
  mean = np.mean(by_seed)
  half = scipy.stats.t.ppf(0.975, 2) * np.std(by_seed, ddof=1) / np.sqrt(3)
  shown = re.search(r"is ([+−][\d.]+) ± ([\d.]+)", text)
  assert shown is not None
  assert float(shown[1].replace("−", "-")) == pytest.approx(mean, abs=6e-5)
  assert float(shown[2]) == pytest.approx(half, abs=6e-5)
  assert "over 3 seeds after 7 + 5 epochs" in text


def test_one_seed_decides_nothing(tmp_path):
  measurements = _read(tmp_path, seeds=(4,))
  [pair] = comparison.pairs(measurements, "plates", 4)
  text = comparison.sentence(measurements, pair, 0.0)
  assert "needs a second seed" in text
