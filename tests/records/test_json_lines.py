import json
import math

import pytest

from sr2_jax.records import json_lines


def test_a_line_is_strict_json():
  fields = {"é": "é", "a": 1, "b": 0.1, "c": math.nan, "d": -math.inf}
  line = json_lines.dump(fields)
  assert line == '{"é": "é", "a": 1, "b": 0.1, "c": null, "d": null}\n'
  assert json.loads(line)["b"] == 0.1


def test_a_line_is_an_object():
  assert json_lines.parse(b'{"a": 1}') == {"a": 1}
  for line in ("[]", "3", "null", '{"a": ', "[" * 10_000):
    with pytest.raises(ValueError):  # noqa: PT011
      json_lines.parse(line)
