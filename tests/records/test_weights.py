"""Files of weights: reading gives what was written, or an error."""

import dataclasses
import hashlib
import json
import math
import os
import pickle

import numpy as np
import pytest
from safetensors import numpy as safetensors_numpy

from sr2_jax import errors
from sr2_jax.records import rows as rows_lib
from sr2_jax.records import weights as weights_lib

ORIGIN = weights_lib.Origin(
  config={"seed": 3, "loss": {"l2": [0.01]}},
  image_shape=(28, 28, 1),
  class_names=("zero", "one"),
  phase="joint",
  method="sr2_fsrcnn",
  member=rows_lib.Member(seed=3, l2=0.01, loss_weight=9.0),
  step=8,
)
ARRAYS = {
  "params/sr/map_0/kernel": np.arange(6, dtype=np.float32).reshape(2, 3),
  "batch_stats/sr/mean": np.ones(2, np.float32),
}


@pytest.fixture
def path(tmp_path):
  path = tmp_path / "weights" / "seed_3" / "last.safetensors"
  weights_lib.write(path, ARRAYS, ORIGIN)
  return path


def test_what_was_written_is_read(path):
  arrays, origin = weights_lib.read(path)
  assert origin == ORIGIN
  assert arrays.keys() == ARRAYS.keys()
  for name, array in ARRAYS.items():
    assert arrays[name].dtype == np.float32
    np.testing.assert_array_equal(arrays[name], array)


def test_the_digest_has_the_format_of_sha256sum(path):
  digest, name = path.with_name(f"{path.name}.sha256").read_text().split()
  assert digest == hashlib.sha256(path.read_bytes()).hexdigest()
  assert name == "last.safetensors"


def test_the_same_weights_are_the_same_bytes(path, tmp_path):
  other = tmp_path / "other.safetensors"
  weights_lib.write(other, dict(reversed(ARRAYS.items())), ORIGIN)
  assert other.read_bytes() == path.read_bytes()


def test_another_program_reads_the_arrays(path):
  arrays = safetensors_numpy.load_file(path)
  np.testing.assert_array_equal(
    arrays["batch_stats/sr/mean"], ARRAYS["batch_stats/sr/mean"]
  )


def flip(data):
  return data[:-1] + bytes([data[-1] ^ 1])


@pytest.mark.parametrize(
  "damage", [flip, lambda data: data[:-4], lambda data: b""]
)
def test_damage_is_named(path, damage):
  """Including a flipped bit, which safetensors does not notice."""
  path.write_bytes(damage(path.read_bytes()))
  with pytest.raises(errors.UserError, match="damaged; its sha256") as caught:
    weights_lib.read(path)
  assert str(path) in str(caught.value)


def test_control_safetensors_does_not_notice_a_flipped_bit(path):
  path.write_bytes(flip(path.read_bytes()))
  safetensors_numpy.load_file(path)


class _Bomb:
  def __reduce__(self):
    return (pytest.fail, ("a file of weights was executed",))


@pytest.mark.parametrize(
  "data",
  [
    b"",
    b"no safetensors",
    (2**40).to_bytes(8, "little") + b"{}",
    pickle.dumps(_Bomb()),
    safetensors_numpy.save(ARRAYS),
    safetensors_numpy.save(ARRAYS, metadata={"sr2_jax": "{}"}),
    safetensors_numpy.save(ARRAYS, metadata={"sr2_jax": "[1]"}),
  ],
)
def test_other_files_are_refused_and_never_executed(path, data):
  refused(path, data)


def refused(path, data):
  """Nothing reads these bytes, though their sha256 is right."""
  path.write_bytes(data)
  digest = hashlib.sha256(data).hexdigest()
  path.with_name(f"{path.name}.sha256").write_text(f"{digest}  x\n")
  for read in (weights_lib.read, weights_lib.read_origin):
    with pytest.raises(errors.UserError, match="not weights of sr2_jax"):
      read(path)


def test_the_origin_is_read_without_the_arrays(path):
  """Even if they are damaged: only `read` vouches for them."""
  path.write_bytes(flip(path.read_bytes()))
  assert weights_lib.read_origin(path) == ORIGIN
  path.unlink()
  with pytest.raises(errors.UserError, match="cannot be read"):
    weights_lib.read_origin(path)


def test_a_missing_file_is_named(path):
  path.unlink()
  with pytest.raises(errors.UserError, match="cannot be read") as caught:
    weights_lib.read(path)
  assert path.name in str(caught.value)


@pytest.mark.parametrize(
  ("data", "problem"),
  [
    (b"", r"should be in last\.safetensors\.sha256 or SHA256SUMS"),
    (pickle.dumps(_Bomb()), "not weights of sr2_jax .a pickle"),
    (b"PK\x03\x04 a .pth file", "not weights of sr2_jax .a zip archive"),
  ],
)
def test_a_file_that_nothing_vouches_for_is_refused(path, data, problem):
  path.with_name(f"{path.name}.sha256").unlink()
  path.write_bytes(data)
  for read in (weights_lib.read, weights_lib.verify):
    with pytest.raises(errors.UserError, match=problem) as caught:
      read(path)
    assert len(str(caught.value).splitlines()) <= 2


