"""Whole runs of two processes; `python -m tests.processes` plays all cases."""

import pytest

from tests import processes

# Those that tell most in their time. What two processes compare before they
# load JAX is seen within two seconds. `test_train` kills one in a step.
NAMES = (
  "differ_config_start", "differ_code_start", "differ_packages_start",
  "differ_workdir_start", "fails_1",
)  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_case(name, tmp_path, programs_of_runs):
  processes.play(name, tmp_path / name, programs_of_runs)
