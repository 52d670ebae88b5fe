"""The command; and whole sweeps with real kills."""

import contextlib
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from launch import attempts, engine, local, shares, sweep
from sr2_jax.records import folder as folder_lib
from sr2_jax.records import provenance
from sr2_jax.records import rows as rows_lib
from sr2_jax.records import weights as weights_lib
from sr2_jax.report.reproduction import collect

ROOT = pathlib.Path(__file__).parents[2]
PAIR = "--sweep=tests/tiny_sweep.py"
TIMEOUT = 400  # seconds; compiling on a busy machine takes long


@pytest.fixture(scope="module", autouse=True)
def _in_root():
  with pytest.MonkeyPatch.context() as patch:
    patch.chdir(ROOT)
    yield


def main(*arguments):
  return sweep.main(["sweep.py", *map(str, arguments)])


@pytest.mark.parametrize(
  ("arguments", "expected"),
  [
    ([], "--sweep, --workdir"),
    ([PAIR], "--workdir"),
    ([PAIR, "--workdir=x", "--dryrun"], "--dryrun"),
    (["--sweep=experiments/papr.py:cpu", "--workdir=x"], "paper.py?"),
    (["--sweep=experiments/paper.py:cpv", "--workdir=x"], '"cpv"'),
    ([PAIR, "--workdir=x", "--only", "third"], "--only third"),
    ([PAIR, "--workdir=x", "--set", "eval.clip"], "FIELD=VALUE"),
    ([PAIR, "--workdir=x", "--set", "eval.clp=1"], "config.eval.clip?"),
    ([PAIR, "--workdir=requirements.txt"], "cannot be written"),
    ([PAIR, "--workdir=az://bucket/x"], "--workdir=az://bucket/x: is a URL"),
    ([PAIR, "--workdir=s3://x", "--dry-run"], "has no bucket's name"),
    ([PAIR, "--workdir=a\\b"], "cannot hold"),
    (["--sweep=https://a/b.py", "--workdir=x"], "--sweep=https://a/b.py: is a"),
    ([PAIR, "--workdir=x", "--set", "data.path=gs://x"], "first: config.data"),
  ],
)
def test_mistake(capsys, arguments, expected):
  assert main(*arguments) == 2
  captured = capsys.readouterr()
  assert captured.out == ""
  assert expected in captured.err
  assert len(captured.err.splitlines()) <= 2
  assert not pathlib.Path("x").exists()


def test_help_names_every_flag_and_exit_code(capsys):
  assert main("--help") == 0
  text = capsys.readouterr().out
  for word in (
    "--sweep",
    "--workdir",
    "--only",
    "--set",
    "--mode",
    "--grid",
    "--at_once",
    "--retries",
    "--stall",
    "--engine",
    "--address",
    "--wait",
    "--emit",
    "--slices",
    "--dry-run",
    "--status",
  ):
    assert f"\n  {word}" in text
  for code in ("0  ", "1  ", "2  ", "3  ", "4  ", "129", "130", "143"):
    assert f"\n  {code}" in text
  _, rules = text.split("After a run's exit code")
  for code, rule in attempts.RULES.items():
    assert f"\n  {code:<7}{rule.end}: {rule.then[:20]}" in rules
  assert max(map(len, text.splitlines())) <= 80


def test_dry_run_lists_and_starts_nothing(tmp_path, capsys):
  arguments = ["--sweep=experiments/paper.py:cpu", "--dry-run"]
  assert main(*arguments, f"--workdir={tmp_path / 'paper'}") == 0
  lines = capsys.readouterr().out.splitlines()
  assert lines[1].split() == [
    "mnist_fsrcnn_x4", "not", "started",
    "pretrain", "~3,000", "x", "3,", "joint", "~750", "x", "6",
  ]  # fmt: skip
  assert " runs: 0 % of all steps done, time left unknown" in lines[-1]
  assert not (tmp_path / "paper").exists()


def test_dry_run_of_evaluating_lists_what_has_finished(tmp_path, capsys):
  (tmp_path / "first").mkdir()
  (tmp_path / "first" / "DONE").touch()
  arguments = (PAIR, "--dry-run", "--mode=eval", "--set", "eval.clip=true")
  assert main(*arguments, f"--workdir={tmp_path}") == 0
  assert capsys.readouterr().out.splitlines() == [
    "run      state",
    "first    to be evaluated",
    "control  not finished",
  ]


