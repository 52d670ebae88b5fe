import os

from etils.epath import gpath

from sr2_jax.training import literal_path


def test_a_folder_called_s3_is_no_bucket():
  path = literal_path.LiteralPath("/s3/runs")
  assert os.fspath(path) == str(path) == "/s3/runs"
  assert os.fspath(path / "last") == "/s3/runs/last"
  # A version of etils without this property would read from a bucket.
  assert hasattr(gpath.PosixGPath, "_uri_scheme")


def test_brackets_are_no_pattern(tmp_path):
  for name in ("[1]", "1"):
    (tmp_path / name / "found").mkdir(parents=True)
  found = list(literal_path.literal(tmp_path / "[1]").glob("f*"))
  assert [os.fspath(path) for path in found] == [f"{tmp_path}/[1]/found"]
