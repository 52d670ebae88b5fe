"""Files for other schedulers, read back by what reads them."""

import pathlib
import shlex
import subprocess

import pytest
import yaml

from launch import emit, slices, sweep
from launch import jobs as jobs_lib
from launch import target as target_lib
from sr2_jax import errors
from sr2_jax.config import command_line
from tests.launch import test_jobs

ROOT = pathlib.Path(__file__).parents[2]
WORKDIR = pathlib.Path("/mnt/shared/paper")
V5E = slices.find("v5e", "4x4")
H100 = slices.find("h100", gpus=2)
USED_BY = {
  "image": ("jobset", "rayjob", "xpk"),
  "volume": ("jobset", "rayjob"),
  "queue": ("jobset", "rayjob", "sbatch"),
}
CACHE = f"SR2_JAX_CACHE_DIR={WORKDIR}/.cache"


@pytest.fixture(autouse=True)
def _in_root(monkeypatch):
  monkeypatch.chdir(ROOT)


def target(kind, slice_=V5E, **fields):
  """A target with all that a kind of file uses."""
  flags = {
    "image": "registry/a:1", "volume": ("runs", "/mnt/shared"), "queue": "tpus",
  }  # fmt: skip
  given = {
    "name": "paper", "workdir": WORKDIR, "retries": 5,
    **{name: value for name, value in flags.items() if kind in USED_BY[name]},
    **fields,
  }  # fmt: skip
  return target_lib.Target(slice_, **given)


def paper(**keywords):
  return jobs_lib.load("experiments/paper.py:smoke", WORKDIR, **keywords)


def same_as_the_job(command, job):
  """A command, read as a host of the cluster would read it."""
  assert command[:3] == ["python", "-m", "sr2_jax.main"]
  read = command_line.parse(command[2:])
  assert read.config == job.config
  assert read.workdir == WORKDIR / job.name
  return read


def shell_lines(text, start):
  done = subprocess.run(["bash", "-n"], input=text.encode(), check=True)
  assert done.returncode == 0
  return [line for line in text.splitlines() if line.startswith(start)]


def test_xpk():
  jobs = paper()
  text = emit.emit("xpk", jobs, target("xpk"))
  lines = shell_lines(text, "xpk workload create")
  by_wave = sorted(jobs, key=lambda job: job.source is not None)
  for line, job in zip(lines, by_wave, strict=True):
    flags = dict(
      word.split("=", 1) for word in shlex.split(line) if word[:2] == "--"
    )
    assert flags["--tpu-type"] == "v5litepod-16"
    assert flags["--max-restarts"] == "5"
    assert flags["--docker-image"] == "registry/a:1"
    command = shlex.split(flags["--command"])
    assert command[:2] == ["env", CACHE]
    same_as_the_job(command[2:], job)
  waits = shell_lines(text, "xpk workload list")
  assert len(waits) == sum(job.source is None for job in jobs)
  assert text.index(waits[-1]) < text.index(lines[-1])


def test_commands_of_one_host():
  jobs = paper()
  text = emit.emit("commands", jobs, target("commands", H100))
  lines = shell_lines(text, "python")
  seen = []
  for line in lines:
    [job] = [job for job in jobs if f"={job.name} " in line]
    same_as_the_job(shlex.split(line), job)
    assert job.source is None or job.source in seen
    seen.append(job.name)
  assert len(seen) == len(jobs)


def test_commands_of_several_hosts():
  jobs = paper(only=["*_wdsr_x2"])
  lines = shell_lines(emit.emit("commands", jobs, target("commands")), "gcloud")
  for line, job in zip(lines, jobs, strict=True):
    [command] = [w for w in shlex.split(line) if w.startswith("--command=")]
    command = shlex.split(command.removeprefix("--command="))
    assert command[:2] == ["env", CACHE]
    assert same_as_the_job(command[2:], job).coordinator == "auto"


# Those with the commands of the runs.
KINDS = [kind for kind in emit.KINDS if kind != "rayjob"]


