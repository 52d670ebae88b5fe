"""The script for Slurm on a Slurm of one node, with faults: the same bits.

  python -m tests.slurm

Needs Slurm's programs (Debian: slurm-wlm), and root, who starts them for this
alone. Plays a run that is preempted, that crashes, and that another one waits
for; then one that runs into its time limit. Some five minutes.
"""

import contextlib
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

from tests import clusters, run_contents

_PROGRAM = "-m sr2_jax.main"
_SWEEP = (sys.executable, "-m", "launch.sweep")
PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "scontrol", "squeue")
_CONFIG = """\
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
ReturnToService=2
OverTimeLimit=0
KillWait=30
GresTypes=gpu
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} Gres=gpu:{cpus} State=UNKNOWN
PartitionName=gpu Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


@contextlib.contextmanager
def one_node(folder):
  """A Slurm of this machine alone, with a made-up GPU for each CPU."""
  for name in ("state", "spool"):
    (folder / name).mkdir(parents=True)
  # Two at once, or the second could be the first again.
  with _free_port() as first, _free_port() as second:
    ports = [port.getsockname()[1] for port in (first, second)]
  cpus = os.cpu_count()
  gpus = [folder / f"gpu{i}" for i in range(cpus)]
  for gpu in gpus:
    gpu.touch()
  (folder / "gres.conf").write_text(
    "".join(f"Name=gpu File={gpu}\n" for gpu in gpus)
  )
  config = folder / "slurm.conf"
  config.write_text(
    _CONFIG.format(
      host=socket.gethostname(), folder=folder, ports=ports, cpus=cpus
    )
  )
  key = folder / "munge.key"
  key.write_bytes(os.urandom(128))
  key.chmod(0o400)
  # Munge refuses folders that others may write to.
  folder.chmod(0o755)
  before = dict(os.environ)
  os.environ["SLURM_CONF"] = str(config)
  os.environ["PATH"] += os.pathsep + "/usr/sbin"
  munge = [
    "munged", "--foreground", "--force", f"--key-file={key}",
    *(
      f"--{flag}={folder / f'munge.{end}'}"
      for flag, end in (
        ("socket", "socket"), ("pid-file", "pid"), ("seed-file", "seed"),
        ("log-file", "log"),
      )
    ),
  ]  # fmt: skip
  daemons = []
  try:
    for command in (munge, ["slurmctld", "-D", "-i"], ["slurmd", "-D"]):
      with (folder / f"{command[0]}.out").open("wb") as out:
        daemons.append(subprocess.Popen(command, stdout=out, stderr=out))
      if command is munge:
        clusters.until((folder / "munge.socket").exists, "munge")
    clusters.until(
      lambda: "idle" in _say("sinfo", "-h", "-o", "%T"), "the node"
    )
    yield
  finally:
    for daemon in reversed(daemons):
      daemon.terminate()
      daemon.wait()
    os.environ.clear()
    os.environ.update(before)


def _free_port():
  return socket.create_server(("127.0.0.1", 0))


def _say(*command):
  done = subprocess.run(command, capture_output=True, text=True)
  return done.stdout + done.stderr


class Jobs:
  """What `--emit=sbatch` makes of a sweep, submitted.

  Args:
    budget: of `tests/tiny_sweep.py`.
    workdir: of the sweep.
    program: what Python starts.
    variables: more of the environment.
  """

  def __init__(self, budget, workdir, *, program=_PROGRAM, **variables):
    self.workdir = workdir
    script = workdir.with_suffix(".sh")
    text = subprocess.check_output(
      [*_SWEEP, f"--sweep={clusters.TINY}:{budget}", f"--workdir={workdir}",
       "--emit=sbatch", "--accelerator=h100", "--gpus=1", "--queue=gpu"],
      cwd=clusters.ROOT, text=True,
    )  # fmt: skip
    script.write_text(text.replace(_PROGRAM, program))
    python = str(pathlib.Path(sys.executable).parent)
    environment = {
      **os.environ, **variables, "PATH": f"{python}:{os.environ['PATH']}",
    }  # fmt: skip
    subprocess.run(
      ["bash", str(script)], cwd=clusters.ROOT, env=environment, check=True
    )

  def job(self, run=0):
    """The number of an array's task that runs or waits; "" if none does."""
    for line in _say("squeue", "-h", "-r", "-o", "%i").split():
      if line.endswith(f"_{run}"):
        return line
    return ""

  def start_now(self):
    """Spares a requeued job most of the two minutes that Slurm lets it wait.

    A job that starts again in the same second is refused by its node.
    """
    job = clusters.until(self.job, "the job")
    clusters.until(
      lambda: "BeginTime" in _say("squeue", "-h", "-j", job, "-o", "%r"),
      f"{job} in the queue",
    )
    assert not _say("scontrol", "update", f"JobId={job}", "StartTime=now+5")

  def finish(self):
    clusters.until(lambda: not _say("squeue", "-h"), "the end", self.text)

  def text(self):
    return "\n".join(p.read_text() for p in sorted(self.workdir.glob("*.log")))

  def frozen(self, run, rows):
    """Stops the process of a run once it has so many rows."""
    clusters.until(
      lambda: clusters.num_rows(self.workdir / run) >= rows, f"row {rows}"
    )
    (pid,) = clusters.until(
      lambda: working_in(self.workdir / run), "its process"
    )
    os.kill(pid, signal.SIGSTOP)
    assert not (self.workdir / run / "DONE").exists(), "too fast for a fault"
    return pid


