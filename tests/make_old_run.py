"""Makes tests/old_run/runs.tar.xz, which test_old_runs reads.

The archive was made by these commands. It is not made again, because it shows
that later revisions read what an older one wrote.

  git worktree add /tmp/old b00bf7c
  python -m tests.make_old_run /tmp/old

It holds four folders, all written by the older revision:

stopped    super-resolution only, stopped by SIGTERM in the middle
evaluated  the rows of its best checkpoint, from --mode=eval
finished   the same run, resumed and finished
joint      a finished run of both phases

Only `stopped` has checkpoints.
"""

import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import time

ROOT = pathlib.Path(__file__).parents[1]
ARCHIVE = ROOT / "tests" / "old_run" / "runs.tar.xz"
FLAGS = (
  "--config.joint.num_epochs=0",
  # These two keep the archive small.
  "--config.model.transposed_convolution=true",
  "--config.checkpoint.keep=1",
  # Adam's steps are proportional to the gradients. With a small eps another
  # processor's rounding turns into whole steps where a gradient is almost zero.
  "--config.adam.eps=1.0",
  "--config.pretrain.learning_rate.shared=0.3",
  "--config.pretrain.learning_rate.sr=0.3",
)
EVALUATION = ("--mode=eval", "--config.eval.checkpoint=best")
STOP_AFTER = 9  # of 20 steps


def start(revision, workdir, *flags):
  """A process that trains with the code of another checkout."""
  return subprocess.Popen(
    (
      sys.executable, "-m", "sr2_jax.main", "--config=tests/tiny.py",
      f"--workdir={workdir}", *flags,
    ),
    cwd=revision,
    env=os.environ | {"PYTHONPATH": str(revision), "JAX_PLATFORMS": "cpu"},
  )  # fmt: skip


def finish(revision, workdir, *flags):
  code = start(revision, workdir, *flags).wait()
  if code != 0:
    raise SystemExit(f"{workdir} ended with {code}.")


def stop(revision, workdir, *flags):
  """Trains until some steps are in metrics.jsonl, then sends SIGTERM."""
  process = start(revision, workdir, *flags)
  metrics = workdir / "metrics.jsonl"
  while not (
    metrics.exists() and f'"step": {STOP_AFTER},' in metrics.read_text()
  ):
    if process.poll() is not None:
      raise SystemExit(f"{workdir} ended too early.")
    time.sleep(0.01)
  process.send_signal(signal.SIGTERM)
  if process.wait() != 143:
    raise SystemExit(f"{workdir} was not stopped.")


def keep(workdir, *names):
  """Removes everything else from a folder."""
  for path in workdir.iterdir():
    if path.name not in names:
      shutil.rmtree(path) if path.is_dir() else path.unlink()


def main(revision):
  revision = pathlib.Path(revision).absolute()
  with tempfile.TemporaryDirectory() as folder:
    runs = pathlib.Path(folder)
    stop(revision, runs / "stopped", *FLAGS)
    for name in ("evaluated", "finished"):
      shutil.copytree(runs / "stopped", runs / name)
    finish(revision, runs / "evaluated", *FLAGS, *EVALUATION)
    finish(revision, runs / "finished", *FLAGS)
    finish(revision, runs / "joint")
    texts = ("config.json", "metrics.jsonl", "results.jsonl")
    keep(runs / "stopped", "config.json", "metrics.jsonl", "checkpoints")
    keep(runs / "evaluated", "results.jsonl")
    keep(runs / "finished", *texts, "per_image", "DONE")
    keep(runs / "joint", *texts, "per_image", "examples", "DONE")
    ARCHIVE.parent.mkdir(exist_ok=True)
    with tarfile.open(ARCHIVE, "w:xz") as archive:
      for path in sorted(runs.rglob("*")):
        archive.add(
          path, path.relative_to(runs), recursive=False, filter=without_owner
        )
  print(f"{ARCHIVE}: {ARCHIVE.stat().st_size} bytes")


def without_owner(member):
  member.uid = member.gid = 0
  member.uname = member.gname = ""
  return member


if __name__ == "__main__":
  main(*sys.argv[1:])
