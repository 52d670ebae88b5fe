"""An engine in a process of its own.

Ray ends a process whose cluster is gone without an exception. The sweep has to
outlive that, to say what has become of the runs.
"""

import ctypes
import os
import pickle
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Sequence
from typing import Any

from launch import engine
from launch import jobs as jobs_lib
from sr2_jax import errors

_POLL_SECONDS = 0.2
_WITHOUT_A_WORD = (
  "The engine has ended without a word: the head of the cluster is gone, or "
  "the memory was full."
)
_DIE_WITH_PARENT = 1  # PR_SET_PDEATHSIG


class NoOutcomesError(Exception):
  """An engine has ended and not said what has become of the runs."""


def run(
  work: Callable[[], list[engine.Outcome]], signals: engine.Signals
) -> list[engine.Outcome]:
  """What `work` returns in a child process.

  Args:
    work: calls an engine with these signals.
    signals: already listening; the child gets them as well.

  Raises:
    UserError: if it raises one.
    NoOutcomesError: if it raises anything else, or the process has just ended;
      says which.
  """
  with tempfile.TemporaryFile() as file:
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
      _work(work, file)
    num_passed_on = len(signals.received)
    while os.waitpid(child, os.WNOHANG) == (0, 0):
      for number in signals.received[num_passed_on:]:
        os.kill(child, number)
        num_passed_on += 1
      time.sleep(_POLL_SECONDS)
    file.seek(0)
    try:
      answer = pickle.load(file)
    except EOFError:
      raise NoOutcomesError(_WITHOUT_A_WORD) from None
  if isinstance(answer, Exception):
    raise answer
  return answer


def _work(work: Callable[[], list[engine.Outcome]], file: Any) -> None:
  """The child's whole life."""
  code = 1
  try:
    # A terminal's Ctrl-C comes from the parent only.
    os.setsid()
    if sys.platform == "linux":
      ctypes.CDLL(None).prctl(_DIE_WITH_PARENT, signal.SIGKILL)
    try:
      answer: Any = work()
    except errors.UserError as error:
      answer = error
    except Exception as error:
      traceback.print_exc()
      first = "".join(traceback.format_exception_only(error)).splitlines()[0]
      answer = NoOutcomesError(f"The engine has failed: {first}")
    pickle.dump(answer, file)
    file.flush()
    code = 0
  except BaseException:
    traceback.print_exc()
  finally:
    sys.stderr.flush()
    os._exit(code)


def outcomes_without_it(
  jobs: Sequence[jobs_lib.Job],
) -> list[engine.Outcome]:
  """The outcomes of jobs whose engine has ended, by their folders."""
  return [
    engine.without_a_start(job)
    or engine.Outcome(
      job.name,
      engine.State.STOPPED
      if job.folder.has_begun
      else engine.State.NOT_STARTED,
    )
    for job in jobs
  ]
