"""Whole runs of two processes; `python -m tests.processes` plays all cases."""

import pytest

from tests import processes

# What they compare before they load JAX is seen within two seconds. The other
# cases are played in small: `test_agreement`, `peers/test_group`. `test_train`
# kills one of two.
NAMES = ("differ_config_start", "differ_code_start", "differ_packages_start")


@pytest.mark.parametrize("name", NAMES)
def test_case(name, tmp_path, programs_of_runs):
  processes.play(name, tmp_path / name, programs_of_runs)
