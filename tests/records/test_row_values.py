"""What the fields of a row hold, however they were written."""

import math

import numpy as np
import pytest

from sr2_jax.records import row_values


@pytest.mark.parametrize(
  ("kind", "value", "expected"),
  [
    (int, np.int64(3), 3),
    (float, np.float32(0.5), 0.5),
    (float, 1, 1.0),
    (str, "mnist", "mnist"),
    (row_values.OfClasses, [1, np.nan, None], (1.0, None, None)),
  ],
)
def test_values_become_pythons_own(kind, value, expected):
  found = row_values.own("field", kind, value)
  assert (found, type(found)) == (expected, type(expected))


@pytest.mark.parametrize(
  ("kind", "value"),
  [
    (int, 1.0),
    (int, True),
    (str, 1),
    (float, "1"),
    (float, math.nan),
    (float, -math.inf),
    (float, -1e-9),
    (int, -1),
    (int, np.int64(-5)),
    (int, 2**63),
    (row_values.OfClasses, 0.5),
    (row_values.OfClasses, "12"),
    (row_values.OfClasses, [True]),
  ],
)
def test_others_are_refused_with_their_field(kind, value):
  with pytest.raises(ValueError, match=r"^field is "):
    row_values.own("field", kind, value)


@pytest.mark.parametrize("value", [math.inf, -math.inf, -0.5])
def test_what_was_measured_may_be_any_number(value):
  assert row_values.own("value", float, value) == value


@pytest.mark.parametrize(
  ("kinds", "value", "expected"),
  [
    ((int,), 600.0, 600),
    ((int,), 0.5, 0.5),
    ((int, type(None)), math.nan, None),
    ((float, type(None)), math.nan, None),
    ((float, type(None)), 9.0, 9.0),
    ((str,), "a", "a"),
    ((), 1.0, 1.0),
  ],
)
def test_tables_of_other_programs(kinds, value, expected):
  found = row_values.as_written(kinds, value)
  assert (found, type(found)) == (expected, type(expected))


def test_a_field_that_may_not_be_none_stays_nan():
  assert math.isnan(row_values.as_written((float,), math.nan))
