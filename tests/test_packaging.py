"""The wheel, installed and used away from the checkout."""

import importlib.util
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile

import pytest

ROOT = pathlib.Path(__file__).parents[1]
PACKAGES = ("sr2_jax", "experiments", "launch")
# A predict that cannot reach any network.
OFFLINE = """
import socket, sys
def refuse(*arguments, **options):
  raise AssertionError("it asked for the network")
socket.socket.connect = socket.getaddrinfo = refuse
from sr2_jax import predict
assert "site" in predict.__file__
sys.exit(predict.main(sys.argv))
"""
SCRIPTS = (
  "sr2-train", "sr2-report", "sr2-sweep", "sr2-predict", "sr2-demo",
  "sr2-export",
)  # fmt: skip


def _run(*arguments, cwd, **environment):
  return subprocess.run(
    [str(argument) for argument in arguments],
    check=False,
    capture_output=True,
    text=True,
    cwd=cwd,
    env={**os.environ, **environment},
    timeout=300,
  )


def _pip(*arguments, cwd):
  offline = ("--no-index", "--no-deps", "--quiet", "--no-cache-dir")
  command, *rest = arguments
  done = _run(sys.executable, "-m", "pip", command, *offline, *rest, cwd=cwd)
  assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
  """Built from a copy, because building leaves files in its source."""
  for module in ("pip", "setuptools"):
    if importlib.util.find_spec(module) is None:
      pytest.skip(f"building needs {module}")
  folder = tmp_path_factory.mktemp("wheel")
  source = folder / "source"
  ignored = shutil.ignore_patterns("__pycache__", "results")
  for name in (*PACKAGES, "benchmarks", "tests"):
    shutil.copytree(ROOT / name, source / name, ignore=ignored)
  for path in ROOT.iterdir():
    if path.is_file() and not path.name.startswith("."):
      shutil.copy(path, source)
  _pip("wheel", "--no-build-isolation", "-w", folder, source, cwd=folder)
  [path] = folder.glob("*.whl")
  return path


@pytest.fixture(scope="module")
def site(wheel):
  """The folder that the wheel is installed in."""
  folder = wheel.with_name("site")
  _pip("install", "--target", folder, wheel, cwd=wheel.parent)
  return folder


@pytest.fixture(params=["empty folder", "own experiments and launch"])
def elsewhere(request, tmp_path):
  """The current folder, which may have folders of the same names as ours."""
  if request.param != "empty folder":
    for name in ("experiments", "launch"):
      (tmp_path / name).mkdir()
      (tmp_path / name / "__init__.py").write_text("raise AssertionError\n")
  return tmp_path


def test_wheel_has_the_packages_and_their_data(wheel):
  files = {
    name
    for name in zipfile.ZipFile(wheel).namelist()
    if ".dist-info/" not in name
  }
  expected = {
    path.relative_to(ROOT).as_posix()
    for package in PACKAGES
    for path in (ROOT / package).rglob("*")
    if path.is_file() and path.suffix != ".pyc"
  }
  assert files == expected


def test_the_wheel_is_not_too_large_to_send(wheel):
  assert wheel.stat().st_size < 15_000_000


def test_what_was_released_works_at_once_and_offline(site, tmp_path):
  """With the weights and images of the wheel alone, and nothing compiled."""
  done = _run(
    *(sys.executable, "-c", OFFLINE, "--example"),
    "--weights=sr2_fsrcnn_x4_mnist",
    cwd=tmp_path,
    PYTHONPATH=str(site),
    SR2_JAX_CACHE_DIR=str(tmp_path / "cache"),
  )
  assert done.returncode == 0, done.stderr
  assert "4 done, 0 failed" in done.stderr
  assert len(list((tmp_path / "sr2_out").glob("digit_*_x4.png"))) == 4