def test_without_ray_there_is_a_way_out(tmp_path, capsys, monkeypatch):
  monkeypatch.setattr(sweep.importlib.util, "find_spec", lambda _: None)
  arguments = ("--engine=ray", "--address=emulate:1x1x1")
  assert main(PAIR, f"--workdir={tmp_path}", *arguments) == 2
  assert "pip install" in capsys.readouterr().err


def test_an_engine_that_ends_without_a_word(tmp_path, capsys, monkeypatch):
  def ended(*_):
    raise sweep.driver.NoOutcomesError("The engine has failed: OSError")

  monkeypatch.setattr(sweep.importlib.util, "find_spec", lambda _: True)
  monkeypatch.setattr(sweep.driver, "run", ended)
  arguments = ("--engine=ray", "--address=emulate:1x1x1")
  assert main(PAIR, f"--workdir={tmp_path}", *arguments) == 1
  captured = capsys.readouterr()
  assert captured.err == (
    "The engine has failed: OSError\nThe same command goes on.\n"
  )
  assert "0/2 runs finished" in captured.out


def test_status_works_beside_a_sweep(tmp_path, capsys):
  with folder_lib.RunFolder(tmp_path).claim():
    assert main(PAIR, f"--workdir={tmp_path}", "--status") == 0
  lines = capsys.readouterr().out.splitlines()
  assert "] 2 runs: 2 not started; 0 % of all steps" in lines[0]
  assert [line.split()[0] for line in lines[3:]] == ["first", "control"]
  assert not (tmp_path / "first").exists()


@pytest.mark.parametrize(
  ("states", "received", "code"),
  [
    (["finished", "finished before"], [], 0),
    (["finished", "diverged"], [], 3),
    (["diverged", "failed"], [], 1),
    (["finished", "in use"], [], 1),
    (["finished", "failed"], [], 1),
    (["finished", "skipped"], [], 1),
    (["stopped", "not started"], [2], 130),
    (["finished", "not started"], [15, 2], 143),
    (["stopped"], [1], 129),
    (["stopped"], [], 1),  # the run was signalled, and not the sweep
  ],
)
def test_exit_codes(tmp_path, monkeypatch, capsys, states, received, code):
  def run(jobs, workdir, *, signals, policy, tell, at_once):
    assert (policy.retries, at_once) == (7, 3)
    tell("first finished")
    assert [job.name for job in jobs] == ["first", "control"]
    assert workdir == tmp_path
    signals.received.extend(received)
    return [
      engine.Outcome(str(i), engine.State(state))
      for i, state in enumerate(states)
    ]

  monkeypatch.setattr(local, "run", run)
  told = tmp_path / "told"
  monkeypatch.setattr(shares, "of_cores", lambda at_once: [(0,)] * at_once)
  flags = ("--retries=7", "--at_once=3", f"--notify={told}")
  assert main(PAIR, f"--workdir={tmp_path}", *flags) == code
  assert states[0] in capsys.readouterr().out
  first, last = told.read_text().splitlines()
  assert first.endswith(f"{tmp_path.name}: first finished")
  assert last.endswith(f"/{len(states)} runs finished")


@pytest.fixture(scope="module")
def environment(programs_of_runs):
  """A cache of compiled programs that all processes share."""
  return os.environ | {
    "SR2_JAX_CACHE_DIR": str(programs_of_runs),
    "JAX_PLATFORMS": "cpu",
  }


@contextlib.contextmanager
def started(environment, workdir, *arguments):
  """A running sweep; it and its run are killed at the end."""
  workdir.mkdir(parents=True, exist_ok=True)
  with (workdir / "sweep.log").open("w") as log:
    process = subprocess.Popen(
      (
        sys.executable, "-m", "launch.sweep", f"--workdir={workdir}", *arguments
      ),
      cwd=ROOT,
      env=environment,
      stdout=log,
      stderr=log,
    )  # fmt: skip
    try:
      yield process
    finally:
      if process.poll() is None:
        for child in children(process):
          os.kill(child, signal.SIGKILL)
        process.kill()
      process.wait()


def children(process):
  """Those that any of its threads has started."""
  paths = pathlib.Path(f"/proc/{process.pid}/task").glob("*/children")
  return [int(number) for path in paths for number in path.read_text().split()]


def output(workdir):
  return (workdir / "sweep.log").read_text()


def finish(process, workdir, expect):
  code = process.wait(TIMEOUT)
  text = output(workdir)
  assert code == expect, text
  assert "Traceback" not in text, text
  return text


