"""A case: what is done to a good folder or command; and those that are kept.

A case says everything in a few words, so that it can be read, typed and kept:

  {"target": "report", "changes": [{"file": "run/results.jsonl", "kind": "cut",
                                    "at": 7}]}

`file` is a path in the target's folder. `kind` is a key of `kinds.KINDS`; what
else a change has are its arguments. Targets that are no folders have `words`
instead, the arguments of a command.
"""

import dataclasses
import json
import pathlib
from collections.abc import Iterable, Mapping
from typing import Any

CORPUS = pathlib.Path(__file__).parent / "corpus"


@dataclasses.dataclass(frozen=True)
class Case:
  """What is played.

  Attributes:
    target: a key of `targets.TARGETS`.
    changes: of files, in their order.
    words: of a command.
    why: what it once found, if it is kept.
  """

  target: str
  changes: tuple[Mapping[str, Any], ...] = ()
  words: tuple[str, ...] = ()
  why: str = ""

  def __str__(self) -> str:
    fields = {name: x for name, x in vars(self).items() if x}
    return json.dumps(fields)


def parse(text: str) -> Case:
  """The case that `str` has written."""
  return of_fields(json.loads(text))


def of_fields(fields: Mapping[str, Any]) -> Case:
  return Case(
    fields["target"],
    tuple(fields.get("changes", ())),
    tuple(fields.get("words", ())),
    fields.get("why", ""),
  )


def kept(corpus: pathlib.Path | None = None) -> list[Case]:
  """All cases of a corpus, which has a file for each target."""
  corpus = corpus or CORPUS
  return [
    of_fields(fields)
    for path in sorted(corpus.glob("*.json"))
    for fields in json.loads(path.read_text())
  ]


def keep(case: Case, corpus: pathlib.Path | None = None) -> bool:
  """Adds a case to a corpus; False if it is there."""
  corpus = corpus or CORPUS
  of_target = [x for x in kept(corpus) if x.target == case.target]
  same = [x for x in of_target if x.changes == case.changes]
  if any(x.words == case.words for x in same):
    return False
  name = case.target.replace(" ", "_")
  _write(corpus / f"{name}.json", [*of_target, case])
  return True


def _write(path: pathlib.Path, cases: Iterable[Case]) -> None:
  lines = ",\n".join(map(str, cases))
  path.write_text(f"[\n{lines}\n]\n")
