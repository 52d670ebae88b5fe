"""What the processes of a run compare; real processes, without JAX."""

import json
import pathlib
import sys

import pytest

from sr2_jax import agreement, errors
from sr2_jax.config import fields
from sr2_jax.peers import group
from tests.peers import children

NAMES = ["process 0 on a", "process 1 on b", "process 2 on c"]
COMMAND = [
  "main.py", "--config=tests/tiny.py", "--coordinator=a:1",
  "--num_processes=2", "--process_id=0",
]  # fmt: skip


def answers(*facts):
  return agreement._answers(
    facts, NAMES[: len(facts)], words=agreement._difference
  )


def test_alike_processes_are_told_nothing():
  facts = {"config.seed": 0, "list": [1, 2.5], "sr2_jax/a.py": "12"}
  assert answers(facts, json.loads(json.dumps(facts)), facts) == [[], [], []]


def test_every_difference_is_a_line_for_whom_it_concerns():
  first = {"config.seed": 0, "numpy": "2.1", "sr2_jax/a.py": "12"}
  second = {"config.seed": 1, "numpy": "2.1", "sr2_jax/a.py": "13", "new": None}
  third = {"config.seed": 0, "numpy": "2.2", "sr2_jax/a.py": "12"}
  of_second = [
    "config.seed is 0 in process 0 on a, but 1 in process 1 on b.",
    "sr2_jax/a.py in process 0 on a is not the one in process 1 on b.",
  ]
  of_third = ['numpy is "2.1" in process 0 on a, but "2.2" in process 2 on c.']
  assert answers(first, second, third) == [
    of_second + of_third, of_second, of_third,
  ]  # fmt: skip


def test_who_differs_in_nothing_is_told_who_does():
  told = answers({"a": 1}, {"a": 1}, {"a": 2})
  assert told[1] == [
    "process 2 on c: not like process 0 on a, which says in what."
  ]


def test_long_answers_are_cut():
  [lines, _] = answers(
    {f"f{n}": "x" * 1000 for n in range(50)}, {f"f{n}": 0 for n in range(50)}
  )
  assert len(lines) == 21
  assert max(map(len, lines)) < 200
  assert lines[-1] == "process 1 on b differs in 30 more."


def test_every_field_flag_and_source_file_is_compared(monkeypatch):
  """By what a run of two processes would send."""
  from sr2_jax.config import command_line

  sent = {}

  class Two(group.Alone):
    count = 2

    def consult(self, topic, value, answer):
      sent.update(value)
      return []

  monkeypatch.setattr(group, "_current", Two())
  monkeypatch.chdir(children.ROOT)
  monkeypatch.setenv("XLA_FLAGS", "--a=1")
  agreement.on_program(command_line.parse(COMMAND))
  assert {f"config.{field}" for field in fields.CHECKS} <= sent.keys()
  assert (sent["--mode"], sent["--peer_timeout"]) == ("train", 300)
  assert sent["$XLA_FLAGS"] == "--a=1"
  assert {"jax", "numpy", "flax", "Python"} <= sent.keys()
  sources = {
    str(path.relative_to(children.ROOT))
    for path in pathlib.Path(children.ROOT, "sr2_jax").rglob("*.py")
  }
  assert sources == {name for name in sent if name.endswith(".py")}
  assert json.loads(json.dumps(sent)) == sent


def ended(body, **settings):
  body = "import pathlib\nfrom sr2_jax import agreement\n" + body
  body = f"""
def act():
{"".join(f"  {line}" + chr(10) for line in body.splitlines())}
try:
  act()
except errors.DisagreementError as error:
  processes.leave(2, str(error), together=True)
"""
  return children.ended(body, body, **settings)


def test_one_folder(tmp_path):
  codes, texts = ended(f"agreement.on_folder(pathlib.Path({str(tmp_path)!r}))")
  assert codes == [0, 0], texts
  assert list(tmp_path.iterdir()) == []


def test_another_folder(tmp_path):
  for name in "01":
    (tmp_path / name).mkdir()
  codes, texts = ended(
    "agreement._SECONDS_TO_SEE = 0.2\n"
    f"agreement.on_folder(pathlib.Path({str(tmp_path)!r}) / str(index))"
  )
  assert codes == [2, 2]
  for text in texts:
    first, second = text.splitlines()
    assert first.endswith(
      f"the run folder is another one in process 1 on {children.HOST}."
    )
    assert second.startswith("--workdir has to be")
  assert str(tmp_path / "0") in texts[0]
  assert not list(tmp_path.rglob(".seen*"))


def test_other_data():
  codes, texts = ended("agreement.on_data('mnist5k', 'abc' + str(index))")
  assert codes == [2, 2]
  expected = (
    'the fingerprint of mnist5k is "abc0" in process 0 on '
    f'{children.HOST}, but "abc1" in process 1 on {children.HOST}.'
  )
  assert [text.splitlines()[0] for text in texts] == [expected] * 2


CHECKPOINTS = """
folder = pathlib.Path('runs/a/checkpoints/joint/last')
def see(*steps):
  steps = list(steps)
  return agreement.on_checkpoints(
    folder, lambda: steps[0], refresh=lambda: steps.pop(0))
"""


def test_checkpoints_that_one_process_sees_late():
  codes, texts = ended(
    f"{CHECKPOINTS}assert see([3, 6]) == [3, 6]\n"
    "assert see([[6, 9], [6]][index], [6, 9]) == [6, 9]\n"
    "assert see([[], [6]][index], []) == []"
  )
  assert codes == [0, 0], texts


def test_other_checkpoints():
  codes, texts = ended(
    f"agreement._SECONDS_TO_SEE = 0.2\n{CHECKPOINTS}"
    "see([6, 9]) if index == 0 else see(*[[6]] * 9)"
  )
  assert codes == [2, 2]
  for text in texts:
    assert text.startswith("checkpoints/joint/last is (6, 9) in process 0")
    assert "but (6,) in process 1" in text


def test_the_first_process_decides():
  codes, texts = ended(
    "found = agreement.follow('to look', {'step': 3} if not index else 'no')\n"
    "assert found == {'step': 3}"
  )
  assert codes == [0, 0], texts


@pytest.mark.parametrize("value", [None, 3])
def test_one_process_follows_itself(value):
  assert agreement.follow("to look", value) == value
  agreement.on_data("a", "b")
  agreement.on_folder(pathlib.Path("/nonexistent"))
  found = agreement.on_checkpoints(
    pathlib.Path("a"), lambda: [1], refresh=sys.exit
  )
  assert found == [1]


def test_one_process_with_too_little_memory_ends_all(monkeypatch):
  class Two(group.Alone):
    count = 2

    def names(self):
      return NAMES[:2]

    def consult(self, topic, value, answer):
      told = answer([value, []])
      assert told[0] == told[1]
      return told[1]

  agreement.on_memory([])
  with pytest.raises(errors.NoRoomError, match=r"^too large$"):
    agreement.on_memory(["too large", "too long"])
  monkeypatch.setattr(group, "_current", Two())
  agreement.on_memory([])
  with pytest.raises(errors.NoRoomError, match=r"^process 0 on a: too large$"):
    agreement.on_memory(["too large"])