@pytest.mark.parametrize("kind", KINDS)
def test_no_secrets_and_no_paths_of_this_machine(kind, tmp_path, monkeypatch):
  """From another folder, where experiments are those that come with it."""
  monkeypatch.chdir(tmp_path)
  monkeypatch.setenv("RAY_AUTH_TOKEN", "secret-of-mine")
  slice_ = H100 if kind == "sbatch" else V5E
  text = emit.emit(kind, paper(), target(kind, slice_))
  for word in (str(ROOT), str(tmp_path), str(pathlib.Path.home()), "secret"):
    assert word not in text
  assert "--config=experiments/wdsr_x2.py" in text


@pytest.mark.parametrize("kind", KINDS)
def test_names_and_values_reach_no_shell(kind, tmp_path):
  hostile = str(tmp_path / "a'; touch x; $(touch x) `touch x`")
  (pathlib.Path(hostile) / "train" / "class").mkdir(parents=True)
  sweep = test_jobs.write_sweep(
    tmp_path,
    "return [runs.Run('a', 'tests/tiny.py', {'data.name': 'folder',",
    f"  'data.path': {hostile!r}}})]",
  )
  jobs = jobs_lib.load(sweep, WORKDIR)
  text = emit.emit(kind, jobs, target(kind, H100 if kind == "sbatch" else V5E))
  argument = f"--config.data.path={hostile}"
  if kind == "jobset":
    [document] = yaml.safe_load_all(text)
    assert argument in str(document)
    return
  subprocess.run(["bash", "-n"], input=text.encode(), check=True)
  words = shlex.split(text, comments=True)
  nested = [shlex.split(word) for word in words if "--config=" in word]
  assert argument in [*words, *(w for found in nested for w in found)]


def test_an_evaluation_waits_for_nothing():
  jobs = paper(only=["mnist5k_fsrcnn_x4", "*continued_fsrcnn_x4"], mode="eval")
  text = emit.emit("sbatch", jobs, target("sbatch", H100))
  assert "sources=(- -)" in text


def test_a_folder_that_leads_out_of_the_volume(capsys):
  arguments = [
    "sweep", "--sweep=experiments/paper.py:smoke", "--emit=jobset",
    "--accelerator=v5e", "--topology=2x4", "--image=a:1",
    "--volume=runs:/mnt/shared", "--workdir=/mnt/shared/../etc",
  ]  # fmt: skip
  assert sweep.main(arguments) == 2
  assert "--workdir=/mnt/etc has to be below" in capsys.readouterr().err


@pytest.mark.parametrize(
  ("kind", "fields", "expected"),
  [
    ("jobset", {"image": ""}, "needs --image=IMAGE and --volume"),
    ("jobset", {"volume": None}, "needs --image=IMAGE and --volume"),
    ("jobset", {"volume": ("a", "/other")}, "has to be below /other"),
    ("xpk", {"image": ""}, "needs --image"),
    ("xpk", {"slice_": H100}, "--emit=xpk is for TPUs"),
    ("sbatch", {}, "--emit=sbatch is for GPUs"),
    ("commands", {"slice_": slices.find("v5e", "2x4", cut="2x2")}, "--cut"),
    ("rayjob", {"slice_": slices.find("v5e", "2x4", cut="2x2")}, "--cut"),
    *(
      (kind, {flag: value}, f"--{flag} does not go with --emit={kind}")
      for kind, flag, value in (
        ("commands", "image", "a:1"),
        ("sbatch", "image", "a:1"),
        ("sbatch", "volume", ("a", "/b")),
        ("xpk", "volume", ("a", "/b")),
        ("xpk", "queue", "a"),
        ("xpk", "slices", 2),
        ("jobset", "slices", 2),
        ("commands", "slices", 2),
      )
    ),
  ],
)
def test_mistake(kind, fields, expected):
  with pytest.raises(errors.UserError) as caught:
    emit.emit(kind, [], target(kind, **fields))
  assert expected in str(caught.value)
  assert len(str(caught.value).splitlines()) <= 2
