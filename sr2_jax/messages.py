"""Messages to the person who watches a run."""

import contextlib
import sys
from collections.abc import Iterator

from sr2_jax import errors, parallel


def say(text: str) -> None:
  """Prints a line on standard error, from one process of the run."""
  if parallel.is_main_process():
    print(text, file=sys.stderr, flush=True)


@contextlib.contextmanager
def going_without(what: str) -> Iterator[None]:
  """Does without what only shows a run, such as a picture, if it fails.

  Args:
    what: it is, as in "the pictures of joint".
  """
  try:
    yield
  except Exception as error:
    say(f"note: going on without {what} ({errors.in_words(error)})")
