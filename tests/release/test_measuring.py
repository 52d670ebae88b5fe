"""Measuring the run's own files again gives the run's numbers."""

import json

import pytest

from sr2_jax import errors
from sr2_jax.records import rows as rows_lib
from sr2_jax.release import measuring, source
from tests.release import made_run


@pytest.fixture(scope="module")
def run(tmp_path_factory):
  return made_run.make(tmp_path_factory.mktemp("run")).folder.path


def test_the_numbers_are_the_runs(run):
  [found] = source.networks(str(run), [str(run)], seeds="all")
  rows = measuring.measure(found, found.chosen.paths)
  before = {row.key: row for row in rows_lib.read(run)}
  assert len(rows) == 2 * 2 * len(source.METRICS)
  for row in rows:
    assert row.value == pytest.approx(before[row.key].value, abs=1e-5)
    assert row.n == before[row.key].n == 24
    assert row.epochs == before[row.key].epochs


def test_other_images_are_refused(run):
  path = run / "config.json"
  record = json.loads(path.read_text())
  record["dataset"]["fingerprint"] = "another"
  path.write_text(json.dumps(record))
  [found] = source.networks(str(run), [str(run)])
  with pytest.raises(errors.UserError, match="its fingerprint differs"):
    measuring.measure(found, found.chosen.paths)
