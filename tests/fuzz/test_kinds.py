"""Changes: each one can be drawn, says what it does, and does it again."""

import json
import pathlib
import random
import shutil

import numpy as np
import pytest

from tests import tiny_predictor
from tests.fuzz import cases, draws, folders, kinds, odd, oracle


def make(folder):
  tiny_predictor.write(folder / "run", seeds=(0, 1))
  folders.image(folder / "images/a.png", 0)
  folders.image(folder / "images/b.png", 1)
  np.savez(folder / "a.npz", numbers=np.arange(3.0), texts=np.array("a"))
  (folder / "b.npz").write_bytes(b"no archive")
  (folder / "a.jsonl").write_text('{"a": 1}\n{"b": {"c": [1, "x"]}}\n')
  (folder / "a.json").write_text('{"a": [true, null]}\n')
  (folder / ("ab" * 8)).write_text("a random name")


@pytest.fixture(scope="module")
def good(tmp_path_factory):
  folder = tmp_path_factory.mktemp("good")
  make(folder)
  return folder


def drawn(good, kind):
  """A change of a kind, for the first path that takes it."""
  rng = random.Random(0)
  for path in sorted(good.rglob("*")):
    arguments = kinds.KINDS[kind].draw(rng, path)
    if arguments is not None:
      file = path.relative_to(good).as_posix()
      return {"file": file, "kind": kind, **arguments}
  raise AssertionError(f"{kind} is for nothing")


def files(folder):
  return oracle._files(folder)


@pytest.mark.parametrize("kind", kinds.KINDS)
def test_a_kind_changes_something(good, tmp_path, kind):
  (tmp_path / kinds.GUARD).mkdir()
  case = tmp_path / "case"
  shutil.copytree(good, case)
  kinds.change(case, [drawn(good, kind)])
  assert files(case) != files(good)


def test_a_case_says_all_that_is_done(good, tmp_path):
  """Played from its text, it does the same."""
  targets = {"it": oracle.Target(None, lambda x: shutil.copytree(
    good, x, dirs_exist_ok=True))}  # fmt: skip
  world = oracle.World(tmp_path, targets)
  for number in range(25):
    case = draws.case(world, targets, "it", 0, number)
    assert case == draws.case(world, targets, "it", 0, number)
    found = []
    for changes in (case.changes, cases.parse(str(case)).changes):
      folder = tmp_path / "case"
      shutil.rmtree(folder, ignore_errors=True)
      shutil.rmtree(tmp_path / kinds.ELSEWHERE, ignore_errors=True)
      shutil.copytree(world.good("it"), folder)
      kinds.change(folder, changes)
      found.append(files(folder))
    assert found[0] == found[1], case


def test_names_that_are_random_are_in_no_case(good):
  assert "*" in kinds.files(good)
  change = kinds.draw(random.Random(0), good, "*")
  assert change["file"] == "*"
  assert kinds._found(good, "*", change["place"]) == good / ("ab" * 8)


def test_a_case_is_the_same_whatever_is_random_in_a_folder(tmp_path):
  """Names, numbers, sizes and lines of files differ between machines."""

  def draw(seed):
    rng = random.Random(seed)

    def fill(folder):
      make(folder)
      # They would be before, between and after the other files.
      for number in range(2 + seed):
        (folder / rng.randbytes(16).hex()).write_bytes(rng.randbytes(99 * seed))
        (folder / f"images/a{rng.randbytes(8).hex()}").write_text(str(number))
      for path in (folder / "a.json", folder / "run/notes.txt"):
        with path.open("a") as file:
          file.write("\n" * rng.randrange(1, 9))

    targets = {"it": oracle.Target(None, fill)}
    (tmp_path / str(seed)).mkdir()
    world = oracle.World(tmp_path / str(seed), targets)
    return [draws.case(world, targets, "it", 0, x) for x in range(200)]

  drawn = draw(1)
  assert {"*", "images/*"} & {y["file"] for x in drawn for y in x.changes}
  assert draw(2) == drawn
  assert draw(3) == drawn


def test_a_change_does_not_follow_a_link(good, tmp_path):
  """What an earlier change has linked to is not the target's."""
  case, guard = tmp_path / "case", tmp_path / kinds.GUARD
  shutil.copytree(good, case)
  guard.mkdir()
  (guard / "other.json").write_text("{}")
  some = ("link outside", "no permission", "empty", "delete")
  kinds.change(case, [{"file": "a.json", "kind": kind} for kind in some])
  assert files(guard) == {"other.json": files(guard)["other.json"]}
  assert (guard / "other.json").read_text() == "{}"
  assert (case / "a.json").is_symlink()


@pytest.mark.parametrize("kind", ["dangling link", "fifo", "loop"])
def test_what_cannot_be_copied_is_left_out(good, tmp_path, kind):
  """Of a folder all else is copied, and in the place of a file is nothing."""
  case = tmp_path / "case"
  shutil.copytree(good, case)
  spoil = {"file": "images/a.png", "kind": kind}
  folder = {"file": "run", "kind": "copy", "with": "images"}
  file = {"file": "images/b.png", "kind": "copy", "with": "a.png"}
  kinds.change(case, [spoil, folder, file])
  assert (case / "run/b.png").is_file()
  assert not (case / "images/b.png").exists()


def test_cases_are_kept_once(tmp_path):
  first = cases.Case("it", ({"file": "a", "kind": "cut", "at": 1},), why="x")
  second = cases.Case("it", words=("--a=\udcff\x1b",))
  assert cases.keep(first, tmp_path)
  assert cases.keep(second, tmp_path)
  assert not cases.keep(first, tmp_path)
  assert cases.kept(tmp_path) == [first, second]
  assert len((tmp_path / "it.json").read_text().splitlines()) == 4


def test_odd_values_are_what_they_are_called():
  for name, text in odd.AS_JSON.items():
    # Python refuses these by itself.
    if name not in ("deep", "deep objects", "10**5000"):
      json.loads(text)
  assert odd.typed("--a=<300 letters>") == f"--a={'x' * 300}"


def test_kept_cases_name_kinds_and_targets():
  from tests.fuzz import targets

  for case in cases.kept():
    target = targets.TARGETS[case.target]
    assert bool(case.words) == (target.draw_words is not None), case
    for change in case.changes:
      assert change["kind"] in kinds.KINDS
      assert not pathlib.PurePath(change["file"]).is_absolute()
