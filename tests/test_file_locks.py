import importlib
import sys

import pytest

from sr2_jax import file_locks


def test_a_lock_keeps_others_out_until_the_file_is_closed(tmp_path):
  path = tmp_path / "lock"
  with path.open("w") as first, path.open("a") as second:
    file_locks.take(first)
    with pytest.raises(BlockingIOError):
      file_locks.take(second)
    with pytest.raises(BlockingIOError):
      file_locks.take(second, shared=True)
  with path.open() as first, path.open() as second:
    file_locks.take(first, shared=True)
    file_locks.take(second, shared=True)


def test_a_system_without_locks(tmp_path, monkeypatch):
  monkeypatch.setitem(sys.modules, "fcntl", None)
  try:
    importlib.reload(file_locks)
    assert not file_locks.AVAILABLE
    with (
      (tmp_path / "lock").open("w") as file,
      pytest.raises(OSError, match="this system has no locks"),
    ):
      file_locks.take(file)
  finally:
    monkeypatch.undo()
    importlib.reload(file_locks)
  assert file_locks.AVAILABLE
