"""Labels from a table, and the choice of classes."""

import pytest

from sr2_jax import errors
from sr2_jax.data import class_names


def read(tmp_path, text, encoding="utf-8"):
  path = tmp_path / "labels.csv"
  path.write_text(text, encoding=encoding)
  return class_names.read(path)


@pytest.mark.parametrize(
  "text",
  [
    "file,label\nx/1.png,cat\n2.png,dog\n",
    "file,label\r\nx/1.png,cat\r\n2.png,dog\r\n",
    "label;file;by\ncat;x/1.png;me\ndog;2.png;you\n",
    "File\tLabel\nx\\1.png\tcat\n2.png\tdog\n2.png\tdog\n",
    'file, label\n"x/1.png", "cat"\n\n2.png, dog\n',
  ],
)
def test_tables_of_several_programs(tmp_path, text):
  expected = {"x/1.png": "cat", "2.png": "dog"}
  assert read(tmp_path, text) == (expected, ())
  assert read(tmp_path, text, "utf-8-sig") == (expected, ())


def test_lines_end_where_the_table_says(tmp_path):
  text = 'file,label\r1.png,a\u2028b\r2.png,"c\nd"\r\n3.png,e\x85f\n'
  expected = {"1.png": "a\u2028b", "2.png": "c\nd", "3.png": "e\x85f"}
  path = tmp_path / "labels.csv"
  path.write_bytes(text.encode())
  assert class_names.read(path) == (expected, ())


def test_names_with_commas_and_accents(tmp_path):
  text = 'file,label\n"a,b.png","Zürich, ZH"\n'
  assert read(tmp_path, text).classes == {"a,b.png": "Zürich, ZH"}


@pytest.mark.parametrize(
  ("text", "classes", "problem"),
  [
    ("file,label\n", {}, "names no files"),
    (
      "file,label\n1.png,\n,cat\n2.png\n3.png,a\n",
      {"3.png": "a"},
      "3 of 4 lines without a",
    ),
    ("file,label\n/etc/1.png,a\n", {}, "1 of 1 lines with a path that is not"),
    ("file,label\n../1.png,a\n", {}, "not below config.data.path: line 2"),
    ("file,label\n1.png,a\n./1.png,b\n", {"1.png": "a"}, "line 3 (1.png)"),
  ],
)
def test_mistakes_in_a_table_are_named(tmp_path, text, classes, problem):
  found = read(tmp_path, text)
  assert found.classes == classes
  (told,) = found.problems
  assert told.startswith("config.data.labels=")
  assert problem in told
  assert len(told.splitlines()) <= 2


def test_all_kinds_of_mistakes_are_told(tmp_path):
  lines = "file,label\n1.png,a\n1.png,b\n/2.png,a\n3.png,\n"
  assert len(read(tmp_path, lines).problems) == 3


@pytest.mark.parametrize(
  ("text", "problem"),
  [
    ("", "its first line"),
    ("name,class\n1.png,cat\n", "name the columns file and label"),
  ],
)
def test_a_table_without_the_columns(tmp_path, text, problem):
  with pytest.raises(errors.UserError, match=problem):
    read(tmp_path, text)


def test_a_table_that_cannot_be_read(tmp_path):
  with pytest.raises(errors.UserError, match="No such file"):
    class_names.read(tmp_path / "none.csv")


@pytest.mark.parametrize(
  ("text", "encoding", "problem"),
  [
    ("Zürich.png,a", "latin-1", r"no text in UTF-8 \(byte 12\)"),
    ("1.png,a", "utf-16", "it is text in UTF-16"),
    ("Zürich.png,a", "utf-32", "it is text in UTF-16"),  # It begins alike.
    ("1.png,a", "utf-16-le", "byte 1 is zero"),
    ("1.png,a", "utf-16-be", "byte 0 is zero"),
    ("1\0.png,a", "utf-8", "byte 12 is zero"),
    ("1.png,a\0", "utf-8-sig", "byte 21 is zero"),
    # What a loss of power may leave.
    ("1.png,a\n" + 99 * "\0", "utf-8", "byte 19 is zero"),
  ],
)
def test_a_table_that_is_no_utf8_is_named(tmp_path, text, encoding, problem):
  with pytest.raises(errors.UserError, match=problem) as caught:
    read(tmp_path, f"file,label\n{text}\n", encoding)
  assert str(caught.value).startswith("config.data.labels=")
  assert "; save it as CSV UTF-8." in str(caught.value)


ALL = ("car", "cat", "dog", "hare")


@pytest.mark.parametrize(
  ("text", "expected"),
  [
    ("", {x: x for x in ALL}),
    ("*", {x: x for x in ALL}),
    ("cat, dog", {"cat": "cat", "dog": "dog"}),
    ("-car", {"cat": "cat", "dog": "dog", "hare": "hare"}),
    ("-car,-hare", {"cat": "cat", "dog": "dog"}),
    ("pet=cat+dog,hare", {"cat": "pet", "dog": "pet", "hare": "hare"}),
    (
      "pet=cat + dog,-car,*",
      {"cat": "pet", "dog": "pet", "hare": "hare"},
    ),
    ("auto=car", {"car": "auto"}),
  ],
)
def test_choices(text, expected):
  assert class_names.choice(text, ALL) == expected


def test_names_with_the_signs_of_the_syntax():
  names = ("-1", "a=b", "c+d")
  assert class_names.choice("-1,a=b", names) == {"-1": "-1", "a=b": "a=b"}
  assert class_names.choice("--1", names) == {"a=b": "a=b", "c+d": "c+d"}


@pytest.mark.parametrize(
  ("text", "problem"),
  [
    ("cow", 'in "cow" there is no class "cow"'),
    ("pet=cat+cow", 'in "pet=cat\\+cow" there is no class "cow"'),
    ("-cow", 'there is no class "cow"'),
    ("cat,", 'in "" there is no class ""'),
    ("cat,pet=cat+dog", '"cat" is named twice'),
    ("=cat+dog", "the new name is missing"),
    ("-cat,-dog,-car,-hare", "every class is left out"),
  ],
)
def test_mistakes_in_a_choice_name_the_classes(text, problem):
  with pytest.raises(errors.UserError, match=problem) as caught:
    class_names.choice(text, ALL)
  assert str(caught.value).endswith("The classes are car, cat, dog, hare.")


def test_a_quotation_mark_that_is_never_closed(tmp_path):
  text = 'file,label\n1.png,a\n"' + 200_000 * "x" + "\n"
  with pytest.raises(errors.UserError) as caught:
    read(tmp_path, text)
  assert "is a quotation mark never closed?" in str(caught.value)
  assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("names", ["bcdefg", ["-b", "x=y", "*", "b c"]])
def test_advice_on_classes_to_leave_out_works(names):
  advice = class_names.without(list(names))
  text = advice.partition("config.data.classes=")[2]
  assert class_names.choice(text, ["a", *names]) == {"a": "a"}


@pytest.mark.parametrize("name", ["a,b", " a", "a\n"])
def test_no_advice_that_cannot_be_written(name):
  assert "config.data.classes" not in class_names.without(["b", name])
