"""What run folders tell of members that diverged."""

import json

import pytest

from sr2_jax.records import divergence, metrics_log
from sr2_jax.records import rows as rows_lib


def member(seed, l2=0.01, loss_weight=None):
  return rows_lib.Member(seed=seed, l2=l2, loss_weight=loss_weight)


def end(phase, step, *identity):
  return divergence.Divergence(phase=phase, step=step, member=member(*identity))


def line(phase, step, *identity, **fields):
  of = member(*identity)
  return {
    "kind": "train",
    "phase": phase,
    "step": step,
    "seed": of.seed,
    "l2": of.l2,
    "loss_weight": of.loss_weight,
    "loss": 0.5,
    **fields,
  }


def write(folder, *lines):
  writer = metrics_log.Writer(folder, tensorboard=False)
  writer.write(lines)
  writer.close()


def test_the_last_lines_of_members_are_found(tmp_path):
  assert divergence.read(tmp_path) == []
  write(
    tmp_path,
    line("pretrain", 3, 0),
    line("pretrain", 4, 1, diverged_at=4, loss=float("nan")),
    line("joint", 2, 0, 0.1, 9.0),
    line("joint", 5, 0, 0.1, 0.11, diverged_at=5),
  )
  first, second = end("pretrain", 4, 1), end("joint", 5, 0, 0.1, 0.11)
  assert divergence.read(tmp_path) == [first, second]
  for until, expected in (
    (("pretrain", 3), []),
    (("pretrain", 4), [first]),
    (("joint", 4), [first]),
    (("joint", 5), [first, second]),
  ):
    assert divergence.read(tmp_path, until=until) == expected


def test_damaged_lines_tell_nothing(tmp_path):
  write(tmp_path, line("pretrain", 4, 1, diverged_at=4))
  path = tmp_path / "metrics.jsonl"
  good = path.read_bytes()
  path.write_bytes(
    good.replace(b"pretrain", b"elsewhere")
    + b'{"diverged_at": 7}\n["diverged_at"]\n'
    + good
    + good[:-9]
  )
  assert divergence.read(tmp_path) == [end("pretrain", 4, 1)]


@pytest.mark.parametrize(
  ("phase", "identity", "expected"),
  [
    ("pretrain", (1, 0.01, None), True),
    ("pretrain", (2, 0.01, None), False),
    ("pretrain", (1, 0.1, None), False),
    # What starts from it.
    ("joint", (1, 0.01, 9.0), True),
    ("joint", (1, 0.01, 0.11), True),
    ("joint", (1, 0.1, 9.0), False),
  ],
)
def test_pretraining_that_diverged_ends_what_starts_from_it(
  phase, identity, expected
):
  assert end("pretrain", 4, 1).ends(phase, member(*identity)) == expected


def test_a_member_of_joint_ends_alone():
  found = end("joint", 4, 1, 0.01, 9.0)
  assert found.ends("joint", member(1, 0.01, 9.0))
  assert not found.ends("joint", member(1, 0.01, 0.11))
  assert not found.ends("pretrain", member(1))


def test_done_lists_every_member(tmp_path):
  members = [member(seed, 0.01, 9.0) for seed in (0, 1, 2)]
  ends = [end("joint", 5, 2, 0.01, 9.0), end("pretrain", 4, 1)]
  written = divergence.lines_of_done("joint", members, ends)
  assert [json.loads(text) for text in written.splitlines()] == [
    {"seed": 0, "l2": 0.01, "loss_weight": 9.0},
    {"seed": 1, "l2": 0.01, "loss_weight": 9.0}
    | {"phase": "pretrain", "diverged_at": 4},
    {"seed": 2, "l2": 0.01, "loss_weight": 9.0}
    | {"phase": "joint", "diverged_at": 5},
  ]
  assert divergence.read_done(tmp_path) == []
  write(tmp_path, line("pretrain", 4, 1, diverged_at=4))
  assert divergence.of_run(tmp_path) == [end("pretrain", 4, 1)]
  (tmp_path / "DONE").write_bytes(written)
  listed = [end("pretrain", 4, 1, 0.01, 9.0), end("joint", 5, 2, 0.01, 9.0)]
  assert divergence.read_done(tmp_path) == listed
  assert divergence.of_run(tmp_path) == listed
  (tmp_path / "DONE").write_bytes(b"")  # of an older version
  assert divergence.read_done(tmp_path) == []


def test_a_member_in_words():
  assert str(end("pretrain", 1234, 1, 3e38)) == (
    "seed 1, L2 3e+38: step 1,234 of pretrain"
  )
  assert str(end("joint", 7, 0, 1e-5, 0.0)) == (
    "seed 0, L2 1e-05, λ 0: step 7 of joint"
  )
