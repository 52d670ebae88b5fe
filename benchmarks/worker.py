"""A process that measures one side, a key of `SIDES`, on request.

JAX and PyTorch each keep a pool of threads. They run in separate processes, one
of which waits while the other works, so that neither disturbs the other.
Requests and answers are JSON lines on standard input and output:

  {"do": "prepare", "name": NAME, "kind": KIND, "case": {...}}  -> facts, a dict
  {"do": "run", "name": NAME, "count": N}                       -> seconds
  {"do": "clear"}                                               -> null

An answer is {"answer": ...} or {"error": "one line"}.
"""

import gc
import importlib
import json
import os
import sys
import time
import traceback
from typing import Any

from benchmarks import prepared
from sr2_jax import cpu_tuning

# Modules with functions that prepare work, by side.
SIDES = {
  "ours": "benchmarks.ours",
  "theirs": "benchmarks.theirs",
  "theirs_on_gpu": "benchmarks.gpu.theirs",
}


class Worker:
  """Prepared work, by name.

  Args:
    kinds: functions that prepare work, by kind.
  """

  def __init__(self, kinds: dict[str, prepared.Prepare]) -> None:
    self._kinds = kinds
    self._prepared: dict[str, prepared.Prepared] = {}

  def answer(self, request: dict[str, Any]) -> Any:
    """The answer to one request."""
    match request["do"]:
      case "prepare":
        ready = self._kinds[request["kind"]](request["case"])
        self._prepared[request["name"]] = ready
        return ready.facts
      case "run":
        work = self._prepared[request["name"]].work
        begin = time.perf_counter()
        work(request["count"])
        return time.perf_counter() - begin
      case "clear":
        self._prepared.clear()
        gc.collect()
        return None
      case unknown:
        raise ValueError(f"a worker does not know how to {unknown}")


def main(side: str) -> None:
  """Answers requests until standard input ends."""
  # Keep what libraries print out of the answers.
  answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", buffering=1)
  os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
  if side == "ours":
    cpu_tuning.prepare()  # As sr2_jax.main does.
  worker = Worker(importlib.import_module(SIDES[side]).KINDS)
  for line in sys.stdin:
    try:
      answer = {"answer": worker.answer(json.loads(line))}
    except Exception as error:
      traceback.print_exc()
      answer = {"error": " ".join(f"{type(error).__name__}: {error}".split())}
    answers.write(json.dumps(answer) + "\n")


if __name__ == "__main__":
  main(sys.argv[1])
