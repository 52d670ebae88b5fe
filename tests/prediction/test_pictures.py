"""Pictures for people: their scale is fixed and nothing is cut off."""

import numpy as np
from PIL import Image, ImageColor

from sr2_jax.prediction import pictures

LOW, MIDDLE, HIGH = (
  np.array(ImageColor.getrgb(color))
  for color in (pictures._LOW, pictures._MIDDLE, pictures._HIGH)
)


def test_the_scale_of_disagreement_is_fixed():
  """The same value has the same color, whatever else is in the picture."""
  half = np.full((4, 4), pictures.FULL_SCALE / 2, np.float32)
  beside = np.hstack([half, np.zeros((4, 4), np.float32)])
  alone = np.asarray(pictures.heat(half))
  np.testing.assert_array_equal(
    np.asarray(pictures.heat(beside))[:, 0], alone[:, 0]
  )
  assert np.abs(alone[0, 0].astype(int) - MIDDLE).max() <= 2
  for value, color in ((0, LOW), (0.25, HIGH), (9, HIGH)):
    drawn = np.asarray(pictures.heat(np.full((3, 3), value, np.float32)))
    np.testing.assert_array_equal(drawn[1, 1], color)


def test_a_single_pixel_is_averaged_with_its_neighbors():
  spread = np.zeros((5, 5), np.float32)
  spread[2, 2] = 9 * pictures.FULL_SCALE
  drawn = np.asarray(pictures.heat(spread))
  is_light = (drawn == HIGH).all(axis=-1)
  expected = np.zeros((5, 5), bool)
  expected[1:4, 1:4] = True
  np.testing.assert_array_equal(is_light, expected)


def ink_at_the_edge(page):
  pixels = np.asarray(page)
  return any(
    (edge != 255).any()
    for edge in (pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1])
  )


def test_pages_show_everything_that_is_in_them():
  gray = Image.new("L", (7, 7), 99)
  large = Image.new("RGB", (28, 28), (1, 2, 3))
  page = pictures.side_by_side(
    [
      pictures.Panel("input, 7x7", gray),
      pictures.Panel("a title that is much wider than its panel is", large),
      pictures.Panel("x4", large, "reads 7 (93%)"),
    ]
  )
  assert not ink_at_the_edge(page)
  found = np.asarray(page).reshape(-1, 3)
  # Both sizes are drawn at 8 times 28 pixels.
  assert (found == 99).all(axis=-1).sum() >= 224**2  # And edges of letters.
  assert (found == (1, 2, 3)).all(axis=-1).sum() == 2 * 224**2
  for side in (1, 28, 300, 3000):
    spread = np.full((side, side // 2 + 1), 0.1, np.float32)
    drawn = pictures.disagreement(spread, seeds=3)
    assert not ink_at_the_edge(drawn)
    assert max(drawn.size) < 1300


def test_values_are_drawn_without_alpha():
  for channels, mode in ((1, "L"), (2, "L"), (3, "RGB"), (4, "RGB")):
    values = np.zeros((2, 3, channels), np.uint8)
    assert pictures.of_values(values).mode == mode


def test_texts_have_no_characters_that_the_font_lacks():
  assert pictures.plain("SR² Zürich 7×7 好") == "SR2 Zurich 7?7 ?"
