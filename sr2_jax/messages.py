"""Messages to the person who watches a run."""

import sys

from sr2_jax import parallel


def say(text: str) -> None:
  """Prints a line on standard error, from one process of the run."""
  if parallel.is_main_process():
    print(text, file=sys.stderr, flush=True)
