import os
import shutil
import subprocess

import pytest

from sr2_jax.records import provenance

needs_git = pytest.mark.skipif(
  shutil.which("git") is None, reason="git is not installed"
)


@pytest.fixture
def repository(tmp_path, monkeypatch):
  """A folder that seems to hold provenance.py, and a function that runs git."""
  for name in [name for name in os.environ if name.startswith("GIT_")]:
    monkeypatch.delenv(name)
  monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
  monkeypatch.setenv("HOME", str(tmp_path / "nobody"))
  root = tmp_path / "repository"
  root.mkdir()
  (root / "provenance.py").write_text("one = 1\n")
  monkeypatch.setattr(provenance, "__file__", str(root / "provenance.py"))

  def git(*arguments):
    name = ("-c", "user.name=A", "-c", "user.email=a@example.org")
    return subprocess.run(
      ("git", *name, *arguments),
      cwd=root,
      check=True,
      capture_output=True,
      text=True,
    ).stdout.strip()

  return root, git


@needs_git
def test_revision_of_the_source_tree(repository):
  root, git = repository
  assert provenance.git_revision() == "unknown"
  git("init", "--quiet")
  git("add", "provenance.py")
  assert provenance.git_revision() == "unknown"  # no commit yet
  git("commit", "--quiet", "--message", "one")
  revision = git("rev-parse", "HEAD")
  assert provenance.git_revision() == revision
  (root / "notes.txt").write_text("not tracked\n")
  assert provenance.git_revision() == revision
  (root / "provenance.py").write_text("one = 2\n")
  assert provenance.git_revision() == revision + "+changes"


@needs_git
def test_revision_is_not_that_of_a_repository_around(repository):
  """Installed packages are often inside somebody's project, in its venv."""
  root, git = repository
  (root / "own.py").write_text("mine = 1\n")
  git("init", "--quiet")
  git("add", "own.py")
  git("commit", "--quiet", "--message", "mine")
  assert provenance.git_revision() == "unknown"


def test_revision_without_git(monkeypatch, tmp_path):
  monkeypatch.setenv("PATH", str(tmp_path))
  assert provenance.git_revision() == "unknown"


def test_changes_are_those_since_the_last_start():
  first = {"devices": {"count": 1}, "python": "3.11", "packages": {"jax": "1"}}
  now = {**first, "git_revision": "b", "config": "unlike"}
  old = {**first, "git_revision": "b", "config": "like"}
  assert provenance.changed(old, now) == {}
  old["later"] = [
    {"mode": "train", "python": "3.12"},
    {"mode": "eval", "python": "3.13", "devices": {"count": 1}},
  ]
  assert provenance.changed(old, now) == {"python": ("3.13", "3.11")}
  del old["git_revision"]  # A run of an older version.
  assert provenance.changed(old, now)["git_revision"] == (None, "b")


def test_cores_are_those_of_this_process():
  if not hasattr(os, "sched_setaffinity"):
    pytest.skip("this system does not choose cores for a process")
  before = os.sched_getaffinity(0)
  os.sched_setaffinity(0, {min(before)})
  try:
    assert provenance.cpu_cores() == 1
  finally:
    os.sched_setaffinity(0, before)
  assert provenance.cpu_cores() == len(before)


@pytest.mark.parametrize(
  ("number", "expected"), [(1, "1 core"), (2, "2 cores"), ("?", "? cores")]
)
def test_cores_in_words(number, expected):
  assert provenance.cores_in_words(number) == expected
