"""Which calls are traced, and that a trace never costs a run."""

import contextlib
import types

import jax
import jax.numpy as jnp
import pytest

from sr2_jax import parallel
from sr2_jax.training import trace as trace_lib


def make(folder, wanted, *, first_step=0, num_steps=20):
  """A trace of a phase of 20 steps."""
  config = types.SimpleNamespace(
    log=types.SimpleNamespace(profile_steps=wanted)
  )
  run = types.SimpleNamespace(
    config=config, folder=types.SimpleNamespace(path=folder)
  )
  phase = types.SimpleNamespace(name="joint", num_steps=num_steps)
  return trace_lib.Trace(
    run, types.SimpleNamespace(phase=phase, step=first_step)
  )


@pytest.fixture
def profiler(monkeypatch):
  """What is asked of JAX's profiler."""
  asked = []

  def start(path, *, create_perfetto_trace):
    assert create_perfetto_trace
    asked.append(path)

  monkeypatch.setattr(jax.profiler, "start_trace", start)
  monkeypatch.setattr(jax.profiler, "stop_trace", lambda: asked.append("stop"))
  return asked


def train(trace, profiler, *, calls=5, first=0):
  """Calls of 4 steps; what the profiler had been asked for in each of them."""
  during = []
  with contextlib.closing(trace):
    for number in range(first, calls):
      call, devices = range(4 * number, 4 * number + 4), jnp.zeros(3)
      trace.before(call, devices)
      during.append(len(profiler))
      trace.after(call, devices)
  return during


@pytest.mark.parametrize(
  ("wanted", "traced", "steps"),
  [
    ((1, 4), [1], "step 1 to step 4"),
    ((4, 5), [1, 2], "step 1 to step 8"),
    ((5, 8), [2], "step 5 to step 8"),
    ((6, 7), [2], "step 5 to step 8"),
    ((7, 15), [2, 3, 4], "step 5 to step 16"),
    ((18, 99), [5], "step 17 to the end of training"),
  ],
)
def test_whole_calls_are_traced(
  tmp_path, profiler, capsys, wanted, traced, steps
):
  during = train(make(tmp_path, wanted), profiler)
  assert [i for i, count in enumerate(during, 1) if count == 1] == traced
  path = tmp_path / "profile" / "joint"
  assert profiler == [path, "stop"]
  assert capsys.readouterr().err == f"traced from {steps}: {path}\n"


def test_a_resumed_run_traces_what_is_left(tmp_path, profiler, capsys):
  trace = make(tmp_path, (2, 11), first_step=8)
  assert train(trace, profiler, first=2) == [1, 2, 2]
  assert "from step 9 to step 12" in capsys.readouterr().err


@pytest.mark.parametrize(("wanted", "first_step"), [((21, 30), 0), ((1, 8), 8)])
def test_steps_outside_the_run_are_one_line(
  tmp_path, profiler, capsys, wanted, first_step
):
  trace = make(tmp_path, wanted, first_step=first_step)
  train(trace, profiler, first=first_step // 4)
  assert profiler == []
  said = capsys.readouterr().err
  assert said.count("\n") == 1
  assert f"joint takes the steps {first_step + 1} to 20" in said


def test_nothing_is_said_unless_asked(tmp_path, profiler, capsys):
  train(make(tmp_path, ()), profiler)
  assert profiler == []
  assert capsys.readouterr().err == ""


def test_only_process_0_traces(tmp_path, profiler, monkeypatch):
  monkeypatch.setattr(parallel, "is_main_process", lambda: False)
  train(make(tmp_path, (1, 4)), profiler)
  assert profiler == []


@pytest.mark.parametrize("failing", ["start_trace", "stop_trace"])
def test_a_trace_that_fails_is_a_note(
  tmp_path, profiler, monkeypatch, capsys, failing
):
  def fail(*_, **__):
    raise OSError("the disk is full")

  monkeypatch.setattr(jax.profiler, failing, fail)
  train(make(tmp_path, (1, 20)), profiler)
  said = capsys.readouterr().err
  assert said.count("\n") == 1
  assert "note: going on without the trace in" in said
  assert "the disk is full" in said


def test_training_that_ends_early_ends_the_trace(tmp_path, profiler):
  trace = make(tmp_path, (1, 20))

  def interrupted():
    with contextlib.closing(trace):
      trace.before(range(4), jnp.zeros(3))
      raise KeyboardInterrupt

  with pytest.raises(KeyboardInterrupt):
    interrupted()
  assert profiler[-1] == "stop"


def test_a_real_trace_is_for_tensorboard_and_perfetto(tmp_path):
  trace = make(tmp_path, (1, 4))
  twice = jax.jit(lambda x: 2 * x)
  with contextlib.closing(trace):
    trace.before(range(4), jnp.zeros(3))
    trace.after(range(4), twice(jnp.ones(3)))
  found = {
    path.name.partition(".")[2] or path.name
    for path in (tmp_path / "profile" / "joint").rglob("*")
    if path.is_file()
  }
  assert {"xplane.pb", "trace.json.gz"} <= found
