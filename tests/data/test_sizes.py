"""Sizes as fields have them."""

import pytest

from sr2_jax.data import sizes


def test_sides():
  assert sizes.sides_of("32x16") == (32, 16)
  assert sizes.sides_of("") is None
  assert sizes.named((32, 16, 3)) == "32x16"


@pytest.mark.parametrize(
  ("how", "size", "takes"),
  [
    ("refuse", (8, 6), True),
    ("refuse", (8, 5), False),
    ("crop", (9, 6), True),
    ("crop", (9, 5), False),
    ("pad", (8, 5), True),
    ("pad", (9, 5), False),
    ("resize", (9, 5), True),
  ],
)
def test_which_sizes_a_way_takes(how, size, takes):
  assert sizes.takes(size, (8, 6), how=how) == takes
