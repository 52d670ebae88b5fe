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


def test_a_folder_goes_on_from_its_own_list_and_from_the_one_it_has(tmp_path):
  fetched, own, other = (
    lists.FileList(number, session, {})
    for number, session in ((7, "a"), (8, "b"), (8, "c"))
  )
  assert not state.goes_on_from(tmp_path, fetched)
  state.remember(tmp_path, "b", fetched)
  assert state.goes_on_from(tmp_path, fetched)
  assert state.goes_on_from(tmp_path, own)
  assert not state.goes_on_from(tmp_path, other)


def test_what_is_not_sent(tmp_path):
  assert not state.is_unsent(tmp_path)
  state.mark(tmp_path, is_unsent=True)
  assert state.is_unsent(tmp_path)
  state.mark(tmp_path, is_unsent=False)
  assert not state.is_unsent(tmp_path)
  state.mark(tmp_path, is_unsent=True)
  state.forget(tmp_path)
  assert not state.is_unsent(tmp_path)
