import pathlib

import pytest

from sr2_jax import errors
from sr2_jax.buckets import address, copies, fetch, sending
from sr2_jax.buckets import store as store_lib
from tests.buckets import memory, several, worlds

RUN = {
  "config.json": "{}", "results": "rows", "DONE": "", "tensorboard__x": "t",
  "weights__joint_a__seed_0__last.safetensors": "w",
  "weights__joint_a__seed_0__last.safetensors.sha256": "d",
  "weights__joint_a__seed_1__last.safetensors": "v",
  "checkpoints__pretrain__last__00000003__x": "s",
  "checkpoints__joint__last__00000003__x": "s",
}  # fmt: skip


@pytest.fixture
def bucket(monkeypatch, tmp_path):
  """Two runs of a sweep, and the files of the sweep itself."""
  found = several.Bucket()
  monkeypatch.setattr(store_lib, "connect", found.connect)
  monkeypatch.setenv("SR2_JAX_SCRATCH_DIR", str(tmp_path / "scratch"))
  for name, contents in (
    ("sweep/a", RUN), ("sweep/b", RUN), ("sweep", {"events.jsonl": "e"}),
  ):  # fmt: skip
    folder = tmp_path / "made" / name.replace("/", "_")
    worlds.write(folder, **contents)
    url = address.parse(f"gs://bucket/{name}", "x")
    with sending.sending(fetch.connected(url), folder, str(url)):
      pass
  return found


def brought(url, is_wanted=lambda name: True):
  return pathlib.Path(copies.bring(url, "--weights", is_wanted))


def test_a_path_stays_as_it_is():
  assert copies.bring("runs/a", "RUN", lambda name: True) == "runs/a"
  copies.bring_source("")


@pytest.mark.parametrize(
  ("is_wanted", "number"),
  [
    (copies.is_of_rows, 3), (copies.is_of_weights, 5),
    (copies.is_of_release, 6), (copies.is_of_source, 7),
  ],
)  # fmt: skip
def test_a_run(bucket, is_wanted, number):
  found = worlds.read(brought("gs://bucket/sweep/a", is_wanted))
  assert len(found) == number
  assert all(map(is_wanted, found))


def test_all_runs_of_a_sweep(bucket):
  folder = brought("gs://bucket/sweep", copies.is_of_rows)
  assert (folder / "a/results").is_file()
  assert (folder / "b/results").is_file()


@pytest.mark.parametrize(
  ("path", "number"),
  [
    ("weights", 3), ("weights/joint_a", 3), ("weights/joint_a/seed_0", 2),
    ("weights/joint_a/seed_0/last.safetensors", 2), ("results", 1),
  ],
)  # fmt: skip
def test_what_is_in_a_run(bucket, path, number):
  place = brought(f"gs://bucket/sweep/a/{path}")
  assert place.exists()
  run = address.copy(address.parse("gs://bucket/sweep/a", "x"))
  assert len(worlds.read(run)) == number


def test_a_copy_is_brought_up_to_date(bucket, tmp_path):
  url = "gs://bucket/sweep/a"
  folder = brought(url)
  made = tmp_path / "made" / "sweep_a"
  worlds.write(made, results="new")
  (made / "DONE").unlink()
  one = address.parse(url, "x")
  with sending.sending(fetch.connected(one), made, url):
    pass
  assert brought(url) == folder
  assert (folder / "results").read_text() == "new"
  assert not (folder / "DONE").exists()


@pytest.mark.parametrize(
  "url", ["gs://bucket/none", "gs://bucket/none/at/all", "gs://bucket/sweep/c"]
)
def test_there_is_no_such_run(bucket, url):
  with pytest.raises(errors.UserError, match=f"--weights={url}: no run"):
    brought(url)


def test_a_bucket_that_is_away(bucket):
  bucket.faults.append(memory.away())
  with pytest.raises(errors.UserError, match="cannot be used: 503"):
    brought("gs://bucket/sweep/a")
