"""The benchmark for a GPU: its plan, tables and a dry run on the CPU."""

import itertools
import json
import os
import subprocess
import sys
from typing import Any, NamedTuple

import jax
import numpy as np
import pytest

from benchmarks import goals, machine, sides
from benchmarks.gpu import __main__ as command
from benchmarks.gpu import correctness, measure, plan, record, tracing
from sr2_jax.models import conv
from sr2_jax.training import steps
from tests import child

ROWS = plan.rows(plan.SIZES["gpu"])
MAIN = plan.Case()
MACHINE = {
  "date": "2026-11-29T18:00+00:00",
  "device": "a GPU",
  "cores": 2,
  "python": "3.12.1",
  "packages": {"jax": "0.11.2"},
  "git_revision": "0123abc",
}


def test_all_that_is_asked_for_is_planned():
  names = [row.name for row in ROWS]
  assert len(set(names)) == len(names)
  for network, scale in itertools.product(goals.NETWORKS, goals.SCALES):
    for kind in ("correct", "step", "torch"):
      assert f"{kind}: {network}_x{scale}" in names
  steps = [row.case for row in ROWS if row.kind == "step"]
  assert {case.members for case in steps} == {1, 3, 6, 18}
  assert {case.steps_per_call for case in steps} == {0, 1, 10}
  assert {case.dtype for case in steps} == {"float32", "bfloat16"}
  forms = {case.convolution for case in steps} - {""}
  assert forms == set(conv.CONVOLUTIONS) - {"portable", "cpu", "tpu", "gpu"}
  assert {row.kind for row in ROWS} == set(measure.MEASURE)


def test_correctness_comes_before_speed():
  kinds = [row.kind for row in ROWS]
  assert max(kinds.index(x) for x in ("correct", "resume")) < kinds.index(
    "step"
  )
  for network, scale in itertools.product(goals.NETWORKS, goals.SCALES):
    names = [f"{kind}: {network}_x{scale}" for kind in ("correct", "step")]
    first, second = ([x.name for x in ROWS].index(name) for name in names)
    assert first < second


def test_select():
  chosen = plan.select(ROWS, ["resume", "step: *unrolled"])
  assert [row.name for row in chosen] == [
    "resume", "step: sr2_fsrcnn_x4, 6 members, unrolled",
  ]  # fmt: skip
  assert plan.select(ROWS, []) == ROWS
  with pytest.raises(ValueError, match='no row is called "stpe"'):
    plan.select(ROWS, ["stpe"])


def test_the_budget_learns_how_long_a_kind_takes():
  now = [0.0]
  budget = plan.Budget(1, clock=lambda: now[0])
  slow, fast = plan.Row("step", 50, MAIN), plan.Row("torch", 5, MAIN)
  assert budget.fits(slow)
  now[0] = 20.0
  assert not budget.fits(slow)
  assert budget.fits(fast)
  budget.add(slow, 30.0)
  assert budget.fits(slow)
  now[0] = 40.0
  assert not budget.fits(slow)
  assert budget.seconds_left == 20.0


def thread(pid, tid, process, name):
  yield {
    "ph": "M", "name": "process_name", "pid": pid, "args": {"name": process},
  }  # fmt: skip
  yield {
    "ph": "M", "name": "thread_name", "pid": pid, "tid": tid,
    "args": {"name": name},
  }  # fmt: skip


def kernel(pid, tid, name, begin, duration):
  return {
    "ph": "X", "pid": pid, "tid": tid, "name": name, "ts": begin,
    "dur": duration,
  }  # fmt: skip


def test_kernels_and_gaps_of_a_trace():
  """Two streams that overlap; the host and groups of kernels do not count."""
  events = [
    *thread(1, 1, "/device:GPU:0", "Stream #13(compute)"),
    *thread(1, 2, "/device:GPU:0", "Stream #14(copy)"),
    *thread(1, 3, "/device:GPU:0", "XLA Modules"),
    *thread(2, 1, "/host:CPU", "python"),
    kernel(1, 3, "module", 0.0, 1000.0),
    kernel(2, 1, "call", 0.0, 1000.0),
    kernel(1, 1, "conv", 100.0, 10.0),
    kernel(1, 2, "copy", 105.0, 15.0),
    kernel(1, 1, "conv", 125.0, 5.0),
    kernel(1, 1, "add", 160.0, 40.0),
  ]
  found = tracing.summarise(events, num_steps=2)
  assert found == {
    "kernels": 2.0,
    "span_us": 50.0,
    "busy_us": 32.5,
    "gaps_us": 17.5,
    "longest_gap_us": 30.0,
    "top": [["add", 0.5, 20.0], ["conv", 1.0, 7.5], ["copy", 0.5, 7.5]],
  }