@pytest.mark.parametrize("place", ["seed_3", ""])
def test_the_digest_may_be_in_a_list(path, place):
  """In the folder of the file, or in the one around it."""
  digest = path.with_name(f"{path.name}.sha256")
  folder = path.parent if place == "" else path.parent.parent
  name = path.relative_to(folder).as_posix()
  line = digest.read_text().split()[0]
  digest.unlink()
  (folder / "SHA256SUMS").write_text(f"{'0' * 64}  other\n{line}  {name}\n")
  assert weights_lib.read(path)[1] == ORIGIN
  assert weights_lib.digest(path) == line
  path.write_bytes(flip(path.read_bytes()))
  with pytest.raises(errors.UserError, match="not the one in SHA256SUMS"):
    weights_lib.read(path)


def test_half_precision_is_read_as_float32(tmp_path):
  path = tmp_path / "a.safetensors"
  written = np.float16([[1 / 3, 65504.0]])
  weights_lib.write(path, {"params/a": written}, ORIGIN)
  array = weights_lib.read(path)[0]["params/a"]
  assert array.dtype == np.float32
  np.testing.assert_array_equal(array, written.astype(np.float32))


def test_arrays_of_another_type_are_named(tmp_path):
  path = tmp_path / "a.safetensors"
  weights_lib.write(path, {"params/a": np.arange(3)}, ORIGIN)
  with pytest.raises(errors.UserError, match="params/a is int64, not float32"):
    weights_lib.read(path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_member_that_cannot_be_read_is_named(path):
  """It would be missing in a mean of all members."""
  folder, name = path.parent.parent, path.name
  assert weights_lib.members_in(folder, name) == [path]
  for closed in (path.parent, folder):
    closed.chmod(0)
    try:
      with pytest.raises(errors.UserError, match=f"{closed}: cannot be read"):
        weights_lib.members_in(folder, name)
    finally:
      closed.chmod(0o700)


def test_networks_come_in_training_order(tmp_path):
  for name in ("joint_sr2_fsrcnn", "pretrain_fsrcnn"):
    (tmp_path / "weights" / name).mkdir(parents=True)
  found = weights_lib.network_folders(tmp_path)
  assert list(found) == ["fsrcnn", "sr2_fsrcnn"]
  assert found["fsrcnn"] == weights_lib.network_folder(
    tmp_path, "pretrain", "fsrcnn"
  )
  assert not weights_lib.network_folders(tmp_path / "missing")


def _with(**changes):
  """A file whose metadata have other fields; None leaves one out."""
  fields = {**dataclasses.asdict(ORIGIN), **changes}
  kept = {name: x for name, x in fields.items() if x is not None}
  return safetensors_numpy.save(ARRAYS, metadata={"sr2_jax": json.dumps(kept)})


@pytest.mark.parametrize(
  "changes",
  [
    {"config": 3}, {"config": None}, {"config": [1]}, {"config": {"model": 3}},
    {"config": {"model": {"trunk": "nosuch"}}},
    {"config": {"degradation": {"scale": [2]}}},
    {"config": {"seed": {"a": 1}}}, {"phase": "later"}, {"phase": []},
    {"method": 3}, {"step": "8"}, {"step": math.inf}, {"step": 0.5},
    {"member": {"seed": "3"}}, {"member": {"seed": 3, "l2": []}},
    {"member": [3]}, {"image_shape": [28, 28]}, {"image_shape": 28},
    {"image_shape": ["28", 28, 1]}, {"image_shape": [0, 28, 1]},
    {"image_shape": [28, -28, 1]}, {"image_shape": [28, 28, 0]},
    {"class_names": 3}, {"class_names": "0123"}, {"class_names": {"a": 1}},
    {"more": 1}, {"step": -1}, {"step": 1.5}, {"step": math.nan},
    {"step": True}, {"step": 2**63}, {"member": {"seed": -1}},
    {"member": {"seed": 0.5}}, {"member": {"seed": math.nan}},
    {"member": {"seed": True}}, {"member": {"seed": 3, "l2": "0.01"}},
    {"member": {"seed": 3, "l2": -0.01}}, {"member": {"seed": 3, "l2": True}},
    {"member": {"seed": 3, "l2": math.nan}},
    {"member": {"seed": 3, "loss_weight": math.inf}},
    {"member": {"seed": 3, "more": 1}}, {"class_names": ["a", 1]},
    {"batch_norm": "odd"}, {"batch_norm": 1},
  ],
)  # fmt: skip
def test_metadata_with_parts_of_other_types_are_refused(path, changes):
  refused(path, _with(**changes))


def test_metadata_that_another_program_has_written(path):
  changes = {"config": {"seed": 3.0, "loss": {"l2": [0.01]}}}
  changes |= {
    "step": 8.0,
    "member": {"seed": 3.0, "l2": 0.01, "loss_weight": 9},
  }
  path.write_bytes(_with(**changes))
  assert weights_lib.read_origin(path) == ORIGIN


def test_metadata_too_deep_are_refused(path):
  path.write_bytes(
    safetensors_numpy.save(ARRAYS, metadata={"sr2_jax": "[" * 99_999})
  )
  with pytest.raises(errors.UserError, match="not weights of sr2_jax"):
    weights_lib.read_origin(path)


@pytest.mark.parametrize(
  "name", ["last.safetensors", "last.safetensors.sha256"]
)
def test_what_is_no_file_is_named_and_not_waited_for(path, name):
  place = path.with_name(name)
  place.unlink()
  os.mkfifo(place)
  with pytest.raises(errors.UserError, match="it is a FIFO, not a file"):
    weights_lib.verify(path)
