import hashlib
import shutil
import subprocess

import pytest

from sr2_jax.training import file_list


@pytest.fixture
def folder(tmp_path):
  """Two files in subfolders and one beside the list, which it leaves out."""
  (tmp_path / "state" / "d").mkdir(parents=True)
  (tmp_path / "state" / "d" / "data").write_bytes(b"data")
  (tmp_path / "state" / "b").write_bytes(b"")
  (tmp_path / "beside").write_bytes(b"1")
  file_list.write(tmp_path)
  return tmp_path


def test_the_list_is_sorted_and_verified(folder):
  file_list.verify(folder)
  assert (folder / "files.sha256").read_text() == "".join(
    f"{hashlib.sha256(data).hexdigest()}  {name}\n"
    for name, data in (("state/b", b""), ("state/d/data", b"data"))
  )
  (folder / "beside").write_bytes(b"2")
  file_list.verify(folder)


@pytest.mark.skipif(
  shutil.which("sha256sum") is None, reason="sha256sum is not installed"
)
def test_sha256sum_reads_it(folder):
  command = ("sha256sum", "--check", "--strict", "files.sha256")
  subprocess.run(command, cwd=folder, check=True, capture_output=True)


def test_a_file_that_differs_is_missing_or_new_is_named(folder):
  (folder / "state" / "b").write_bytes(b"\0")
  with pytest.raises(ValueError, match="sha256 of state/b differs from files"):
    file_list.verify(folder)
  (folder / "state" / "b").unlink()
  with pytest.raises(ValueError, match="state/b is missing"):
    file_list.verify(folder)
  (folder / "state" / "b").touch()
  (folder / "state" / "c").touch()
  with pytest.raises(ValueError, match="sha256 of state/c differs"):
    file_list.verify(folder)


def test_a_damaged_list_is_noticed(folder):
  path = folder / "files.sha256"
  for damaged in (b"", b"\xff garbage", path.read_bytes()[:-40]):
    path.write_bytes(damaged)
    with pytest.raises(ValueError, match=r"differs from files\.sha256|missing"):
      file_list.verify(folder)
  path.unlink()
  with pytest.raises(ValueError, match=r"files\.sha256: No such file"):
    file_list.verify(folder)