def test_a_trace_of_a_cpu_has_its_threads():
  events = [
    *thread(1, 1, "/host:CPU", "python"),
    *thread(1, 2, "/host:CPU", "tf_XLAEigen/2"),
    kernel(1, 1, "call", 0.0, 50.0),
    kernel(1, 2, "ThunkExecutor::Execute", 0.0, 50.0),
    kernel(1, 2, "dot", 10.0, 5.0),
  ]
  found = tracing.summarise(events, num_steps=1)
  assert found["top"] == [["dot", 1.0, 5.0]]
  with pytest.raises(ValueError, match="no kernel"):
    tracing.summarise(events[:2], num_steps=1)


class Adam(NamedTuple):
  """The part of Adam's state that is compared."""

  mu: Any
  nu: Any


def state(params, *moments):
  nu = [np.full((1, 2), 9.0)]
  return steps.TrainState(
    [np.array([params])], {}, Adam([np.array([x]) for x in moments], nu)
  )


@pytest.mark.parametrize(
  ("noise", "expected"), [(1e-6, 0.1 / 2), (4e-4, 4e-4 / 2e-3)]
)
def test_differences_are_relative(noise, expected):
  """An array that is nothing but noise counts by the largest gradient."""
  before = state([1.0, 1.0], [0.0, 0.0], [0.0])
  wanted = state([1.3, 1.4], [0.5, 2.0], [0.0])
  actual = state([1.3, 1.45], [0.4, 2.0], [noise])
  found = correctness._differences(before, (2.2, actual), (2.0, wanted))
  assert found == pytest.approx(
    {"loss": 0.1, "gradients": expected, "updates": 0.05 / 0.5}
  )


def test_a_step_is_compared_with_the_cpus_own():
  """Here another form of convolution plays the other device."""
  case = plan.Case("fsrcnn", 4, convolution="patches")
  device = jax.devices("cpu")[0]
  found = correctness.compare(case, plan.SIZES["cpu"], device)
  assert found.pop("ok")
  for differences in found.values():
    assert differences["loss"] < 1e-5
    assert 0 < differences["gradients"] < 1e-3
    assert 0 < differences["updates"] < 0.1


def values_of(row):
  speed = {
    "images_per_second": 3000.0, "step_s": [0.02], "step_flop": 1e9,
    "peak_gb": 1.5,
  }  # fmt: skip
  precision = {"loss": 1e-6, "gradients": 1e-5, "updates": 1e-4}
  return {
    "peaks": {
      "float32_flop_per_s": 5e13, "tf32_flop_per_s": 1e12,
      "bfloat16_flop_per_s": 2e12, "bytes_per_s": 1e12,
    },
    "correct": {"float32": precision, "tf32": precision, "ok": True},
    "resume": {"compared": ["a"], "differing": ["a"], "ok": False},
    "step": speed,
    "torch": {**speed, "images_per_second": 2000.0, "way": "graph"},
    "torch_compile": {**speed, "images_per_second": 1000.0},
    "bytes": {"step_bytes": 2e9, "temporaries_gb": 0.5},
    "evaluation": {"images": "100 digits", "seconds_s": [3.0, 2.0]},
    "trace": {
      "kernels": 500.0, "span_us": 1700.0, "gaps_us": 300.0,
      "top": [["conv", 2.0, 90.0]],
    },
  }[row.kind]  # fmt: skip


def make_record(rows=ROWS):
  found = {
    row.name: {"values": values_of(row), "error": "", "seconds": 3.0}
    for row in rows
  }
  sizes = plan.SIZES["gpu"]._asdict()
  return record.Record(MACHINE, sizes, found, ["torch: wdsr_x2"])


def table_of(text):
  lines = [x.strip("| ").split(" | ") for x in text.splitlines()]
  return {line[0]: [x.strip() for x in line[1:]] for line in lines if line[1:]}


