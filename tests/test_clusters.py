"""A real run that is killed in every way, one after another, on a cluster."""

import pytest

from tests import clusters

pytest.importorskip("ray")


@pytest.mark.clusters
@pytest.mark.filterwarnings("ignore")  # Ray's own.
def test_every_fault_in_turn(tmp_path, programs_of_runs):
  clusters.play(list(clusters.FAULTS), tmp_path / "story", programs_of_runs)
