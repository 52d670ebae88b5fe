"""How images are divided into calls of few programs."""

import numpy as np

from sr2_jax.prediction import calls


def plan(sizes, *, tiles=None, channels=1, members=1, batch=None, planner=None):
  planner = planner or calls.Planner(
    radius=10, channels=channels, members=members
  )
  images = [np.zeros((*size, 1), np.uint8) for size in sizes]
  found = list(
    planner.calls(
      images,
      classify=[False] * len(images),
      tiles=tiles or [0] * len(images),
      batch=batch,
    )
  )
  seen = sorted(part.image for call in found for part in call.parts)
  assert sorted(set(seen)) == list(range(len(images)))
  return planner, found


def test_images_of_one_size_have_a_program_of_their_own():
  planner, found = plan([(7, 7)] * 1100)
  assert [len(call.parts) for call in found] == [512, 512, 76]
  assert {call.size for call in found} == {512}
  assert planner.num_programs == 1
  assert found[0].kind == calls.Kind((7, 7), False, False, False)


def test_a_hundred_images_of_twelve_sizes_share_a_program():
  sizes = [(1 + i % 12, 16 - i % 5) for i in range(100)]
  planner, [call] = plan(sizes)
  assert planner.num_programs == 1
  assert call.kind == calls.Kind((16, 16), True, False, False)
  for part, size in zip(call.parts, sizes, strict=True):
    # Each image ends in the corner.
    assert np.add(part.start, size).tolist() == [16, 16]


def test_a_frequent_size_is_worth_a_program():
  _, found = plan([(7, 7)] * 64 + [(8, 8)])
  shapes = {(call.kind.shape, call.kind.is_placed) for call in found}
  assert shapes == {((7, 7), False), ((16, 16), True)}


def test_a_compiled_batch_is_filled_up_if_little_is_wasted():
  planner, _ = plan([(7, 7)] * 16)
  _, [call] = plan([(7, 7)] * 5, planner=planner)
  assert call.size == 16
  _, [call] = plan([(7, 7)], planner=planner)
  assert call.size == 1
  assert planner.num_programs == 2


def test_batches_fit_into_memory_and_into_what_was_asked_for():
  for size, members, most in (
    ((7, 7), 1, 512),
    ((256, 256), 1, 4),
    ((256, 256), 4, 1),
    ((900, 900), 1, 1),
  ):
    _, found = plan([size] * 8, members=members)
    assert max(len(call.parts) for call in found) == min(8, most)
  _, found = plan([(7, 7)] * 8, batch=3)
  assert [len(call.parts) for call in found] == [3, 3, 2]
  assert {call.size for call in found} == {3}


def test_tiles_of_all_images_have_one_size():
  _, found = plan([(300, 400), (256, 500)], tiles=[256, 256])
  assert {call.kind for call in found} == {
    calls.Kind((256, 256), False, False, False)
  }
  parts = [part for call in found for part in call.parts]
  assert [part.image for part in parts if part.is_last] == [0, 1]
  # An image that is narrower than a tile lies in maps of its own height.
  _, found = plan([(7, 400)], tiles=[256])
  assert {call.kind.shape for call in found} == {(16, 256)}


def test_what_is_kept_goes_where_it_belongs():
  _, found = plan([(50, 30)], tiles=[32])
  low_res = np.arange(50 * 30).reshape(50, 30)
  result = np.full((100, 60), -1)
  for call in found:
    for part in call.parts:
      rows, columns = part.window.rows, part.window.columns
      maps = np.zeros(call.kind.shape, int)
      maps[part.start[0] :, part.start[1] :] = low_res[
        rows.first : rows.first + rows.size,
        columns.first : columns.first + columns.size,
      ]
      outer, inner = part.kept(2)
      result[outer] = np.kron(maps, np.ones((2, 2), int))[inner]
  np.testing.assert_array_equal(result, np.kron(low_res, np.ones((2, 2), int)))


def test_a_gray_image_in_an_rgb_network_is_another_program():
  _, [call] = plan([(7, 7)], channels=3)
  assert call.kind.averaged
