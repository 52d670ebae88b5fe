import contextlib
import shutil
import socket
import subprocess
import sys

import jax
import numpy as np
import optax
import orbax.checkpoint as ocp
import pytest

from sr2_jax import errors
from sr2_jax.training import checkpoint, file_list, optimizer, steps


def make_state(value):
  params = {
    "shared": {"kernel": np.full((2, 3), value, np.float32)},
    "sr": {"kernel": np.full((4,), value, np.float32)},
  }
  opt = optimizer.create(
    {"shared": 1e-3, "sr": 0.0},
    b1=0.9,
    b2=0.999,
    eps=1e-7,
    l2_scope="kernels",
    l2_exempt=frozenset(),
  )
  state = steps.TrainState(
    params=params, batch_stats={}, opt_state=opt.init(params)
  )
  return jax.tree.map(np.asarray, state)


def counted(state, step):
  """The state with this step as Adam's count."""

  def change(path, leaf):
    is_count = getattr(path[-1], "name", None) == "count"
    return np.full_like(leaf, step) if is_count else leaf

  return jax.tree_util.tree_map_with_path(change, state)


def saved(folder, values, *, keep=3):
  """Checkpoints of the steps 10, 20, ... that hold these values."""
  checkpoints = checkpoint.Checkpoints(folder, keep=keep)
  for number, value in enumerate(values, 1):
    checkpoints.save(10 * number, make_state(value))
  checkpoints.wait()
  return checkpoints


def largest_file(folder):
  files = [path for path in folder.rglob("*") if path.is_file()]
  return max(files, key=lambda path: path.stat().st_size)


def damage_all_data(folder, change):
  """Applies `change` to the files that hold a checkpoint's arrays."""
  files = [p for p in folder.glob("state/**/d/*") if p.is_file()]
  assert files
  for path in files:
    path.write_bytes(change(path.read_bytes()))


def test_restores_bit_for_bit(tmp_path):
  checkpoints = saved(tmp_path / "last", [1.5, 1 / 3])
  step, state = checkpoints.restore_latest(make_state(0.0))
  expected = make_state(1 / 3)
  assert step == 20
  assert jax.tree.structure(state) == jax.tree.structure(expected)
  jax.tree.map(np.testing.assert_array_equal, state, expected)
  assert all(type(leaf) is np.ndarray for leaf in jax.tree.leaves(state))


def test_no_checkpoint_is_none_and_creates_nothing_when_read_only(tmp_path):
  folder = tmp_path / "last"
  empty = checkpoint.Checkpoints(folder, read_only=True)
  assert empty.restore_latest(make_state(0.0)) is None
  assert not folder.exists()


def test_the_form_of_a_state_is_made_only_if_there_is_a_checkpoint(tmp_path):
  calls = []

  def make():
    calls.append(1)
    return make_state(0.0)

  empty = checkpoint.Checkpoints(tmp_path / "none", read_only=True)
  assert empty.restore_latest(make) is None
  assert not calls
  step, state = saved(tmp_path / "last", [1.0]).restore_latest(make)
  assert (step, len(calls)) == (10, 1)
  jax.tree.map(np.testing.assert_array_equal, state, make_state(1.0))


def test_keeps_the_latest(tmp_path):
  checkpoints = saved(tmp_path / "last", [1.0, 2.0, 3.0, 4.0], keep=2)
  checkpoints.save(50, make_state(5.0))
  checkpoints.close()
  assert checkpoint.Checkpoints(tmp_path / "last", keep=2).steps == [40, 50]


def test_saves_in_quick_succession_leave_exactly_those_to_keep(tmp_path):
  """Orbax deletes old ones in the background, while the next is begun."""
  checkpoints = checkpoint.Checkpoints(tmp_path / "last", keep=2)
  for step in range(1, 25):
    checkpoints.save(step, make_state(float(step)))
  checkpoints.wait()
  found = sorted(path.name for path in (tmp_path / "last").iterdir())
  assert found == ["00000023", "00000024"]
  assert checkpoints.steps == [23, 24]


