"""Work that is ready to be timed."""

from collections.abc import Callable
from typing import Any, NamedTuple


class Prepared(NamedTuple):
  """Work for a worker to time.

  Attributes:
    work: does the work a number of times, and returns once all is done.
    facts: facts about it, for the record.
  """

  work: Callable[[int], None]
  facts: dict[str, Any]


# Prepares the work of a case.
Prepare = Callable[[dict[str, Any]], Prepared]
