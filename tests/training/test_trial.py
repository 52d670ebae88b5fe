"""How long a run takes, from a few of its steps."""

import time

import numpy as np
import pytest

from sr2_jax import errors
from sr2_jax.config import derived
from sr2_jax.training import images, trial
from sr2_jax.training import phase as phase_lib
from tests import tiny


@pytest.fixture(autouse=True)
def surroundings(programs_of_runs, monkeypatch, settings_of_jax, tmp_path):
  """One cache for all runs, and a folder of its own."""
  monkeypatch.setenv("SR2_JAX_CACHE_DIR", str(programs_of_runs))
  monkeypatch.chdir(tmp_path)


def measured(**changes):
  config = tiny.get_config()
  config.parallel.num_devices = 1
  config.update_from_flattened_dict(
    {name.replace("__", "."): value for name, value in changes.items()}
  )
  config = derived.resolve(config)
  return trial.measure(config, images.load(config))


def test_seconds_of_a_step_leave_out_compiling(monkeypatch):
  calls = []

  def slow_at_first(*_, **__):
    def call(running, *_):
      time.sleep(0.02 if calls else 0.3)
      calls.append(None)
      return running, ()

    calls.clear()
    return call

  monkeypatch.setattr(phase_lib, "train_steps", slow_at_first)
  monkeypatch.setattr(trial, "_SECONDS", 0.1)
  found = measured(pretrain__num_epochs=9, joint__num_epochs=0)
  (phase,) = found.phases
  assert phase.name == "pretrain"
  assert phase.num_epochs == 9
  assert phase.compiling >= 0.3
  # A machine may do other work as well, but not for as long as the first call.
  assert 0.02 <= phase.step < 0.3
  assert 4 <= len(calls) < phase.num_steps


@pytest.mark.parametrize("device_bytes", [0, 1])
def test_real_steps_write_nothing(device_bytes, tmp_path):
  found = measured(joint__num_epochs=0, data__device_bytes=device_bytes)
  assert np.isfinite(found.phases[0].step)
  assert found.phases[0].step > 0
  assert found.host_bytes > 1e8
  assert found.needed.startswith("memory: at least 0.0")
  assert found.device_bytes is None
  assert not list(tmp_path.iterdir())


def test_weights_that_a_run_would_not_find_are_refused():
  with pytest.raises(
    errors.UserError, match=r"init_from=runs/none: there is no"
  ):
    measured(pretrain__num_epochs=1, init_from="runs/none")


def test_a_network_of_other_images_may_be_fine_tuned(monkeypatch):
  """It has trained `joint`, from which no other run would start."""
  monkeypatch.setattr(
    phase_lib,
    "train_steps",
    lambda *_, **__: lambda running, *_: (running, ()),
  )
  changes = {"init_from": "sr2_fsrcnn_x4_mnist", "pretrain__num_epochs": 1}
  found = measured(fine_tune=True, **changes)
  assert [phase.name for phase in found.phases] == ["pretrain", "joint"]
  with pytest.raises(errors.UserError, match="that is another network"):
    measured(fine_tune=True, degradation__scale=2, **changes)
  with pytest.raises(errors.UserError, match="no such file or folder"):
    measured(fine_tune=True, init_from="runs/none")


def test_lines_of_a_trial():
  phases = (
    trial.OfPhase("pretrain", 3600, 2, 61.0, 0.5),
    trial.OfPhase("joint", 10_000, 1, 9.6, 0.9),
  )
  found = trial.Trial(phases, "8 x TPU", "memory: enough", 2e9, 31e9)
  assert trial.described(found) == [
    "pretrain: 500 ms a step, 3,600 steps in 2 epochs take 30:00; compiling "
    "took 1:01",
    "joint: 900 ms a step, 10,000 steps in 1 epoch take 2:30:00; compiling "
    "took 0:10",
    "training: 3:00:00 on 8 x TPU, with 2.0 GB of memory and 31.0 GB of each "
    "device's; evaluations come on top",
    "memory: enough",
  ]
