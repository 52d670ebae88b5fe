from sr2_jax.buckets import lists, state


def test_what_is_remembered(tmp_path):
  assert state.remembered(tmp_path) is None
  state.remember(tmp_path, "a", None)
  assert state.remembered(tmp_path) == ("a", (0, ""))
  state.remember(tmp_path, "b", lists.FileList(7, "a", {}))
  assert state.remembered(tmp_path) == ("b", (7, "a"))
  (tmp_path / ".mirror/state.json").write_text("{")
  assert state.remembered(tmp_path) is None
  state.forget(tmp_path)
  state.forget(tmp_path)


def test_what_is_not_sent(tmp_path):
  assert not state.is_unsent(tmp_path)
  state.mark(tmp_path, is_unsent=True)
  assert state.is_unsent(tmp_path)
  state.mark(tmp_path, is_unsent=False)
  assert not state.is_unsent(tmp_path)
  state.mark(tmp_path, is_unsent=True)
  state.forget(tmp_path)
  assert not state.is_unsent(tmp_path)
