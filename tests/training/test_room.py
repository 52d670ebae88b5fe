"""What is said when memory has no room, and to whom."""

import types

import pytest

from sr2_jax import errors, memory
from sr2_jax.training import room

GB = 10**9


def device(platform, free=None):
  statistics = None if free is None else {"bytes_limit": free}
  return types.SimpleNamespace(
    platform=platform, memory_stats=lambda: statistics
  )


@pytest.fixture
def host(monkeypatch):
  """Sets what is free on the host."""

  def has(nbytes, limit=""):
    free = None if nbytes is None else memory.Room(nbytes, limit)
    monkeypatch.setattr(memory, "of_host", lambda: free)

  has(64 * GB)
  return has


def footprint(devices):
  members = {"num_seeds": 6, "loss.l2": 1, "joint.loss_weight": 2}
  state = room.share(
    devices, "the state of 12 members", members,
    on_device=18 * GB, on_host=30 * GB,
  )  # fmt: skip
  step = room.share(
    devices, "a step", {"batch_size": 64, **members}, on_device=6 * GB
  )
  batch = room.share(
    devices, "100 images", {"eval.batch_size": 100, "eval.noise_variances": 8},
    on_device=5 * GB,
  )  # fmt: skip
  moments = (
    room.Moment("training joint", step, (state,)),
    room.Moment("evaluating joint", batch, (state,)),
  )
  return room.Footprint(moments, tuple(devices))


def test_devices_have_memory_of_their_own(host):
  footprint([device("gpu", 24 * GB), device("gpu", 25 * GB)]).check()
  with pytest.raises(errors.NoRoomError) as caught:
    footprint([device("gpu", 25 * GB), device("gpu", 23 * GB)]).check()
  assert str(caught.value) == (
    "training joint needs at least 24.0 GB more memory on each device, and "
    "23.0 GB are free: 18.0 GB for the state of 12 members.\n"
    "Reduce config.num_seeds (6) or config.joint.loss_weight (2)."
  )


def test_the_host_of_devices_needs_room_as_well(host):
  host(29 * GB, "the limit of its cgroup")
  with pytest.raises(errors.NoRoomError) as caught:
    footprint([device("tpu", 99 * GB)]).check()
  assert str(caught.value).startswith(
    "training joint needs at least 30.0 GB more memory, and 29.0 GB are free "
    "(the limit of its cgroup): 30.0 GB for the state"
  )


def test_cpu_devices_share_the_memory_of_the_host(host):
  two = footprint([device("cpu"), device("cpu")])
  assert two.places == (room.HOST,)
  assert two.peak(room.HOST).needed(room.HOST) == (30 + 2 * 24) * GB
  with pytest.raises(errors.NoRoomError, match=r"78\.0 GB more memory, and 64"):
    two.check()
  footprint([device("cpu")]).check()


def test_compilers_may_need_more(host):
  host(120 * GB)
  assert not footprint([device("gpu", 96 * GB)]).may_be_short()
  assert footprint([device("gpu", 95 * GB)]).may_be_short()
  host(119 * GB)
  assert footprint([device("gpu", 96 * GB)]).may_be_short()
  host(None)
  assert not footprint([device("gpu")]).may_be_short()


def test_who_does_not_tell_refuses_nothing(host):
  host(None)
  footprint([device("cpu")]).check()
  footprint([device("gpu")]).check()


def test_fields_to_reduce(host):
  host(GB)
  for factors, way_out in (
    ({"num_seeds": 1}, "Reduce config.batch_size."),
    ({"a": 2, "b": 1, "c": 1000}, "Reduce config.c (1,000) or config.a (2)."),
    (
      {"batch_size": 8, "augmentation.crop": 900},
      "Reduce the images, by config.augmentation.crop or config.batch_size "
      "(8).",
    ),
  ):
    program = room.share([device("cpu")], "it", factors, on_host=2 * GB)
    needed = room.Footprint(
      (room.Moment("training", program),), (device("cpu"),)
    )
    with pytest.raises(errors.NoRoomError) as caught:
      needed.check()
    assert str(caught.value).splitlines()[1] == way_out


def test_compiled_programs_are_checked_on_each_device(host):
  devices = [device("gpu", 9 * GB)]
  check = room.program_check(devices, "training", "a step", {"batch_size": 64})
  check(9 * GB)
  with pytest.raises(errors.NoRoomError) as caught:
    check(10 * GB)
  assert str(caught.value) == (
    "training needs at least 10.0 GB more memory on each device, and 9.0 GB "
    "are free: 10.0 GB for a step.\nReduce config.batch_size (64)."
  )
  on_cpu = room.program_check([device("cpu")] * 4, "training", "a step", {})
  on_cpu(16 * GB)
  with pytest.raises(errors.NoRoomError, match=r"68\.0 GB more memory, and"):
    on_cpu(17 * GB)


def test_an_error_is_explained_by_what_needs_most():
  text = footprint([device("gpu")]).explain(MemoryError("no\nroom."))
  assert text == (
    "Out of memory: no room.\n"
    "With more memory the same command goes on from the last checkpoint; or "
    "reduce config.num_seeds (6) or config.joint.loss_weight (2) in a new run."
  )


def test_line():
  assert footprint([device("gpu")]).line == (
    "memory: at least 30.0 GB and 24.0 GB on each device; training joint needs "
    "most, 18.0 GB of it for the state of 12 members"
  )
  assert footprint([device("cpu")]).line.startswith(
    "memory: at least 54.0 GB; training joint needs most, 48.0 GB of it"
  )
