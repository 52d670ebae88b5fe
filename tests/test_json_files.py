"""JSON that anybody may have written."""

import json
import os

import pytest

from sr2_jax import json_files


@pytest.mark.parametrize(
  "text",
  [
    "{}", b'{"a": [1, 2.5, null, "x"]}', "3", r'"\ud83d\ude00"', r'"\\ud800"',
    b'\xef\xbb\xbf"\xf0\x9f\x98\x80"', "[1]".encode("utf-16"),
  ],
)  # fmt: skip
def test_what_json_says(text):
  assert json_files.parse(text) == json.loads(text)


@pytest.mark.parametrize(
  "text",
  [
    "", "{", "nothing", b"\xff\xfe", b"\x00" * 9, "1" * 10_000, "-" + "1" * 400,
    "[" * 100_000, '{"a":' * 100_000, "[" * 60 + "]" * 60,
    '{"a": 1, "b": ' + '{"c":' * 60 + "1" + "}" * 61,
    r'"\ud800"', r'{"a\uDFFF": 1}', r'["\udc00\ud800"]', '"\udcff"',
    b'"\xed\xa0\x80"', r'"\ud800"'.encode("utf-16"),
  ],
)  # fmt: skip
def test_what_is_no_json_or_too_deep_is_a_value_error(text):
  with pytest.raises(ValueError):  # noqa: PT011
    json_files.parse(text)


def test_breadth_is_not_depth():
  wide = [{"a": []}] * 1000
  assert json_files.parse(json.dumps(wide)) == wide


def test_a_file_is_read_and_nothing_else(tmp_path):
  (tmp_path / "a.json").write_text('{"a": 1}')
  assert json_files.read(tmp_path / "a.json") == {"a": 1}
  os.mkfifo(tmp_path / "fifo")
  with pytest.raises(OSError, match="it is a FIFO, not a file"):
    json_files.read(tmp_path / "fifo")


def test_a_file_that_is_too_large_is_not_read(tmp_path):
  with (tmp_path / "a.json").open("wb") as file:
    file.truncate(1 << 40)  # Takes no room on the disk.
  with pytest.raises(OSError, match="1,099,511,627,776 bytes"):
    json_files.read(tmp_path / "a.json")


@pytest.mark.parametrize(("value", "whole"), [(3, 3), (3.0, 3), (-0.0, 0)])
def test_whole_numbers(value, whole):
  found = json_files.whole(value)
  assert found == whole
  assert type(found) is int


@pytest.mark.parametrize(
  "value", [3.5, float("nan"), float("inf"), True, "3", None, [3]]
)
def test_what_is_no_whole_number(value):
  with pytest.raises(ValueError, match="is not a"):
    json_files.whole(value)
