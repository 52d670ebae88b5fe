import re

import pytest

from sr2_jax import cluster, errors

CLUSTER_VARIABLES = {
  "SLURM_JOB_ID": "7",
  "SLURM_STEP_NODELIST": "node[3,5]",
  "SLURM_NTASKS": "2",
  "SLURM_PROCID": "1",
  "SLURM_LOCALID": "0",
}


@pytest.fixture
def no_cluster(monkeypatch):
  """Whatever started the tests, this is no cluster."""
  for name in CLUSTER_VARIABLES:
    monkeypatch.delenv(name, raising=False)


@pytest.mark.usefixtures("no_cluster")
def test_a_cluster_says_who_this_is(monkeypatch):
  """Guards the way to JAX's own detection, which is not public."""
  for name, value in CLUSTER_VARIABLES.items():
    monkeypatch.setenv(name, value)
  address, count, index = cluster.find(5)
  assert re.fullmatch(r"node3:\d+", address)
  assert (count, index) == (2, 1)


@pytest.mark.usefixtures("no_cluster")
def test_no_cluster():
  with pytest.raises(errors.UserError, match="there is no cluster here"):
    cluster.find(5)


@pytest.mark.usefixtures("no_cluster")
def test_half_a_cluster(monkeypatch):
  for name, value in CLUSTER_VARIABLES.items():
    monkeypatch.setenv(name, value)
  monkeypatch.setenv("SLURM_NTASKS", "many")
  with pytest.raises(errors.UserError, match="cannot be read") as caught:
    cluster.find(5)
  assert len(str(caught.value).splitlines()) == 2


def test_one_process_has_the_highest_number():
  assert cluster.highest(3) == 3
