"""Defects that are planted are found, and nothing else is."""

import concurrent.futures
import json
import pathlib
import pickle
import threading

import pytest

from sr2_jax import errors
from tests.fuzz import array_kinds, cases, kinds, oracle

FILE = "folder/numbers.json"


def make(folder):
  (folder / "folder").mkdir()
  (folder / FILE).write_text('{"a": 1, "b": [2, 3]}\n')
  (folder / "folder/other.txt").write_text("other\n")


def sound(folder, _):
  """Reads the file as all programs should."""
  path = folder / FILE
  try:
    if not path.is_file():
      raise ValueError("it is no file")
    found = json.loads(path.read_text())
    return oracle.Ended(result=(found["a"], found["b"][1]))
  except (OSError, ValueError, LookupError, TypeError, RecursionError) as error:
    message = f"{path}: damaged ({str(error)[:80]!r})."
    raise errors.UserError(message) from error


def change(kind, **arguments):
  return cases.Case("it", ({"file": FILE, "kind": kind, **arguments},))


CUT = change("cut", at=4)


@pytest.fixture
def play(tmp_path):
  """What is wrong with how a target ends."""

  def play(target, case=CUT, *, limit=20, **options):
    targets = {"it": oracle.Target(target, make, **options)}
    return oracle.World(tmp_path, targets, limit=limit).play(case)

  return play


def after(target):
  """A target that is sound, and then does something else if it was not cut."""

  def play(folder, case):
    if case.changes:
      target(folder / FILE)
    return sound(folder, case)

  return play


@pytest.mark.parametrize(
  ("kind", "arguments"),
  [
    ("cut", {"at": 4}),
    ("fifo", {}),
    ("loop", {}),
    ("delete", {}),
    ("link outside", {}),
    ("move outside", {}),
    ("pickle", {}),
    ("value", {"document": 0, "at": ["c"], "to": "null"}),
    ("value", {"document": 0, "at": ["b"], "to": "deep"}),
  ],
)
def test_control_nothing_is_wrong_with_a_sound_target(play, kind, arguments):
  assert play(sound, change(kind, **arguments)) is None


def crash(path):
  raise KeyError("a")


def silent(path):
  raise errors.UserError(" ")


def vague(path):
  raise errors.UserError("Something is damaged.")


def verbose(path):
  raise errors.UserError(f"{path}\n" * 4)


def long(path):
  # A UserError cuts it.
  raise errors.DivergedError(f"{path}: {'x' * 1000}")


def colored(path):
  raise errors.DivergedError(f"{path}: \x1b[31mdamaged")


def outside(path):
  (path.parents[2] / kinds.GUARD / "other.txt").write_text("changed")


def beside(path):
  (path.parents[2] / "new").touch()


def here(path):
  pathlib.Path("new").touch()


def lost(path):
  path.with_name("other.txt").unlink()


def printed(path):
  thread = threading.Thread(target=crash, args=(path,))
  thread.start()
  thread.join()


@pytest.mark.parametrize(
  ("defect", "kind"),
  [
    (crash, "KeyError in "),
    (silent, "message: empty"),
    (vague, "message: names nothing"),
    (verbose, "message: too many lines"),
    (long, "message: too long"),
    (colored, "message: not printable"),
    (outside, "outside"),
    (beside, "outside"),
    (here, "outside"),
    (lost, "lost"),
    (printed, "a traceback is printed"),
  ],
)
def test_a_planted_defect_is_found(play, defect, kind):
  assert play(after(defect)).kind.startswith(kind)


def waits(path):
  path.read_bytes()


def waits_in_a_thread(path):
  with concurrent.futures.ThreadPoolExecutor() as pool:
    pool.submit(path.read_bytes).result()


@pytest.mark.parametrize("defect", [waits, waits_in_a_thread])
def test_who_waits_for_a_fifo_is_found(play, defect):
  problem = play(after(defect), change("fifo"), limit=0.2)
  assert problem.kind.startswith("hangs in ")


def test_a_pickle_that_is_executed_is_found(play):
  def unpickled(path):
    pickle.loads(path.read_bytes())

  problem = play(after(unpickled), change("pickle"))
  assert problem.kind == "outside"
  assert array_kinds.CANARY in problem.details


def test_who_writes_through_a_link_is_found(play):
  def written(path):
    path.write_text("{}")

  problem = play(after(written), change("link outside"))
  assert problem.kind == "outside"


def careless(folder, _):
  """A target that takes any number."""
  return oracle.Ended(result=json.loads((folder / FILE).read_text()))


OTHER = change("value", document=0, at=["a"], to="other")


def test_another_result_is_found_unless_the_file_is_data(play):
  assert play(careless, OTHER).kind == "another result"


@pytest.mark.parametrize(
  ("options", "is_found"),
  [
    ({"data": {"folder/*": "numbers"}}, False),
    ({"data": {"*.txt": "other files"}}, True),
    ({"may_go": {"folder/*": "only if it is gone"}}, True),
  ],
)
def test_what_may_be_another_result(play, options, is_found):
  assert (play(careless, OTHER, **options) is not None) == is_found


def test_an_exit_code_that_nobody_expects_is_found(play):
  def ended(folder, case):
    return oracle.Ended(1 if case.changes else 0, f"{FILE} failed")

  assert play(ended).kind == "exit code 1"


def test_a_good_folder_has_to_be_good(play):
  def refused(folder, case):
    raise errors.UserError(f"{FILE}: damaged.")

  with pytest.raises(AssertionError, match="the good it ends with"):
    play(refused)


def test_a_program_ends_as_its_user_sees_it():
  def main():
    print("a table")
    raise SystemExit(2)

  assert oracle.of_command(main) == oracle.Ended(2, "", "a table\n")
