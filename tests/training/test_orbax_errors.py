"""What errors of orbax say in a message."""

import errno
import os
import sys

import pytest

from sr2_jax.training import orbax_errors


@pytest.mark.parametrize(
  ("error", "expected"),
  [
    (OSError(errno.ENOSPC, "No space left on device"), "No space left"),
    (
      ValueError("INTERNAL: ... [os_error_code='13']\nmore"),
      os.strerror(errno.EACCES),
    ),
    (ValueError("first line\nsecond"), "first line"),
    (KeyError(), "KeyError"),
  ],
)
def test_a_reason_is_a_line(error, expected):
  assert orbax_errors.reason(error).startswith(expected)
  assert "\n" not in orbax_errors.reason(error)


def test_the_error_of_the_system_has_its_number():
  found = orbax_errors.system_error(ValueError("os_error_code='28'"))
  assert found == (28, os.strerror(28))
  assert orbax_errors.system_error(ValueError("28")) is None


def test_what_helps_where_there_is_no_room():
  for error in (ValueError("os_error_code='27'"), OSError(errno.EFBIG, "big")):
    assert "ulimit -f" in orbax_errors.way_to_room(error)
  assert orbax_errors.way_to_room(OSError(errno.ENOSPC, "")) == "Make room"
  for error in (OSError(errno.EACCES, ""), OSError("x"), KeyError()):
    assert orbax_errors.way_to_room(error) is None


def test_only_what_orbax_abandons_is_silenced(monkeypatch):
  told = []
  monkeypatch.setattr(sys, "unraisablehook", told.append)
  orbax_errors.silence_abandoned_work.__wrapped__()

  class Unraisable:
    def __init__(self, error):
      self.exc_value = error

  sys.unraisablehook(Unraisable(RuntimeError("Event loop is closed")))
  assert not told
  sys.unraisablehook(Unraisable(ValueError("loop is closed")))
  assert len(told) == 1
