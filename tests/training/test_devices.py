"""What a run takes of the devices here; test_layout.py has the rule."""

import jax

from sr2_jax.config import derived
from sr2_jax.training import devices
from tests import tiny


def make_config(**changes):
  config = tiny.get_config()
  config.update_from_flattened_dict(changes)
  return derived.resolve(config)


def test_a_config_gets_layout_and_devices(capsys):
  config, layout = devices.spread(make_config())
  assert (layout.name, len(layout.devices)) == ("members", 2)
  assert config.parallel.layout == "members"
  assert config.parallel.num_devices == 2
  # There are several devices, so a line says which are taken.
  assert len(jax.devices()) > 1
  assert len(capsys.readouterr().err.splitlines()) == 1


def test_an_earlier_start_is_followed():
  config = make_config(**{"augmentation.max_shift": -1, "data.name": "folder"})
  recorded = {
    "parallel": {"layout": "data", "num_devices": 1},
    "augmentation": {"max_shift": 2},
  }
  config, layout = devices.spread(config, recorded)
  assert (layout.name, len(layout.devices)) == ("data", 1)
  assert config.augmentation.max_shift == 2
