"""What a run needs, by its fields; nothing is trained."""

import dataclasses

import jax
import numpy as np
import pytest

from sr2_jax import errors, memory, parallel
from sr2_jax.training import feed, footprint, member_bytes, room, steps
from tests import tiny_network

GB = 10**9


def make_run(folder, *, layout=("data", 1), **changes):
  run = tiny_network.make_run(
    folder, eval__batch_norm=("reestimated",), **changes
  )
  return dataclasses.replace(run, layout=parallel.layout(*layout))


def peak(run, **options):
  return footprint.of_run(run, **options).peak(room.HOST)


def needed(run, **options):
  return peak(run, **options).needed(room.HOST)


@pytest.fixture
def free(monkeypatch):
  """Sets what is free."""

  def has(nbytes):
    monkeypatch.setattr(memory, "of_host", lambda: memory.Room(nbytes))

  return has


# Fields that are far too large, and the field that the message names first.
TOO_LARGE = {
  "num_seeds": ({"num_seeds": 10**9}, "num_seeds (1,000,000,000)"),
  "l2": ({"loss__l2": tuple(range(1, 10**6))}, "loss.l2 (999,999)"),
  "weights": (
    {"joint__loss_weight": tuple(range(1, 10**6))},
    "joint.loss_weight (999,999)",
  ),
  "batch": ({"eval__batch_size": 10**9}, "eval.batch_size (1,000,000,000)"),
  "variances": (
    {"eval__noise_variances": tuple(range(10**5))},
    "eval.noise_variances (100,000)",
  ),
  "validation": (
    {"eval__validation_noise_variances": tuple(range(10**6))},
    "eval.validation_noise_variances (1,000,000)",
  ),
  "corruption": (
    {"eval__corruptions__speckle": tuple(range(1, 10**6))},
    "eval.corruptions (999,999)",
  ),
  "statistics": (
    {"eval__batch_norm_batches": 10**8},
    "eval.batch_norm_batches (100,000,000)",
  ),
  "width": (
    {"model__trunk": "wdsr", "model__expansion": 10**7},
    "model.expansion (10,000,000)",
  ),
  "calls": ({"steps_per_call": 2**31}, "steps_per_call (2,147,483,648)"),
  "streams": (
    {"steps_per_call": 10**7, "data__device_bytes": 1},
    "steps_per_call (10,000,000)",
  ),
}


@pytest.mark.parametrize("case", TOO_LARGE)
def test_what_cannot_fit_is_refused_in_no_time(tmp_path, free, case):
  changes, field = TOO_LARGE[case]
  free(2 * GB)
  before = memory.peak_bytes()
  run = make_run(tmp_path, **changes)
  with (
    pytest.raises(errors.NoRoomError, match=r"2\.0 GB are free") as caught,
    footprint.guarded(run),
  ):
    pass
  assert f"Reduce config.{field}" in str(caught.value)
  assert len(str(caught.value).splitlines()) == 2
  assert memory.peak_bytes() - before < 500_000_000


def test_a_batch_that_is_too_large_for_a_step(tmp_path, free):
  free(GB)
  run = make_run(tmp_path, batch_size=10**6)
  images = tiny_network.make_split(1, 0)
  many = dataclasses.replace(
    images,
    images=np.broadcast_to(images.images, (10**6, 12, 12, 1)).copy(),
    labels=np.zeros(10**6, np.int32),
  )
  run = dataclasses.replace(
    run, dataset=dataclasses.replace(run.dataset, train=many)
  )
  with pytest.raises(errors.NoRoomError, match="a step of 4 members") as caught:
    footprint.of_run(run).check()
  assert "Reduce config.batch_size (1,000,000) or" in str(caught.value)


def test_what_fits_goes_on_and_other_errors_pass(tmp_path):
  run = make_run(tmp_path)
  with footprint.guarded(run) as found:
    assert found.moments
  with pytest.raises(ZeroDivisionError), footprint.guarded(run):
    raise ZeroDivisionError


def test_memory_that_is_not_enough_after_all(tmp_path):
  with (
    pytest.raises(errors.UserError, match=r"^Out of memory: no room") as caught,
    footprint.guarded(make_run(tmp_path)),
  ):
    raise MemoryError("no room")
  # Other processes are told by this one's end.
  assert not isinstance(caught.value, errors.NoRoomError)


def test_moments_of_a_run(tmp_path):
  run = make_run(tmp_path, eval__corruptions__blur=(1.0, 2.0))
  of_phase = ("training", "validating", "evaluating", "evaluating")
  found = [moment.name for moment in footprint.of_run(run).moments]
  assert found == [f"{x} {p}" for p in ("pretrain", "joint") for x in of_phase]
  only = footprint.of_run(run, evaluates_only=True).moments
  assert [x.name for x in only] == [
    f"evaluating {phase}" for phase in ("pretrain", "joint") for _ in range(2)
  ]


def test_evaluation_has_the_weights_alone_beside_it(tmp_path):
  def state_of(run):
    *_, last = footprint.of_run(run).moments
    return last.beside[0].what

  assert state_of(make_run(tmp_path)) == "the weights of 4 members"
  # While training goes on.
  during = make_run(tmp_path, eval__epochs=(1,))
  assert state_of(during) == "the state of 4 members"
  *_, last = footprint.of_run(during).moments
  assert "the weights of 4 members" in [share.what for share in last.beside]


