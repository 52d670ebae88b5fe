import random
import signal
import threading

import pytest

from sr2_jax.peers import stopping


def make_steps():
  return stopping.Steps(threading.Condition())


def test_without_a_signal_steps_are_counted():
  steps = make_steps()
  assert [steps.after_step() for _ in range(3)] == [None] * 3
  assert steps.received() is None
  steps.after_step()
  assert steps.hold(signal.SIGTERM) == 4


def test_outside_of_training_nothing_has_to_be_finished():
  steps = make_steps()
  assert steps.hold(signal.SIGTERM) == 0
  steps = make_steps()
  steps.after_step()
  steps.received()
  assert steps.hold(signal.SIGTERM) == 0


def after_an_answer(steps, go_on, *, last):
  """What `go_on` gives after a step was answered; waits for the last step."""
  steps.after_step()
  assert steps.hold(signal.SIGINT) == 1
  found = []
  thread = threading.Thread(target=lambda: found.append(go_on()))
  thread.start()
  thread.join(0.2)
  assert thread.is_alive()
  steps.stop_after(last)
  thread.join(10)
  return found


def test_who_has_answered_ends_no_step_until_all_have():
  steps = make_steps()
  assert after_an_answer(steps, steps.after_step, last=3) == [None]
  assert steps.after_step() == signal.SIGINT
  assert steps.received() == signal.SIGINT


def test_who_has_answered_evaluates_nothing_until_all_have():
  steps = make_steps()
  found = after_an_answer(steps, steps.received, last=2)
  assert found == [signal.SIGINT]


@pytest.mark.parametrize(
  ("done", "last"), [([0, 0], 0), ([4, 5], 6), ([0, 3, 1], 0), ([1], 2)]
)
def test_the_last_step(done, last):
  assert stopping.last_step(done) == last


def test_all_stop_after_the_same_step_whenever_the_signal_comes():
  """Processes as threads, of any speed; a step starts with all of them."""
  for seed in range(20):
    random.seed(seed)
    processes = [make_steps() for _ in range(3)]
    together = threading.Barrier(3, timeout=20)
    stopped = {}

    def train(index, processes=processes, together=together, stopped=stopped):
      for step in range(1, 10_000):
        together.wait()
        threading.Event().wait(random.random() * 0.002)
        if processes[index].after_step():
          stopped[index] = step
          return

    threads = [threading.Thread(target=train, args=(k,)) for k in range(3)]
    for thread in threads:
      thread.start()
    threading.Event().wait(0.01 + random.random() * 0.02)
    while not all(steps._done for steps in processes):
      threading.Event().wait(0.001)
    done = []
    for steps in processes:
      done.append(steps.hold(signal.SIGTERM))
      threading.Event().wait(random.random() * 0.003)
    last = stopping.last_step(done)
    for steps in processes:
      steps.stop_after(last)
    for thread in threads:
      thread.join(20)
    assert stopped == dict.fromkeys(range(3), last)


def test_names_of_signals():
  assert stopping.name(signal.SIGINT) == "Ctrl-C"
  assert stopping.name(15) == "SIGTERM"
