import pytest

from launch import attempts
from sr2_jax import errors

LOST = None


@pytest.mark.parametrize(
  ("codes", "end", "decided_by"),
  [
    ([0], "finished", 0),
    ([0, 0], "finished", 0),
    ([2], "failed", 2),
    ([3], "diverged", 3),
    ([4], "in use", 4),
    ([130], "preempted", 130),
    ([143], "preempted", 143),
    ([1], "crashed", 1),
    ([137], "crashed", 137),
    # A message of its own comes first, whoever ended first.
    ([5, 2], "failed", 2),
    ([134, 5, 3], "diverged", 3),
    ([5, 4], "in use", 4),
    # The dead process's own code decides, not those that it leaves behind.
    ([5, 137], "crashed", 137),
    ([5, 5, 143], "preempted", 143),
    ([0, 1], "crashed", 1),
    # The first of two that have something to say.
    ([143, 134], "preempted", 143),
    ([134, 143], "crashed", 134),
    # A lost host is no failure, whatever the others make of it.
    ([5, LOST], "preempted", None),
    ([134, LOST], "preempted", None),
    ([LOST, 2], "failed", 2),
    # Peers that never met, and no host is gone: not for ever.
    ([5, 5], "crashed", 5),
  ],
)
def test_end(codes, end, decided_by):
  assert attempts.end_of(codes, is_done=True) == (end, decided_by)


def test_ends_that_need_done():
  """Otherwise the processes wrote to another folder, or none is left."""
  assert attempts.end_of([0, 0], is_done=False) == ("failed", 0)
  assert attempts.end_of([3], is_done=False) == ("failed", 3)


def test_a_stall_is_a_crash_unless_a_process_says_more():
  def end(*codes):
    return attempts.end_of(codes, is_done=False, has_stalled=True)[0]

  assert end(137) == end(5) == end(143) == "crashed"
  assert end(2) == "failed"


def test_every_exit_code_has_a_rule():
  assert attempts.RULES.keys() == errors.MEANINGS.keys()


def test_retries_and_their_pauses():
  policy, tally = attempts.Policy(retries=2), attempts.Tally()
  pauses = []
  for _ in range(2):
    tally.started()
    tally.ended("crashed", steps=5)
    assert not policy.has_failed(tally)
    pauses.append(policy.pause(tally))
  assert pauses == [10, 60]
  assert policy.in_words(attempts.End.CRASHED, tally) == (
    "crashed, starts again in 60 s (2 of 2 retries)"
  )
  tally.ended("crashed")
  assert policy.has_failed(tally)
  tally.ended("crashed")
  assert policy.pause(tally) == 300  # and no longer
  assert attempts.Policy(retries=0).has_failed(tally)


def test_preemptions_are_not_counted_but_do_not_spin():
  policy, tally = attempts.Policy(retries=0), attempts.Tally()
  for _ in range(50):
    tally.ended("preempted", steps=1)
  assert not policy.has_failed(tally)
  assert policy.pause(tally) == 0
  tally.ended("preempted", steps=0)
  tally.ended("preempted", steps=0)
  assert policy.pause(tally) == 60
  assert policy.in_words(attempts.End.PREEMPTED, tally) == (
    "preempted, starts again in 60 s"
  )
  tally.ended("preempted", steps=1)
  assert policy.pause(tally) == 0


def test_tallies_of_events():
  def event(name, kind, **details):
    return {"run": name, "event": kind, **details}

  found = attempts.tallies(
    [
      event("a", "started", place="slice-a"),
      event("a", "ended", end="crashed", seconds=10.0, chips=4, steps=3),
      event("b", "started"),
      event("a", "started", place="slice-b"),
      event("a", "ended", end="preempted", seconds=5.0, chips=4, steps=3),
      event("b", "ended", end="crashed", seconds="?", chips=None),
      event("b", "failed"),
      event("b", "what a later version writes"),
      event("c", "started"),
    ]
  )
  a = found["a"]
  assert (a.starts, a.crashes, a.preemptions, a.in_vain) == (2, 1, 1, 0)
  assert (a.seconds, a.chip_seconds, a.place) == (15.0, 60.0, "slice-b")
  assert a.last == "preempted"
  # It has failed and the command was given again: the count is a new one.
  assert (found["b"].crashes, found["b"].last) == (0, "failed")
  assert (found["c"].starts, found["c"].last) == (1, "")


def test_pulse():
  pulse = attempts.Pulse(30.0, now=100.0)
  assert not pulse.has_stalled("a", 129.0)
  assert not pulse.has_stalled("a", 158.0)
  assert not pulse.has_stalled("b", 159.5)
  assert not pulse.has_stalled("b", 189.0)
  assert pulse.has_stalled("b", 189.5)
  never = attempts.Pulse(0.0, now=0.0)
  assert not never.has_stalled("a", 0.0)
  assert not never.has_stalled("a", 1e9)