def wait_for(condition, process, workdir):
  deadline = time.monotonic() + TIMEOUT
  while not condition():
    assert process.poll() is None, output(workdir)
    assert time.monotonic() < deadline, output(workdir)
    time.sleep(0.02)


def has_checkpoint(workdir, name):
  return lambda: any(
    path.name.isdigit()
    for path in (workdir / name).glob("checkpoints/*/last/*")
  )


@pytest.fixture(scope="module")
def interrupted(environment, tmp_path_factory):
  """A sweep that was killed in its first run, stopped in its second, and done.

  Its folder, and the output of the sweep that was stopped and of the last one.
  """
  if not sys.platform.startswith("linux"):
    pytest.skip("needs /proc")
  workdir = tmp_path_factory.mktemp("runs")
  with started(environment, workdir, PAIR) as process:
    wait_for(has_checkpoint(workdir, "first"), process, workdir)
    [orphan] = children(process)
    os.kill(orphan, signal.SIGSTOP)  # It must not finish meanwhile.
    process.kill()
    process.wait()

  # What the killed sweep has left goes on; the next one waits for it.
  with started(environment, workdir, PAIR) as process:
    wait_for(lambda: "waiting for it" in output(workdir), process, workdir)
    os.kill(orphan, signal.SIGKILL)
    # Meanwhile a second sweep is refused.
    assert main(PAIR, f"--workdir={workdir}") == 4
    wait_for(has_checkpoint(workdir, "control"), process, workdir)
    process.send_signal(signal.SIGINT)
    stopped = finish(process, workdir, 130)

  with started(environment, workdir, PAIR) as process:
    return workdir, stopped, finish(process, workdir, 0)


def test_kills_and_signals_cost_no_finished_run(interrupted):
  """Killed in the first run, stopped by Ctrl-C in the second, then finished."""
  workdir, stopped, text = interrupted
  assert "resuming pretrain at step" in stopped
  assert "[2/2] control: " in stopped
  assert "stopped: joint is saved at step" in stopped
  assert "\nfirst    finished " in stopped
  assert "\ncontrol  stopped " in stopped
  assert "resuming joint at step" in text
  assert "\nfirst    finished before  -" in text
  assert "\ncontrol  finished " in text
  rows = rows_lib.read(workdir / "control")
  assert {
    (row.method, row.phase, row.loss_weight, row.seed)
    for row in rows
    if row.method != "bicubic"
  } == {("sr_continued_fsrcnn", "joint", 0.0, seed) for seed in (0, 1)}

  logs = {path: path.stat().st_size for path in workdir.glob("[fc]*.log")}
  assert len(logs) == 2
  assert main(PAIR, f"--workdir={workdir}") == 0
  assert logs == {path: path.stat().st_size for path in logs}


def test_a_failed_run_costs_those_that_start_from_it(environment, tmp_path):
  """Even while another run is in progress on its own cores."""
  flags = f"{PAIR}:failing", f"--at_once={min(2, provenance.cpu_cores())}"
  with started(environment, tmp_path, *flags) as process:
    text = finish(process, tmp_path, 1)
  assert ("on core" in text) == (provenance.cpu_cores() > 1)
  assert "\nbad        failed " in text
  assert "\nafter_bad  skipped " in text
  assert "\nfirst      finished " in text
  assert "\n  all members of pretrain diverged, so it ends here" in text


def test_a_sweep_goes_on_where_only_kept_weights_are_left(
  environment, interrupted, tmp_path
):
  """Its pretraining is not trained again; the control has the same bits."""
  before, *_ = interrupted
  workdir, results = tmp_path / "runs", tmp_path / "results"
  collect.collect(before, results)
  shutil.copytree(results / collect.WEIGHTS, workdir)
  with started(environment, workdir, PAIR) as process:
    text = finish(process, workdir, 0)
  assert "\nfirst    finished before  -" in text
  assert "\ncontrol  finished " in text
  name = "control/results.jsonl"
  assert (workdir / name).read_bytes() == (before / name).read_bytes()
  paths = sorted((before / "control").rglob("last.safetensors"))
  assert len(paths) == 2
  for path in paths:
    expected, _ = weights_lib.read(path)
    # What comes with them names the folder that the run has started from.
    found, _ = weights_lib.read(workdir / path.relative_to(before))
    assert found.keys() == expected.keys()
    for name, array in expected.items():
      np.testing.assert_array_equal(found[name], array)
