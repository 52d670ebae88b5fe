"""A run folder to be mirrored, and mirrors that do not wait for long."""

import pytest

from tests.buckets import worlds


@pytest.fixture(autouse=True)
def _fast(monkeypatch):
  worlds.fast(monkeypatch)


@pytest.fixture
def run(tmp_path):
  folder = tmp_path / "run"
  worlds.write(folder, config="{}", weights__a="abc", empty="")
  return folder
