"""Something that is ready to be timed."""

from collections.abc import Callable
from typing import Any, NamedTuple


class Prepared(NamedTuple):
  """What a worker times.

  Attributes:
    work: does it so many times, and returns when all is done.
    facts: about it, for the record.
  """

  work: Callable[[int], None]
  facts: dict[str, Any]


# Makes it ready, from the settings of a case.
Prepare = Callable[[dict[str, Any]], Prepared]