def test_one_version_everywhere(wheel):
  """The newest in the changelog, and the one that a citation names."""
  version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"][
    "version"
  ]
  changelog = (ROOT / "CHANGELOG.md").read_text()
  assert re.findall(r"^## (\S+)", changelog, re.MULTILINE)[0] == version
  citation = (ROOT / "CITATION.cff").read_text()
  assert re.findall(r"^version: (\S+)$", citation, re.MULTILINE) == [version]
  assert wheel.name.split("-")[:2] == ["sr2_jax", version]


def test_extras_are_those_of_the_requirements():
  project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
  extras = project["optional-dependencies"]
  assert extras.keys() == {
    "cuda", "tpu", "launch", "export", "gcs", "s3", "baselines", "dev",
  }  # fmt: skip
  for extra in ("baselines", "dev"):
    lines = (ROOT / f"requirements-{extra}.txt").read_text().splitlines()
    assert extras[extra] == [
      line for line in lines if line and not line.startswith(("#", "-r "))
    ]


def test_dependencies_are_those_of_the_requirements(wheel):
  archive = zipfile.ZipFile(wheel)
  [metadata] = (n for n in archive.namelist() if n.endswith("/METADATA"))
  text = archive.read(metadata).decode()
  lines = (ROOT / "requirements.txt").read_text().splitlines()
  names = [line.partition(">=")[0] for line in lines if line and line[0] != "#"]
  assert names
  for name in names:
    assert f"\nRequires-Dist: {name}" in text
  assert '\nRequires-Dist: jax[cuda12]; extra == "cuda"' in text


@pytest.mark.parametrize("script", SCRIPTS)
def test_scripts_explain_themselves(site, elsewhere, script):
  done = _run(
    site / "bin" / script, "--help", cwd=elsewhere, PYTHONPATH=str(site)
  )
  assert done.returncode == 0, done.stderr
  assert done.stderr == ""
  assert done.stdout


@pytest.mark.parametrize("module", ["sr2_jax.main", "sr2_jax.report"])
def test_modules_explain_themselves(site, elsewhere, module):
  done = _run(
    *(sys.executable, "-m", module, "--help"),
    cwd=elsewhere,
    PYTHONPATH=str(site),
  )
  assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("path", ["experiments", "{site}/experiments"])
def test_the_readmes_experiments_are_found(site, elsewhere, path):
  """The message about a field shows that the file was read."""
  path = path.format(site=site)
  done = _run(
    *(site / "bin" / "sr2-train", f"--config={path}/quickstart.py"),
    "--config.seed=-1",
    cwd=elsewhere,
    PYTHONPATH=str(site),
  )
  assert done.returncode == 2
  assert done.stderr.startswith("config.seed has to be a whole number")


@pytest.mark.parametrize("path", ["experiments", "{site}/experiments"])
def test_the_readmes_sweeps_are_found(site, elsewhere, path):
  path = path.format(site=site)
  done = _run(
    *(site / "bin" / "sr2-sweep", f"--sweep={path}/paper.py:smoke"),
    *("--workdir=runs/smoke", "--dry-run"),
    cwd=elsewhere,
    PYTHONPATH=str(site),
  )
  assert done.returncode == 0, done.stderr
  assert "\nmnist5k_fsrcnn_x4 " in done.stdout
  assert not (elsewhere / "runs").exists()


def test_a_users_own_experiment_starts_from_the_shipped(site, elsewhere):
  folder = elsewhere / "experiments"
  folder.mkdir(exist_ok=True)
  (folder / "base.py").write_text(
    "from experiments import quickstart\nget_config = quickstart.get_config\n"
  )
  (folder / "mine.py").write_text(
    "from experiments import base\n"
    "def get_config():\n"
    "  config = base.get_config()\n"
    "  config.seed = -1\n"
    "  return config\n"
  )
  done = _run(
    *(sys.executable, "-m", "sr2_jax.main", "--config=experiments/mine.py"),
    cwd=elsewhere,
    PYTHONPATH=str(site),
  )
  assert done.returncode == 2
  assert done.stderr.startswith("config.seed has to be a whole number")