def test_an_evaluation_grows_with_the_members_by_their_weights_alone(tmp_path):
  """They come one after another, but have copies of their weights."""

  def evaluations(**changes):
    run = make_run(tmp_path, joint__loss_weight=(1.0,), **changes)
    moments = footprint.of_run(run).moments
    found = [x for x in moments if x.name.endswith("ting joint")]
    assert [x.name for x in found] == ["validating joint", "evaluating joint"]
    return found

  for one, many in zip(
    evaluations(num_seeds=1), evaluations(num_seeds=5), strict=True
  ):
    assert one.program.nbytes == many.program.nbytes
    assert one.program.what == many.program.what
  member = member_bytes.of_phase(make_run(tmp_path), "joint")

  def copies(moment):
    shares = [x for x in moment.beside if x.what.startswith("copies of the")]
    return sum(x.nbytes[room.HOST] for x in shares)

  weights = member.params + member.stats
  validating, evaluating = evaluations(num_seeds=5)
  assert copies(validating) == 5 * weights
  # The weights that have been put there have made way for their copies.
  assert copies(evaluating) == 0
  assert copies(evaluations(num_seeds=1)[0]) == 0
  # Two of five members, and an idle one, on each device.
  spread = evaluations(num_seeds=5, layout=("members", 2))
  assert copies(spread[0]) == 6 * weights


def test_training_needs_what_is_put_on_the_devices(tmp_path):
  """The state and images, as they are in fact."""
  run = make_run(tmp_path, layout=("members", 2))
  phase = run.phase("joint")
  layout = run.layout.of(phase.population.size)
  state = layout.put_members(steps.all_alive(phase.create_state()).state)
  on_devices = sum(leaf.nbytes for leaf in jax.tree.leaves(state))
  shares = next(
    moment
    for moment in footprint.of_run(run).moments
    if moment.name == "training joint"
  ).beside
  # Two of four members on each device, and three copies on the host.
  assert shares[0].nbytes == {room.HOST: 4 * on_devices}
  images = run.dataset.train.images
  assert shares[1].nbytes == {room.HOST: 2 * images.nbytes}


def test_layouts_share_members_or_batches(tmp_path):
  counted = {
    layout: next(
      moment
      for moment in footprint.of_run(
        make_run(tmp_path, layout=layout, num_seeds=2)
      ).moments
      if moment.name == "training pretrain"
    )
    for layout in (("data", 1), ("members", 2), ("data", 2))
  }
  member = member_bytes.of_phase(make_run(tmp_path), "pretrain")

  def step(layout):
    return counted[layout].program.nbytes[room.HOST]

  # Over all devices: gradients of two members, and maps of two batches of 4.
  whole = 2 * member.params + 2 * 4 * member.maps
  assert step(("data", 1)) == step(("members", 2)) == whole
  assert step(("data", 2)) == whole + 2 * member.params


def test_streams_count_the_calls_on_their_way(tmp_path):
  run = make_run(tmp_path, data__device_bytes=1, steps_per_call=7)
  moment = footprint.of_run(run).moments[0]
  image = 12 * 12
  members, batch = 2, 4
  share = moment.beside[1]
  assert share.what == "images of calls of 7 steps"
  assert share.nbytes[room.HOST] == (
    feed.CHUNKS_ON_DEVICE * 7 * members * batch * image
  )


def test_more_of_anything_needs_more(tmp_path):
  """Each field counts where its array is, so that none is forgotten."""
  base = make_run(tmp_path)

  def moments(run):
    return [x.needed(room.HOST) for x in footprint.of_run(run).moments]

  for changes in (
    {"num_seeds": 3},
    {"loss__l2": (0.1, 0.2)},
    {"eval__batch_size": 40},
    {"eval__noise_variances": (0.0, 1e-3, 1e-2)},
    {"eval__validation_noise_variances": (0.0, 1e-3, 1e-2)},
    {"eval__batch_norm_batches": 100},
    {"steps_per_call": 9},
  ):
    pairs = zip(
      moments(base), moments(make_run(tmp_path, **changes)), strict=True
    )
    differences = [new - old for old, new in pairs]
    assert min(differences) >= 0, changes
    assert max(differences) > 0, changes


def test_compiled_programs_are_checked(tmp_path, free):
  run = make_run(tmp_path)
  free(GB)
  of_step = footprint.step_check(run, run.phase("joint"))
  of_step(GB)
  with pytest.raises(errors.NoRoomError, match="as it is compiled") as caught:
    of_step(GB + 1)
  assert "Reduce config.batch_size (4) or config.num_seeds (2)" in str(
    caught.value
  )
  of_batch = footprint.evaluation_check(
    run, "evaluating", "eval.noise_variances", 9
  )
  with pytest.raises(errors.NoRoomError) as caught:
    of_batch(2 * GB)
  assert "config.eval.noise_variances (9) or config.eval" in str(caught.value)


def test_an_evaluation_may_be_short_before_training_is(tmp_path, free):
  run = make_run(tmp_path, eval__batch_size=10_000)
  by_shapes = needed(run)
  free(10 * by_shapes)
  assert not footprint.evaluation_may_be_short(run, "joint")
  free(2 * by_shapes)
  assert footprint.evaluation_may_be_short(run, "joint")
  footprint.of_run(run).check()
