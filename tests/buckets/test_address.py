import pathlib

import pytest

from sr2_jax import errors
from sr2_jax.buckets import address


@pytest.mark.parametrize(
  ("text", "shown"),
  [
    ("gs://bucket/runs/a", "gs://bucket/runs/a"),
    ("s3://b-1.x_y/a b/ü=1,2@x", "s3://b-1.x_y/a b/ü=1,2@x"),
    ("gs://bucket/a//", "gs://bucket/a"),
  ],
)
def test_urls(text, shown):
  assert address.is_url(text)
  assert address.run_folder(text, "--workdir") == shown


@pytest.mark.parametrize(
  "text",
  [
    "gs://", "gs://bucket", "gs://bucket/", "gs://b/a", "gs:///a", "s3://B_/a",
    "gs://bucket//a", "gs://bucket/a/../b", "gs://bucket/./a", "s3://bucket/..",
    "gs://bucket/a\\b", "gs://bucket/a*", "gs://bucket/a#1", "s3://bucket/a?b",
    "s3://bucket/[a]", "s3://bucket/a%20b", "gs://bucket/a\nb", "gs://bucket/~",
    "gs://bucket/a/.mirror/x", "gs://bucket/" + "a" * 501, "s3://-bucket/a",
  ],
)  # fmt: skip
def test_what_is_no_folder_in_a_bucket(text):
  assert address.is_url(text)
  with pytest.raises(errors.UserError, match="--workdir=") as caught:
    address.run_folder(text, "--workdir")
  assert len(str(caught.value).splitlines()) == 1
  assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
  "text",
  ["s3://key:hidden@bucket/a", "gs://bucket/a?X-Amz-Signature=hidden&x=1"],
)
def test_credentials_in_a_url_are_refused_and_not_said(text):
  with pytest.raises(errors.UserError, match="--workdir=") as caught:
    address.run_folder(text, "--workdir")
  assert "hidden" not in str(caught.value)


@pytest.mark.parametrize(
  "text", ["runs/a", "gs:", "gs:x", "/gs/b", "xs3://a/b"]
)
def test_paths(text):
  assert not address.is_url(text)
  assert address.local(text) == pathlib.Path(text)


@pytest.mark.parametrize("text", ["GS://bucket/a", "http://a/b", "az://a/b"])
def test_other_urls_are_refused_as_before(text):
  with pytest.raises(errors.UserError, match="is a URL"):
    address.run_folder(text, "--workdir")


def test_folders_on_this_machine(monkeypatch, tmp_path):
  monkeypatch.setenv("SR2_JAX_SCRATCH_DIR", str(tmp_path))
  one = address.parse("gs://bucket/runs/a", "x")
  assert address.scratch(one) == tmp_path / "process_0/gs/bucket/runs/a"
  assert address.copy(one) == tmp_path / "copies/gs/bucket/runs/a"
  assert address.local(str(one)) == address.copy(one)
  path = address.below_scratch(one, 0)
  assert address.scratch(one) == tmp_path / path
  # The folder of a sweep has those of its runs in it, as in the bucket.
  assert address.scratch(one.below("b")).parent == address.scratch(one)
  monkeypatch.delenv("SR2_JAX_SCRATCH_DIR")
  monkeypatch.setenv("SR2_JAX_CACHE_DIR", str(tmp_path / "cache"))
  assert address.scratch(one).is_relative_to(tmp_path / "cache" / "scratch")


def test_a_scratch_folder_that_cannot_be_used(monkeypatch):
  monkeypatch.setenv("SR2_JAX_SCRATCH_DIR", "gs://bucket/a")
  with pytest.raises(errors.UserError, match="SR2_JAX_SCRATCH_DIR=gs://"):
    address.scratch(address.parse("gs://bucket/runs/a", "x"))
