import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sr2_jax import parallel


def scale_and_sum(layout):
  """Adds to every member the sum over the batch, shard by shard."""

  def program(state, of_members, shared, shard):
    batch = shared
    size = batch.shape[0] // layout.num_shards
    part = jax.lax.dynamic_slice_in_dim(batch, shard * size, size)
    total = jnp.sum(part)
    if layout.axis_name:
      total = jax.lax.psum(total, layout.axis_name)
    return {"w": state["w"] + of_members * total}

  return program


@pytest.mark.parametrize("name", ["data", "members"])
@pytest.mark.parametrize("num_devices", [1, 2, 4])
@pytest.mark.parametrize("donate", [False, True])
def test_every_layout_computes_what_one_device_does(name, num_devices, donate):
  layout = parallel.layout(name, num_devices)
  step = layout.map(scale_and_sum(layout), donate=donate)
  w = np.arange(8.0, dtype=np.float32).reshape(4, 2)
  factors = np.arange(4.0, dtype=np.float32).reshape(4, 1)
  batch = np.arange(12.0, dtype=np.float32)
  state = layout.put_members({"w": w})
  shared = layout.put_shared(batch)
  for _ in range(3):
    state = step(state, layout.put_members(factors), shared)
  np.testing.assert_array_equal(
    layout.fetch_members(state)["w"], w + 3 * factors * batch.sum()
  )


@pytest.mark.parametrize("name", ["data", "members"])
@pytest.mark.parametrize(
  ("num_members", "num_devices"), [(1, 1), (4, 1), (4, 2), (3, 2), (1, 2)]
)
def test_a_program_for_each_member_in_turn(
  name, num_members, num_devices, caplog
):
  """The results of `map`, from a program that sees one member."""
  layout = parallel.layout(name, num_devices).of(num_members)
  w = np.arange(2.0 * num_members, dtype=np.float32).reshape(-1, 2)
  batch = np.arange(12.0, dtype=np.float32)
  seen = []

  def program(state, of_members, shared, shard, chunk):
    seen.append((state["w"].shape, chunk.shape[0]))
    found = scale_and_sum(layout)(state, of_members, shared, shard)
    return {**found, "chunk": chunk[:, 0, 0]}

  factors = np.arange(1.0, 1 + num_members, dtype=np.float32)[:, None]
  rows = np.arange(num_members)[:, None, None] + np.zeros((1, 1, 4), int)
  chunks = layout.put_batches((np.arange(10.0, 20.0),), rows)
  mapped = layout.map_each(program)
  each = layout.each(layout.put_members({"w": w}), layout.put_members(factors))
  assert len(each) == layout.members_on_each(num_members)
  with jax.log_compiles():
    for factor in (1, 2):
      started = mapped(each, layout.put_shared(factor * batch), *chunks)
      found = layout.fetch_each(started)
      np.testing.assert_array_equal(
        found["w"], w + factor * factors * batch.sum()
      )
      np.testing.assert_array_equal(found["chunk"], 10 + rows[:, 0, 0])
  assert set(seen) == {((1, 2), 1)}
  compiled = [x for x in caplog.messages if "Finished XLA compilation" in x]
  assert len(compiled) == 1


@pytest.mark.parametrize("name", ["data", "members"])
def test_a_program_is_lowered_from_shapes_as_it_is_mapped(name):
  """With shapes in place of some arrays, and no array on a device."""
  layout = parallel.layout(name, 2)
  w = np.arange(8.0, dtype=np.float32).reshape(4, 2)
  factors = np.arange(4.0, dtype=np.float32).reshape(4, 1)
  batch = np.arange(12.0, dtype=np.float32)
  compiled = layout.lower(
    scale_and_sum(layout),
    {"w": jax.ShapeDtypeStruct(w.shape, w.dtype)},
    factors,
    batch,
  ).compile()
  shards = np.arange(2, dtype=np.int32) * (name == "data")
  result = compiled(*layout.put_members(({"w": w}, factors)), batch, (shards,))
  np.testing.assert_array_equal(
    layout.fetch_members(result)["w"], w + factors * batch.sum()
  )


@pytest.mark.parametrize("name", ["data", "members"])
def test_a_program_whose_memory_is_checked_is_compiled_once(name, caplog):
  """Its steps take what the check has compiled, their own results included."""
  layout, seen = parallel.layout(name, 2), []
  step = layout.map(scale_and_sum(layout), donate=True, check=seen.append)
  w = np.arange(8.0, dtype=np.float32).reshape(4, 2)
  factors = layout.put_members(np.ones((4, 1), np.float32))
  state = layout.put_members({"w": w})
  batch = layout.put_shared(np.ones(12, np.float32))
  with jax.log_compiles():
    for _ in range(3):
      state = step(state, factors, batch)
  np.testing.assert_array_equal(layout.fetch_members(state)["w"], w + 36)
  compiled = [x for x in caplog.messages if "Finished XLA compilation" in x]
  assert len(compiled) == 1
  assert len(seen) == 1
  assert 0 <= seen[0] < 10_000


