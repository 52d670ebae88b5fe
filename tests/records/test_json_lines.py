import json
import math

from sr2_jax.records import json_lines


def test_a_line_is_strict_json():
  fields = {"é": "é", "a": 1, "b": 0.1, "c": math.nan, "d": -math.inf}
  line = json_lines.dump(fields)
  assert line == '{"é": "é", "a": 1, "b": 0.1, "c": null, "d": null}\n'
  assert json.loads(line)["b"] == 0.1
