"""One process speaks, on standard error."""

import pytest

from sr2_jax import messages, parallel


@pytest.mark.parametrize("is_main", [True, False])
def test_one_process_speaks(monkeypatch, capsys, is_main):
  monkeypatch.setattr(parallel, "is_main_process", lambda: is_main)
  messages.say("loading")
  captured = capsys.readouterr()
  assert captured.err == ("loading\n" if is_main else "")
  assert captured.out == ""