def working_in(folder):
  """Ids of the Python processes that are given a run folder."""
  return [
    pid
    for pid, words in clusters.commands(folder).items()
    if "python" in words[0]
  ]


def preempted_and_crashed(folder):
  """A run with two faults, and one that starts from it."""
  without, workdir = folder / "without", folder / "runs"
  os.environ["SR2_JAX_CACHE_DIR"] = str(folder / "cache")
  subprocess.run(
    [*_SWEEP, f"--sweep={clusters.TINY}:pair", f"--workdir={without}"],
    cwd=clusters.ROOT, check=True, stdout=subprocess.DEVNULL,
  )  # fmt: skip
  jobs = Jobs("pair", workdir)
  pid = jobs.frozen("first", 3)
  job = jobs.job()
  # What Slurm itself does to a job that gives way to another.
  assert not _say("scontrol", "requeue", job), "refused"
  clusters.until(lambda: not clusters.is_alive(pid), "the end")
  jobs.start_now()
  # It goes on after SIGSTOP until it saves. More rows are of the new start.
  pid = jobs.frozen("first", clusters.num_rows(workdir / "first") + 2)
  assert "stopped: pretrain is saved" in jobs.text(), jobs.text()
  os.kill(pid, signal.SIGKILL)
  clusters.until(lambda: not clusters.is_alive(pid), "the end")
  clusters.until((workdir / "first.crashes").exists, "the count")
  assert jobs.job(1), "what waits for it was not kept"
  jobs.start_now()
  jobs.finish()
  assert (workdir / "first.crashes").read_text() == "137\n"
  for run in ("first", "control"):
    assert _kept(workdir / run) == _kept(without / run)


def _kept(folder):
  """What a run keeps, but weights that name the folder that they come from."""
  return {
    name: value
    for name, value in run_contents.contents(folder).items()
    if folder.name == "first" or not name.startswith("weights/")
  }


def out_of_time(folder):
  """A run that reaches its time limit: warned, it saves, and starts again."""
  workdir = folder / "late"
  (workdir / "r0").mkdir(parents=True)
  (workdir / "r0" / "orders.json").write_text(
    json.dumps({"starts": 1, "holds": True})
  )
  # Slurm counts whole minutes; the script asks for two of them to save in.
  jobs = Jobs("1", workdir, program=clusters.STAND_IN, SBATCH_TIMELIMIT="3")
  starts = workdir / "r0" / "starts.0"
  clusters.until(starts.exists, "the start")
  (pid,) = working_in(workdir / "r0")
  clusters.until(lambda: not clusters.is_alive(pid), "the end of the time")
  jobs.start_now()
  jobs.finish()
  assert len(starts.read_text().split()) == 2
  assert (workdir / "r0" / "DONE").exists()
  assert not list(workdir.glob("*.crashes"))


STORIES = (preempted_and_crashed, out_of_time)


def main():
  os.environ["PATH"] += os.pathsep + "/usr/sbin"
  missing = [name for name in PROGRAMS if not shutil.which(name)]
  if missing or os.getuid():
    print(f"needs root and Slurm's programs; missing: {', '.join(missing)}")
    return 2
  with tempfile.TemporaryDirectory() as name:
    folder = pathlib.Path(name)
    with one_node(folder / "slurm"):
      for story in STORIES:
        begin = time.monotonic()
        story(folder)
        print(f"ok   {story.__name__} {time.monotonic() - begin:.0f} s")
  return 0


if __name__ == "__main__":
  sys.exit(main())
