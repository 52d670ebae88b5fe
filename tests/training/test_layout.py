"""Layouts and numbers of devices: planned, with no device and no program."""

import itertools
import math

import pytest

from experiments import default
from launch import jobs
from sr2_jax import errors
from sr2_jax.config import derived
from sr2_jax.training import layout as layout_lib


def choose(*members, devices, hosts=1, platform="tpu", **asked):
  asked = {"batch_size": 64, **asked}
  return layout_lib.choose(
    members, devices=devices, hosts=hosts, platform=platform, **asked
  )


def most_on_a_device(size, num_devices):
  """Members of the fullest device, dealt out one by one."""
  dealt = [0] * num_devices
  for member in range(size):
    dealt[member % num_devices] += 1
  return max(dealt)


@pytest.mark.parametrize("hosts", [1, 2, 4, 8])
def test_every_population_runs_on_any_devices_in_the_shortest_time(hosts):
  for size, devices in itertools.product(range(1, 65), range(hosts, 65, hosts)):
    found = choose(size, devices=devices, hosts=hosts)
    [on_each], [idle_members] = found.members_on_each, found.idle_members
    assert on_each == most_on_a_device(size, devices)
    assert size + idle_members == on_each * found.num_devices
    # Members fill one device after another.
    busy = {member // on_each for member in range(size)}
    assert found.idle == devices - len(busy)
    if hosts > 1:
      assert found.layout == "members"
      assert found.num_devices == devices
    elif found.num_devices > 1:
      # One device less would take longer.
      assert most_on_a_device(size, found.num_devices - 1) > on_each


@pytest.mark.parametrize(
  ("sizes", "devices", "hosts", "expected"),
  [
    ((3, 3), 8, 1, "layout members: 3 members on 3 of 8 devices, 5 idle"),
    ((1, 1), 8, 1, "1 member on 1 of 8 devices, 7 idle"),
    (
      (9,), 8, 1,
      "layout members: 9 members on 5 of 8 devices, at most 2 on each, 3 idle",
    ),
    ((3, 6), 8, 1, "layout members: 3 and 6 members on 6 of 8 devices, 2 idle"),
    ((4, 12), 4, 1, "layout members: 4 and 12 members on 4 of 4 devices, at "
     "most 3 on each"),
    (
      (3,), 8, 2,
      "layout members: 3 members on 3 of 8 devices in 2 processes, 5 idle",
    ),
  ],
)  # fmt: skip
def test_the_choice_in_words(sizes, devices, hosts, expected):
  assert choose(*sizes, devices=devices, hosts=hosts).line == expected


def test_phases_of_other_sizes_share_the_devices():
  """The larger phase decides; the smaller one has idle members."""
  found = choose(3, 6, devices=8)
  assert found.num_devices == 6
  assert found.members_on_each == (1, 1)
  assert found.idle_members == (3, 0)


def test_one_device_is_called_data_and_holds_all_members():
  found = choose(6, devices=1)
  assert (found.layout, found.num_devices) == ("data", 1)
  assert found.members_on_each == (6,)
  assert found.idle == 0


@pytest.mark.parametrize("platform", ["tpu", "gpu", "cpu"])
def test_no_batch_is_split_by_what_is_known_today(platform):
  for size, devices, batch_size in itertools.product(
    (1, 2, 3, 8), (2, 4, 8, 64), (64, 512)
  ):
    found = choose(
      size, devices=devices, platform=platform, batch_size=batch_size
    )
    assert found.layout == "members" or found.num_devices == 1


def test_a_batch_is_split_where_that_is_known_to_be_faster(monkeypatch):
  known = {("gpu", 64, 4): 0.4, ("gpu", 64, 8): 0.3, ("gpu", 64, 16): 0.2}
  monkeypatch.setattr(layout_lib, "SPLIT_STEP", known)

  def found(*sizes, devices=8, **asked):
    choice = choose(*sizes, devices=devices, **{"platform": "gpu", **asked})
    return choice.layout, choice.num_devices

  assert found(1) == ("data", 8)
  assert found(1, devices=7) == ("data", 4)
  assert found(1, devices=3) == ("data", 1)
  assert found(3) == ("data", 8)
  # Four members on a device each take 1; side by side on all, 1.2.
  assert found(4) == ("members", 4)
  assert found(3, 4) == ("members", 4)
  assert found(1, batch_size=32) == ("data", 1)
  assert found(1, platform="tpu") == ("data", 1)
  assert found(1, hosts=2) == ("members", 8)
  assert found(1, num_devices=4) == ("members", 4)


@pytest.mark.parametrize(
  ("asked", "expected"),
  [
    ({"layout": "data"}, ("data", 8)),
    ({"layout": "data", "batch_size": 36}, ("data", 6)),
    ({"layout": "data", "num_devices": 4}, ("data", 4)),
    ({"layout": "data", "hosts": 2}, ("data", 8)),
    ({"layout": "members"}, ("members", 3)),
    ({"layout": "members", "num_devices": 2}, ("members", 2)),
    ({"num_devices": 8}, ("members", 8)),
    ({"num_devices": 1}, ("data", 1)),
    ({"num_devices": 8, "hosts": 2}, ("members", 8)),
  ],
)
def test_what_is_asked_for_is_done(asked, expected):
  found = choose(3, devices=8, **asked)
  assert (found.layout, found.num_devices) == expected


@pytest.mark.parametrize(
  ("asked", "expected"),
  [
    ({"num_devices": 9}, "num_devices is 9, but there are 8 here"),
    ({"num_devices": 4, "hosts": 2}, "has to be 0, for all 8 devices"),
    (
      {"layout": "data", "num_devices": 3},
      "batch_size is 64, which 3 devices cannot share",
    ),
    (
      {"layout": "data", "hosts": 2, "batch_size": 63},
      "batch_size is 63, which 8 devices cannot share",
    ),
  ],
)
def test_what_cannot_be_is_refused(asked, expected):
  with pytest.raises(errors.UserError, match=expected) as caught:
    choose(3, devices=8, **asked)
  assert len(str(caught.value).splitlines()) <= 2


def of_config(recorded=None, devices=8, hosts=1, **changes):
  config = default.get_config()
  config.update_from_flattened_dict(
    {name.replace("__", "."): value for name, value in changes.items()}
  )
  found = layout_lib.of_config(
    derived.resolve(config),
    devices=devices,
    hosts=hosts,
    platform="tpu",
    recorded=recorded,
  )
  return found.layout, found.num_devices


def test_members_are_those_of_each_phase():
  weights = {"num_seeds": 3, "joint__loss_weight": (0.11, 9.0)}
  assert of_config(**weights) == ("members", 6)
  assert of_config(**weights, model__wiring="none") == ("members", 3)
  assert of_config(**weights, joint__num_epochs=0) == ("members", 3)


def test_a_damaged_record_counts_for_nothing():
  assert of_config("members", num_seeds=3) == ("members", 3)
  assert of_config({}, num_seeds=3) == ("members", 3)


@pytest.mark.parametrize(
  ("recorded", "here", "expected"),
  [
    # More devices, or as many: as before.
    (("members", 2), {}, ("members", 2)),
    (("data", 8), {}, ("data", 8)),
    # An older version recorded what the config said.
    (("data", 0), {}, ("data", 8)),
    (("data", 0), {"devices": 3}, ("data", 2)),
    (("members", 0), {}, ("members", 3)),
    # Other devices: chosen again.
    (("members", 3), {"devices": 2}, ("members", 2)),
    (("members", 3), {"hosts": 2}, ("members", 8)),
    (("data", 8), {"devices": 4}, ("members", 3)),
    (("data", 1), {"devices": 2, "hosts": 2}, ("members", 2)),
    # What the config says counts.
    (("members", 3), {"parallel__layout": "data"}, ("data", 8)),
    (("members", 3), {"parallel__num_devices": 2}, ("members", 2)),
    (("data", 4), {"parallel__layout": "data"}, ("data", 4)),
    # Damaged by hand.
    (("rows", 3), {}, ("members", 3)),
    (("members", "three"), {}, ("members", 3)),
    (("members", -1), {}, ("members", 3)),
  ],
)
def test_a_run_that_goes_on_keeps_its_layout(recorded, here, expected):
  recorded = dict(zip(("layout", "num_devices"), recorded, strict=True))
  assert of_config(recorded, num_seeds=3, **here) == expected


def test_a_config_takes_up_the_choice():
  config = derived.resolve(default.get_config())
  resolved = choose(3, devices=8).resolve(config)
  assert resolved.parallel.to_dict() == {"layout": "members", "num_devices": 3}
  assert config.parallel.layout == "auto"
  assert of_config(resolved.parallel.to_dict(), num_seeds=3) == ("members", 3)


@pytest.mark.parametrize(
  ("devices", "hosts"), [(1, 1), (4, 1), (8, 1), (8, 2), (256, 64)]
)
def test_every_run_of_the_paper_starts_on_every_slice(devices, hosts, tmp_path):
  found = [
    layout_lib.of_config(
      job.config,
      devices=devices,
      hosts=hosts,
      platform="tpu",
    )
    for job in jobs.load("experiments/paper.py:paper", tmp_path)
  ]
  assert len(found) == 22
  for choice in found:
    size, on_each = max(choice.members), max(choice.members_on_each)
    assert on_each == math.ceil(size / devices)
    assert choice.idle == devices - math.ceil(size / on_each)
