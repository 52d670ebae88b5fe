"""One process speaks, on standard error, and goes on."""

import pytest

from sr2_jax import errors, messages, parallel


@pytest.mark.parametrize("is_main", [True, False])
def test_one_process_speaks(monkeypatch, capsys, is_main):
  monkeypatch.setattr(parallel, "is_main_process", lambda: is_main)
  messages.say("loading")
  captured = capsys.readouterr()
  assert captured.err == ("loading\n" if is_main else "")
  assert captured.out == ""


@pytest.mark.parametrize("error", [ValueError("no ink\nleft"), MemoryError()])
def test_what_only_shows_a_run_may_fail(capsys, error):
  with messages.going_without("a picture"):
    raise error
  reason = errors.in_words(error)
  assert reason in ("ValueError: no ink left", "MemoryError")
  expected = f"note: going on without a picture ({reason})\n"
  assert capsys.readouterr().err == expected


def test_ctrl_c_is_no_such_failure():
  with pytest.raises(KeyboardInterrupt), messages.going_without("a picture"):
    raise KeyboardInterrupt