def test_a_write_never_begins_before_the_one_before_it_is_over(
  tmp_path, monkeypatch
):
  """And the folder is not read again, where orbax may be deleting."""
  checkpoints = checkpoint.Checkpoints(tmp_path / "last", keep=1)
  manager, calls = checkpoints._manager, []

  def noted(name, call):
    def wrapper(*args, **kwargs):
      calls.append((name, kwargs.get("read", False)))
      return call(*args, **kwargs)

    return wrapper

  for name in ("wait_until_finished", "all_steps", "save"):
    monkeypatch.setattr(manager, name, noted(name, getattr(manager, name)))
  checkpoints.save(1, make_state(1.0))
  assert calls[0] == ("wait_until_finished", False)
  assert ("all_steps", True) not in calls
  checkpoints.close()


# Limits the size of a file, as a full disk would, in a process of its own.
FULL_DISK = """
import resource, sys, time
import numpy as np
from sr2_jax import errors
from sr2_jax.training import checkpoint

checkpoints = checkpoint.Checkpoints(__import__("pathlib").Path(sys.argv[1]))
noise = np.random.default_rng(0).normal(size=(60, 400, 300))
tree = {f"array {index}": array for index, array in enumerate(noise)}
checkpoints.save(1, tree)
checkpoints.wait()
resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))
checkpoints.save(2, tree)
try:
  while True:
    checkpoints.check()
    time.sleep(0.01)
except errors.UserError as error:
  print(error, file=sys.stderr)
  sys.exit(error.exit_code)
"""


def test_a_write_that_fails_is_an_error_of_two_lines(tmp_path):
  """Found without waiting for it; the checkpoint before it stays."""
  folder = tmp_path / "last"
  done = subprocess.run(
    [sys.executable, "-c", FULL_DISK, str(folder)],
    capture_output=True,
    text=True,
    timeout=120,
    check=False,
  )
  assert done.returncode == 2, done.stderr
  first, second = done.stderr.splitlines()
  assert first == f"{folder}: a checkpoint cannot be written (File too large)."
  assert second.startswith("Allow larger files (ulimit -f); the same c")
  assert checkpoint.Checkpoints(folder, read_only=True).steps == [1]


@pytest.mark.parametrize(
  ("error", "reason"),
  [
    (OSError(28, "No space left on device"), "No space left on device"),
    (ValueError("first line\nsecond"), "first line"),
    (Exception(), "Exception"),
  ],
)
@pytest.mark.parametrize("at", ["save", "wait_until_finished", "close"])
def test_whatever_orbax_raises_on_writing_is_named(
  tmp_path, monkeypatch, error, reason, at
):
  checkpoints = checkpoint.Checkpoints(tmp_path / "last")

  def fail(*_, **__):
    raise error

  with monkeypatch.context() as patch:
    patch.setattr(checkpoints._manager, at, fail)
    arguments = (1, make_state(1.0)) if at == "save" else ()
    method = {"wait_until_finished": "wait"}.get(at, at)
    with pytest.raises(errors.UserError) as caught:
      getattr(checkpoints, method)(*arguments)
  assert f"{tmp_path / 'last'}: " in str(caught.value)
  assert f"({reason})" in str(caught.value)
  assert str(caught.value).count("\n") == 1
  checkpoints.close()


def test_saving_a_step_again_changes_nothing(tmp_path):
  checkpoints = saved(tmp_path / "last", [1.0])
  checkpoints.save(10, make_state(7.0))
  checkpoints.wait()
  _, state = checkpoints.restore_latest(make_state(0.0))
  assert np.all(state.params["sr"]["kernel"] == 1)