@pytest.mark.parametrize("name", ["data", "members"])
def test_fetched_arrays_do_not_change_under_the_next_step(name):
  layout = parallel.layout(name, 2)
  step = layout.map(
    lambda state, of_members, shared, shard: state + 1.0, donate=True
  )
  state = step(layout.put_members(np.zeros((4, 1000), np.float32)), (), ())
  fetched = layout.fetch_members(state)
  for _ in range(5):
    state = step(state, (), ())
  assert fetched.shape == (4, 1000)
  assert np.all(fetched == 1)


@pytest.mark.parametrize(
  ("name", "rows_of_devices"),
  [
    ("data", [[[[0], [2]], [[4], [6]]], [[[1], [3]], [[5], [7]]]]),
    ("members", [[[[0, 1], [2, 3]]], [[[4, 5], [6, 7]]]]),
  ],
)
def test_batches_go_to_the_devices_that_use_them(name, rows_of_devices):
  """Two members with two batches of two; values are the rows' indices."""
  layout = parallel.layout(name, 2)
  images = np.arange(8, dtype=np.uint8).reshape(8, 1) * [[1, 10]]
  rows = np.arange(8).reshape(2, 2, 2)
  chunks = layout.put_batches((images, np.arange(8)), rows)
  for chunk, array in zip(chunks, (images, np.arange(8)), strict=True):
    assert len(chunk.addressable_shards) == 2
    np.testing.assert_array_equal(chunk, array[np.asarray(rows_of_devices)])
  echo = layout.map(lambda state, of_members, shared, shard, chunk: chunk)
  if name == "members":
    np.testing.assert_array_equal(
      layout.fetch_members(echo((), (), (), chunks[0])), images[rows]
    )


@pytest.mark.parametrize(
  ("num_members", "num_devices"), [(1, 4), (3, 2), (3, 4), (5, 3)]
)
def test_idle_members_fill_the_devices_and_are_not_seen(
  num_members, num_devices
):
  layout = parallel.layout("members", num_devices).of(num_members)
  step = layout.map(scale_and_sum(layout), donate=True)
  w = np.arange(2.0 * num_members, dtype=np.float32).reshape(-1, 2)
  factors = np.arange(1.0, 1 + num_members, dtype=np.float32)[:, None]
  batch = np.arange(12.0, dtype=np.float32)
  state = layout.put_members({"w": w})
  on_each = layout.members_on_each(num_members)
  assert state["w"].shape == (num_devices, on_each, 2)
  assert on_each == -(-num_members // num_devices)
  # An idle member is the last one, so it is finite as long as that one is.
  idle = np.asarray(state["w"]).reshape(-1, 2)[num_members:]
  np.testing.assert_array_equal(idle, np.broadcast_to(w[-1], idle.shape))
  state = step(state, layout.put_members(factors), layout.put_shared(batch))
  np.testing.assert_array_equal(
    layout.fetch_members(state)["w"], w + factors * batch.sum()
  )


def test_batches_of_idle_members_are_put_too():
  layout = parallel.layout("members", 2).of(3)
  rows = np.arange(12).reshape(3, 2, 2)
  [chunk] = layout.put_batches((np.arange(12) * 10,), rows)
  assert chunk.shape == (2, 2, 2, 2)
  echo = layout.map(lambda state, of_members, shared, shard, chunk: chunk)
  np.testing.assert_array_equal(
    layout.fetch_members(echo((), (), (), chunk)), rows * 10
  )


@pytest.mark.parametrize("name", ["data", "members"])
def test_an_index_may_be_several_numbers(name):
  class Places:
    shape = (7, 2)

    def __getitem__(self, index):
      return index

  layout = parallel.layout(name, 2).of(2)
  index = np.arange(2 * 3 * 4 * 2).reshape(2, 3, 4, 2)
  pairs, firsts = (
    layout.put_batches((array,), rows)[0]
    for array, rows in ((Places(), index), (np.arange(48), index[..., 0]))
  )
  assert pairs.shape == (*firsts.shape, 2)
  np.testing.assert_array_equal(np.asarray(pairs)[..., 0], firsts)


def test_a_layout_of_no_population_has_no_idle_members():
  """Nobody would take them out again."""
  with pytest.raises(ValueError, match="1 idle members"):
    parallel.layout("members", 4).put_members(np.zeros((3, 2)))


def test_batches_are_rounded_up_to_whole_shards():
  assert parallel.layout("data", 4).whole_shards(100) == 100
  assert parallel.layout("data", 3).whole_shards(100) == 102
  assert parallel.layout("members", 3).whole_shards(100) == 100


def test_members_layout_communicates_nothing():
  layout = parallel.layout("members", 4)
  assert layout.num_shards == 1
  assert layout.axis_name is None


def test_one_device_has_no_axis():
  assert parallel.layout("data", 1).axis_name is None
  assert parallel.layout("data", 2).axis_name == "devices"


def test_zero_devices_mean_all_and_too_many_are_refused():
  assert len(parallel.layout("data", 0).devices) == 4
  with pytest.raises(ValueError, match="5 devices requested, but only 4"):
    parallel.layout("data", 5)


def test_one_process_does_not_wait():
  parallel.barrier("nothing to wait for")
  assert parallel.num_processes() == 1
  assert parallel.is_main_process()