def test_the_table_has_every_row(tmp_path):
  path = tmp_path / "results" / "gpu.json"
  make_record().write(path)
  text = record.markdown(record.read(path))
  table = table_of(text)
  assert {row.name for row in ROWS} <= set(table)
  # 1e9 operations in 0.02 s are 5 % of 1e12 a second, or 2.5 % of 2e12.
  assert table["step: sr2_fsrcnn_x4"] == [
    "3,000 img/s, 20.00 ms a step, 1.50 GB so far", "5.0 %", "1.50", "3 s",
  ]  # fmt: skip
  assert table["step: sr2_fsrcnn_x4, bfloat16"][1] == "2.5 %"
  assert table["bytes: sr2_fsrcnn_x4"][1] == "10.0 %"
  assert table["step: sr2_fsrcnn_x4, 6 members, mapped"][2] == "1.50"
  assert table["resume"][0] == "OTHER BITS in a"
  assert "* 90.0 µs a step in 2.0 x `conv`" in text
  assert text.endswith("Left out, for lack of time: torch: wdsr_x2.")


def test_a_row_that_failed_says_why():
  row = plan.Row("torch", 0, MAIN)
  it = make_record([row])
  it.rows[row.name] = {"values": {}, "error": "it broke", "seconds": 1.0}
  assert record.cells(row, it)[1] == "failed: it broke"


def test_another_file_is_refused(tmp_path, capsys):
  path = tmp_path / "other.json"
  for text in ("[]", '{"a": 1}'):
    path.write_text(text)
    with pytest.raises(ValueError, match=r"other\.json has no results"):
      record.read(path)
  make_record([]).write(path)
  device = jax.devices("cpu")[0]
  with pytest.raises(ValueError, match="another device; give another --out"):
    command._kept(path, plan.SIZES["cpu"], device)


def test_a_missing_device_is_named():
  with pytest.raises(measure.Missing) as caught:
    measure.find("gpu")
  assert "there is no gpu here" in str(caught.value)
  assert "--device=cpu" in str(caught.value)


def run(out, *arguments):
  """The code, table and log of the command on the CPU."""
  done = subprocess.run(
    (
      *(sys.executable, "-m", "benchmarks.gpu", "--device=cpu"),
      *(f"--out={out}", *arguments),
    ),
    check=False,
    capture_output=True,
    text=True,
    cwd=machine.ROOT,
    env=os.environ | {"JAX_PLATFORMS": "cpu"},
  )
  assert "Traceback" not in done.stderr, done.stderr
  return done.returncode, done.stdout, done.stderr


def test_a_dry_run_on_the_cpu(tmp_path):
  """What is missing is measured by a second call, and nothing else."""
  out = tmp_path / "gpu.json"
  only = "peaks", "step: fsrcnn_x4"
  code, text, log = run(out, "--minutes=0.5", "--only", "peaks", "resume")
  assert code == 0, log
  assert "peaks" in table_of(text)
  assert "Left out, for lack of time: resume" in text
  code, text, log = run(out, "--minutes=99", "--only", *only)
  assert code == 0, log
  assert not any(x.startswith("peaks |") for x in log.splitlines())
  rows = json.loads(out.read_text())["rows"]
  assert set(rows) == set(only) == set(table_of(text)) & set(only)
  speed = rows[only[1]]["values"]
  assert speed["images_per_second"] > 0
  assert speed["step_flop"] > 1e6


def test_help_needs_nothing_heavy():
  program = (
    "import sys; from benchmarks.gpu import __main__; print(sorted("
    "{'jax', 'torch', 'numpy', 'flax'} & set(sys.modules)))"
  )
  done = child.played(program)
  assert done.stdout == "[]\n"


@pytest.mark.parametrize("compiles", [False, True])
def test_steps_of_pytorch(compiles):
  pytest.importorskip("torch", reason="PyTorch is not installed")
  from benchmarks.gpu import theirs

  case = {
    "network": "fsrcnn", "scale": 4, "batch_size": 2, "device": "cpu",
    "compiles": compiles,
  }  # fmt: skip
  ready = theirs.training_step(case)
  ready.work(1)
  assert ready.facts["way"] == ("compiled" if compiles else "plain")
  assert not ready.facts["failed"]


def test_a_side_that_takes_too_long_is_ended():
  side = sides.Side("ours", seconds=0.01)
  try:
    with pytest.raises(sides.SideError, match="ended with code"):
      side.prepare("step", "training_step", network="fsrcnn", scale=4)
  finally:
    side.close()
