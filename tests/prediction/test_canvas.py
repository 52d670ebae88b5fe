"""Pictures put together from pieces, as their files hold them."""

import numpy as np
import pytest

from sr2_jax import errors
from sr2_jax.data import image_file, pixels
from sr2_jax.prediction import canvas, image_files, results

RNG = np.random.default_rng(0)


def make(given, *, picture=None, channels=1, **options):
  options = {"kind": "png", "bits": "auto", "chroma": False} | options
  return canvas.Canvas(
    picture or image_file.Picture(given),
    given,
    scale=2,
    channels=channels,
    keep_spread=True,
    **options,
  )


def fill(made, values, *, spread=None, of_members=None):
  """Puts the values in two pieces."""
  half = values.shape[0] // 2
  for rows in (slice(0, half), slice(half, values.shape[0])):
    made.put(
      results.Piece(
        image=0,
        rows=rows,
        columns=slice(0, values.shape[1]),
        super_res=values[rows],
        spread=None if spread is None else spread[rows],
        of_members=of_members,
        is_last=rows.start > 0,
      )
    )
  return made


GIVEN = RNG.integers(0, 256, (3, 4, 1), np.uint8)
VALUES = RNG.uniform(-0.2, 1.2, (6, 8, 1)).astype(np.float32)


def test_a_file_has_rounded_values_and_an_array_those_of_the_network():
  made = fill(make(GIVEN), VALUES)
  np.testing.assert_array_equal(made.for_file(), pixels.quantized(VALUES, 8))
  array = fill(make(GIVEN, kind="npy"), VALUES).for_file()
  np.testing.assert_array_equal(array, VALUES[..., 0])
  color = np.repeat(VALUES, 3, axis=-1)
  three = fill(make(np.repeat(GIVEN, 3, -1), kind="npy", channels=3), color)
  assert three.for_file().shape == (6, 8, 3)


@pytest.mark.parametrize(
  ("bits_of_input", "bits", "expected"),
  [(8, "auto", 8), (16, "auto", 16), (16, "8", 8), (8, "16", 16)],
)
def test_bits(bits_of_input, bits, expected):
  picture = image_file.Picture(GIVEN, bits=bits_of_input)
  made = fill(make(GIVEN, picture=picture, bits=bits), VALUES)
  np.testing.assert_array_equal(
    made.for_file(), pixels.quantized(VALUES, expected)
  )
  assert made.notes == []


def test_16_bits_that_no_file_holds():
  deep = image_file.Picture(GIVEN, bits=16)
  made = make(GIVEN, picture=deep, kind="webp")
  assert made.values.dtype == np.uint8
  assert made.notes == ["16 bits: written with 8"]
  with pytest.raises(errors.UserError, match="16 bits are for gray"):
    make(np.repeat(GIVEN, 3, -1), channels=3, bits="16")


def test_alpha_is_enlarged_beside_the_colors():
  alpha = RNG.integers(0, 256, (3, 4), np.uint8)
  picture = image_file.Picture(GIVEN, alpha)
  found = fill(make(GIVEN, picture=picture), VALUES).for_file()
  np.testing.assert_array_equal(
    found[..., 0], pixels.quantized(VALUES, 8)[..., 0]
  )
  np.testing.assert_array_equal(found[..., 1], image_files.enlarged(alpha, 2))
  # An array has the network's own values and nothing else.
  made = fill(make(GIVEN, picture=picture, kind="npy"), VALUES)
  assert made.for_file().shape == (6, 8)
  assert made.notes == ["alpha: not in an array"]


def test_colors_of_a_gray_network_come_from_bicubic():
  given = RNG.integers(0, 256, (3, 4, 3), np.uint8)
  luma = pixels.with_channels(pixels.to_float(given), 1)
  enlarged = image_files.enlarged(luma[..., 0], 2)[..., None]
  found = fill(make(given, chroma=True), enlarged).for_file()
  # If the luma is bicubic as well, so is every channel.
  expected = np.stack(
    [image_files.enlarged(pixels.to_float(given)[..., i], 2) for i in range(3)],
    axis=-1,
  )
  difference = found.astype(int) - pixels.quantized(expected, 8)
  assert np.abs(difference).max() <= 1
  assert make(given).values.shape == (6, 8, 1)


def test_spread_and_members_are_kept():
  spread = RNG.random((6, 8, 1), np.float32)
  of_members = np.float32([[0.5, 0.5]])
  made = fill(make(GIVEN), VALUES, spread=spread, of_members=of_members)
  np.testing.assert_array_equal(made.spread, spread[..., 0])
  np.testing.assert_allclose(made.mean_spread, spread.mean(), rtol=1e-6)
  np.testing.assert_array_equal(made.of_members, of_members)
  assert fill(make(GIVEN), VALUES).mean_spread is None
