"""Changes of files of JSON, whole or with an object on each line."""

import json
import pathlib
import random
from collections.abc import Callable
from typing import Any

from tests.fuzz import odd

# Stands in a file for a value that Python's json would not write.
_HERE = "@here@"
Place = list[Any]


def _documents(path: pathlib.Path) -> list[Any] | None:
  """The objects of a file, with or without lines; None if it is none."""
  if not path.is_file():
    return None
  try:
    text = path.read_text()
    if path.suffix != ".jsonl" and path.name != "DONE":
      return [json.loads(text)]
    return [json.loads(line) for line in text.splitlines()] or None
  except ValueError:
    return None


def places(tree: Any, above: Place = []) -> list[Place]:  # noqa: B006
  """Where the values of a tree are, each as the keys that lead there."""
  found = [above] if above else []
  if isinstance(tree, dict):
    for name, value in tree.items():
      found += places(value, [*above, name])
  elif isinstance(tree, list):
    for index, value in enumerate(tree[:20]):
      found += places(value, [*above, index])
  return found


def value_at(tree: Any, at: Place) -> Any:
  """The value at a place."""
  for step in at:
    tree = tree[step]
  return tree


def changed(tree: Any, at: Place, to: str) -> str:
  """A tree as JSON with an odd value at a place, if it has that place."""
  tree = json.loads(json.dumps(tree))
  try:
    value_at(tree, at)
  except (LookupError, TypeError):
    return json.dumps(tree)
  holder = value_at(tree, at[:-1])
  match to:
    case "dropped":
      del holder[at[-1]]
      return json.dumps(tree)
    case "doubled":
      holder[_HERE] = _HERE
      text, name = json.dumps(tree), json.dumps(at[-1])
      return text.replace(f'"{_HERE}": "{_HERE}"', f"{name}: null")
    case "added":
      holder["odd"] = 1
      return json.dumps(tree)
    case "other":
      holder[at[-1]] = _other(holder[at[-1]])
      return json.dumps(tree)
  holder[at[-1]] = _HERE
  return json.dumps(tree).replace(f'"{_HERE}"', odd.AS_JSON[to])


def _other(value: Any) -> Any:
  """Another value of the same type."""
  match value:
    case bool():
      return not value
    case int() | float():
      return value + 1
    case str():
      return f"{value}x"
    case list():
      return value[:-1] if value else [0]
  return value


def draw_value(rng: random.Random, tree: Any) -> dict[str, Any] | None:
  """A place in a tree, and what is to be there."""
  found = places(tree)
  if not found:
    return None
  at = rng.choice(found)
  ways = [*odd.AS_JSON, "dropped", "other", "other"]
  if isinstance(value_at(tree, at[:-1]), dict):
    ways += ["doubled", "added"]
  return {"at": at, "to": rng.choice(ways)}


def _draw(rng: random.Random, path: pathlib.Path) -> dict[str, Any] | None:
  documents = _documents(path)
  if not documents:
    return None
  number = rng.randrange(len(documents))
  value = draw_value(rng, documents[number])
  return value and {"document": number, **value}


def _draw_whole(
  rng: random.Random, path: pathlib.Path
) -> dict[str, Any] | None:
  documents = _documents(path)
  if not documents:
    return None
  return {
    "document": rng.randrange(len(documents)),
    "to": rng.choice(list(odd.AS_JSON)),
  }


def _rewrite(
  path: pathlib.Path, document: int, by: Callable[[Any], str]
) -> None:
  documents = _documents(path)
  if documents is None or document >= len(documents):
    return
  lines = [json.dumps(x) for x in documents]
  lines[document] = by(documents[document])
  path.write_text("\n".join(lines) + "\n")


def _value(path: pathlib.Path, *, document: int, at: Place, to: str) -> None:
  _rewrite(path, document, lambda tree: changed(tree, at, to))


def _whole(path: pathlib.Path, *, document: int, to: str) -> None:
  _rewrite(path, document, lambda _: odd.AS_JSON[to])


KINDS = {"value": (_draw, _value), "document": (_draw_whole, _whole)}