@pytest.mark.parametrize(
  "change",
  [
    pytest.param(lambda data: b"", id="empty"),
    pytest.param(lambda data: data[: len(data) // 2], id="truncated"),
    pytest.param(
      lambda data: data[:-40] + bytes([data[-40] ^ 1]) + data[-39:],
      id="one bit flipped",
    ),
  ],
)
def test_damaged_data_is_named_and_the_one_before_is_used(
  tmp_path, capfd, change
):
  folder = tmp_path / "last"
  saved(folder, [1.0, 2.0]).close()
  damage_all_data(folder / "00000020", change)
  checkpoints = checkpoint.Checkpoints(folder, keep=2)
  step, state = checkpoints.restore_latest(make_state(0.0))
  assert step == 10
  assert np.all(state.params["sr"]["kernel"] == 1)
  assert str(folder / "00000020") in capfd.readouterr().err
  # It is out of the way of the same step, which comes again, and not lost.
  assert (tmp_path / "damaged" / "last_00000020").is_dir()
  checkpoints.save(20, make_state(2.5))
  checkpoints.wait()
  assert checkpoints.restore_latest(make_state(0.0))[0] == 20


def test_every_flipped_byte_of_the_arrays_is_noticed(tmp_path):
  """Orbax itself would restore some of these silently."""
  folder = tmp_path / "last"
  saved(folder, [1 / 3]).close()
  expected = make_state(1 / 3)
  path = largest_file(folder / "00000010" / "state")
  original = path.read_bytes()
  noticed = 0
  for position in range(0, len(original), max(1, len(original) // 40)):
    data = bytearray(original)
    data[position] ^= 0x10
    path.write_bytes(bytes(data))
    checkpoints = checkpoint.Checkpoints(folder, read_only=True)
    try:
      state = checkpoints.restore(10, expected)
    except ValueError:
      noticed += 1
    else:  # Not a byte of an array: nothing may have changed.
      jax.tree.map(np.testing.assert_array_equal, state, expected)
  assert noticed > 0


@pytest.mark.parametrize("name", ["state/manifest.ocdbt", "state/_METADATA"])
def test_damaged_metadata_are_noticed(tmp_path, name):
  folder = tmp_path / "last"
  saved(folder, [1.0]).close()
  checkpoints = checkpoint.Checkpoints(folder, read_only=True)
  path = folder / "00000010" / name
  path.write_bytes(b"garbage")
  with pytest.raises(ValueError, match=f"sha256 of {name} differs"):
    checkpoints.restore(10, make_state(0.0))
  path.unlink()
  with pytest.raises(ValueError, match=f"{name} is missing"):
    checkpoints.restore(10, make_state(0.0))


@pytest.mark.parametrize("text", ["[]", '{"performance_metrics": 0.5}'])
def test_notes_of_orbax_that_are_damaged_are_named(tmp_path, text):
  """It believes them when it opens the folder; no restore needs them."""
  folder = tmp_path / "last"
  saved(folder, [0.5]).close()
  path = folder / "00000010" / "_CHECKPOINT_METADATA"
  path.write_text(text)
  with pytest.raises(errors.UserError, match="_CHECKPOINT_METADATA") as caught:
    checkpoint.Checkpoints(folder)
  assert str(caught.value).count("\n") == 1
  path.unlink()
  step, _ = checkpoint.Checkpoints(folder).restore_latest(make_state(0.0))
  assert step == 10


def test_arrays_of_another_step_are_noticed(tmp_path):
  """Orbax would restore them silently: each file is a good one."""
  folder = tmp_path / "last"
  saved(folder, [1.0, 2.0]).close()
  shutil.rmtree(folder / "00000020" / "state")
  shutil.copytree(folder / "00000010" / "state", folder / "00000020" / "state")
  checkpoints = checkpoint.Checkpoints(folder, read_only=True)
  with pytest.raises(ValueError, match=r"missing|differs"):
    checkpoints.restore(20, make_state(0.0))


def test_older_checkpoints_are_restored_and_verified(tmp_path):
  """They have a second item, the sha256 of every array."""
  folder, state = tmp_path / "last", counted(make_state(1 / 3), 10)
  with ocp.CheckpointManager(
    folder,
    item_names=("state", "manifest"),
    options=ocp.CheckpointManagerOptions(step_format_fixed_length=8),
  ) as manager:
    manager.save(
      10,
      args=ocp.args.Composite(
        state=ocp.args.StandardSave(state),
        manifest=ocp.args.JsonSave({"['sr']": "0123"}),
      ),
    )
  file_list.write(folder / "00000010")
  checkpoints = checkpoint.Checkpoints(folder)
  step, restored = checkpoints.restore_latest(make_state(0.0))
  assert step == 10
  jax.tree.map(np.testing.assert_array_equal, restored, state)
  (folder / "00000010" / "manifest" / "metadata").write_bytes(b"garbage")
  with pytest.raises(ValueError, match="sha256 of manifest/metadata differs"):
    checkpoints.restore(10, make_state(0.0))
  checkpoints.save(20, make_state(2.0))
  checkpoints.close()
  assert checkpoint.Checkpoints(folder).restore_latest(state)[0] == 20


@pytest.mark.parametrize(
  ("done", "is_right"), [(10, True), (9, True), (11, False), (8, False)]
)
def test_an_older_checkpoint_under_another_steps_name(tmp_path, done, is_right):
  """Adam counts its steps; where a member has diverged, one less."""
  folder, state = tmp_path / "last", counted(make_state(1.0), done)
  checkpoints = checkpoint.Checkpoints(folder)
  checkpoints.save(10, state)
  checkpoints.wait()
  shutil.rmtree(folder / "00000010" / "identity")
  file_list.write(folder / "00000010")
  if is_right:
    checkpoints.restore(10, state)
    return
  with pytest.raises(ValueError, match=f"it is of step {done}"):
    checkpoints.restore(10, state)


def test_all_damaged_stops_and_moves_nothing(tmp_path):
  folder = tmp_path / "last"
  saved(folder, [1.0, 2.0]).close()
  for step in (10, 20):
    damage_all_data(folder / f"{step:08d}", lambda data: b"")
  with pytest.raises(errors.UserError, match="no good checkpoint is left"):
    checkpoint.Checkpoints(folder, keep=2).restore_latest(make_state(0.0))
  assert checkpoint.Checkpoints(folder, keep=2).steps == [10, 20]


@pytest.mark.parametrize(
  ("where", "error", "reason"),
  [
    ("hashlib.file_digest", OSError(5, "Input/output error"), "Input/output"),
    ("os.scandir", OSError(13, "Permission denied"), "Permission denied"),
    ("orbax", OSError(24, "Too many open files"), "Too many open files"),
    ("orbax", MemoryError(), "MemoryError"),
    ("orbax", RuntimeError("can't start new thread"), "can't start new"),
    ("orbax", ValueError("... [os_error_code='24']"), "Too many open files"),
    ("hashlib.file_digest", MemoryError(), "MemoryError"),
  ],
)
def test_what_cannot_be_read_now_is_not_damaged(
  tmp_path, monkeypatch, where, error, reason
):
  folder = tmp_path / "last"
  saved(folder, [1.0, 2.0]).close()
  checkpoints = checkpoint.Checkpoints(folder, keep=2)

  def fail(*_, **__):
    raise error

  with monkeypatch.context() as patched:
    is_orbax = where == "orbax"
    target = "orbax.checkpoint.Checkpointer.restore" if is_orbax else where
    patched.setattr(target, fail)
    with pytest.raises(errors.UserError, match=reason) as caught:
      checkpoints.restore_latest(make_state(0.0))
  assert str(folder / "00000020") in str(caught.value)
  assert str(caught.value).count("\n") == 1
  assert checkpoints.restore_latest(make_state(0.0))[0] == 20


# One of two processes cannot read the newest checkpoint, then finds it damaged.
PAIR = """
import pathlib, sys
from sr2_jax import cluster, errors, parallel
from sr2_jax.peers import group, meeting
from sr2_jax.training import checkpoint, file_list

rank, port, folder = int(sys.argv[1]), sys.argv[2], pathlib.Path(sys.argv[3])
group.join(meeting.Place(f"localhost:{port}", 2, rank, 60, 30))
cluster.initialize(group.current())
import numpy as np

tree = {"a": np.full((3, 2), 7, np.float32)}
checkpoints = checkpoint.Checkpoints(folder, keep=2)
for step in (10, 20):
  checkpoints.save(step, tree)
checkpoints.wait()
verify = file_list.verify


def failing(error):
  def fail(folder):
    if folder.name == "00000020" and rank == 1:
      raise error
    verify(folder)

  return fail


file_list.verify = failing(OSError(5, "Input/output error"))
try:
  checkpoints.restore_latest(tree)
except errors.UserError as error:
  print(str(error).splitlines()[0])
file_list.verify = failing(ValueError("one bit has flipped"))
try:
  checkpoints.restore(20, tree)
except ValueError as error:
  print(error)
step, restored = checkpoints.restore_latest(tree)
print(step, restored["a"].sum(), checkpoints.steps)
if rank == 1:
  checkpoint.Checkpoints.steps = []
try:
  checkpoints.restore_latest(tree)
except errors.DisagreementError as error:
  print(str(error).splitlines()[0])
group.current().leave(0, together=True)
"""


def test_several_processes_take_the_same_checkpoint(tmp_path):
  folder = tmp_path / "last"
  with socket.socket() as listener:
    listener.bind(("localhost", 0))
    port = str(listener.getsockname()[1])
  with contextlib.ExitStack() as stack:
    processes = [
      stack.enter_context(
        subprocess.Popen(
          [sys.executable, "-c", PAIR, str(rank), port, str(folder)],
          stdout=subprocess.PIPE,
          stderr=subprocess.PIPE,
          text=True,
        )
      )
      for rank in range(2)
    ]
    for process in processes:
      stack.callback(process.kill)
    texts = [process.communicate(timeout=120) for process in processes]
  for (out, err), reason, fault in zip(
    texts,
    ("by another process", "Input/output error"),
    ("another process finds it damaged", "one bit has flipped"),
    strict=True,
  ):
    assert "Traceback" not in err, err
    # Gloo prints a line before these.
    first, of_step, second, other = out.splitlines()[-4:]
    assert other.startswith("checkpoints/")
    assert "/last is (10,) in process 0 on" in other
    assert "but () in process 1 on" in other
    assert of_step == fault
    assert first.endswith(
      f"00000020: this checkpoint cannot be read ({reason})."
    )
    assert second == "10 42.0 [10]"
  assert "another process finds it damaged" in texts[0][1]
  assert (tmp_path / "damaged" / "last_00000020").is_dir()


def test_other_arrays_are_an_error(tmp_path):
  checkpoints = saved(tmp_path / "last", [1.0])
  other = make_state(0.0)
  other.params["sr"]["kernel"] = np.zeros((5,), np.float32)
  with pytest.raises(ValueError, match=r"\(4,\), not float32 \(5,\)"):
    checkpoints.restore(10, other)
  other.params["sr"]["kernel"] = np.zeros((4,), np.int32)
  with pytest.raises(ValueError, match=r"float32 \(4,\), not int32 \(4,\)"):
    checkpoints.restore(10, other)
  other.params["sr"]["renamed"] = other.params["sr"].pop("kernel")
  with pytest.raises(ValueError, match="are not those of this network"):
    checkpoints.restore(10, other)


def test_read_only_leaves_an_unfinished_save_alone(tmp_path):
  folder = tmp_path / "last"
  saved(folder, [1.0]).close()
  unfinished = folder / "00000020.orbax-checkpoint-tmp"
  unfinished.mkdir()
  assert checkpoint.Checkpoints(folder, read_only=True).steps == [10]
  assert unfinished.is_dir()
  # Another writer clears it away, in the background, before it saves.
  checkpoints = checkpoint.Checkpoints(folder, keep=1)
  assert checkpoints.steps == [10]
  checkpoints.save(20, make_state(2.0))
  checkpoints.close()
  assert not unfinished.exists()
  assert checkpoints.steps == [20]


def test_optimizer_state_of_this_test_is_not_trivial():
  """Otherwise a checkpoint that lost it would pass above."""
  state = make_state(1.0)
  assert optax.tree.norm(state.params) > 0
  assert len(jax.tree.leaves(state.opt_state)) >= 3


@pytest.mark.parametrize(
  "name", ["run[1]", "[!a]", "lr=[1e-3]", "a*b", "a**b", "a?b", "{a,b} ü%20#"]
)
def test_names_of_folders_are_no_patterns(tmp_path, name):
  """Orbax would match them, and find nothing or the files of another run."""
  for other in ("run1", "aXb"):
    saved(tmp_path / other / "last", [0.25])
  saved(tmp_path / name / "last", [0.5, 1.5])
  opened = checkpoint.Checkpoints(tmp_path / name / "last", read_only=True)
  step, state = opened.restore_latest(make_state(0.0))
  assert step == 20
  np.testing.assert_array_equal(state.params["sr"]["kernel"], [1.5] * 4)


def test_a_link_and_two_dots_lead_where_the_system_says(tmp_path):
  (tmp_path / "elsewhere" / "deep").mkdir(parents=True)
  (tmp_path / "link").symlink_to(tmp_path / "elsewhere" / "deep")
  folder = tmp_path / "link" / ".." / "run"
  saved(folder, [0.5])
  opened = checkpoint.Checkpoints(folder, read_only=True)
  step, _ = opened.restore_latest(make_state(0.0))
  assert step == 10
  assert (tmp_path / "elsewhere" / "run" / "00000010").is_dir()
  assert not (tmp_path / "run").exists()
