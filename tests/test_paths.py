"""Paths as people type them, and what is refused with the name of the flag."""

import os
import pathlib
import subprocess
import sys

import pytest

from sr2_jax import errors, paths

ROOT = pathlib.Path(__file__).parents[1]
ODD = (
  "run[1]", "lr=[1e-3]", "a*b", "a**b", "a?b", "{a,b}", "a b", "a%20b", "a#b",
  "ü", "日本", "a:b", "-x", "a//b", "./x", "C:", "gs:", "$HOME", "a\nb",
)  # fmt: skip


def refusal(path, function=paths.local):
  with pytest.raises(errors.UserError) as caught:
    function(path, "--workdir")
  message = str(caught.value)
  assert message.startswith("--workdir=")
  assert len(message.splitlines()) == 1
  assert len(message) < 500
  assert caught.value.exit_code == 2
  return message


@pytest.mark.parametrize("path", ["", *ODD])
def test_other_names_stay_as_they_are(path):
  assert paths.local(path, "--workdir") == path


@pytest.mark.parametrize("path", [p for p in ODD if "gs:" not in p])
def test_run_folders_may_have_them_as_well(path):
  assert paths.for_checkpoints(path, "--workdir") == path


@pytest.mark.parametrize(
  "path",
  [
    "gs://bucket/x", "s3://bucket", "http://a/b", "https://a/b", "file:///a",
    "GS://bucket", "git+ssh://a", "hf://a/b", "az://a", "hdfs://a:80/b",
  ],
)  # fmt: skip
@pytest.mark.parametrize("function", [paths.local, paths.for_checkpoints])
def test_urls_are_refused(path, function):
  message = refusal(path, function)
  assert message.startswith(f"--workdir={path}: is a URL")


@pytest.mark.parametrize("path", ["~nosuchuser/x", "~nosuchuser"])
def test_unknown_user(path):
  assert "~nosuchuser has no home folder" in refusal(path)


def test_home(monkeypatch, tmp_path):
  monkeypatch.setenv("HOME", str(tmp_path))
  assert paths.local("~/a//[b]", "x") == f"{tmp_path}/a//[b]"
  assert paths.local("a/~/b", "x") == "a/~/b"


@pytest.mark.parametrize("path", ["a\0b", "a\udcffb", "x" * 256, "ü" * 128])
def test_names_that_no_file_can_have(path):
  assert "\0" not in refusal(path)


def test_undecodable_bytes_are_refused_wherever_they_are(tmp_path, monkeypatch):
  """In the path, in the current folder, and where a link leads."""
  odd = os.fsencode(tmp_path) + b"/\xff"
  os.mkdir(odd)
  assert r"'\udcff' cannot be encoded" in refusal(os.fsdecode(odd))
  (tmp_path / "link").symlink_to(os.fsdecode(odd))
  assert "cannot be encoded" in refusal(str(tmp_path / "link"))
  monkeypatch.chdir(odd)
  assert "cannot be encoded" in refusal("run")
  assert paths.local("/run", "--workdir") == "/run"


def test_current_folder_that_is_gone(tmp_path, monkeypatch):
  gone = tmp_path / "gone"
  gone.mkdir()
  monkeypatch.chdir(gone)
  gone.rmdir()
  assert "No such file" in refusal("run")


@pytest.mark.parametrize("path", ["a\\b", "runs/\\", "gs:/bucket", "logs:/run"])
def test_run_folders_that_orbax_would_look_for_elsewhere(path):
  assert "the path of a run folder cannot hold" in refusal(
    path, paths.for_checkpoints
  )
  assert paths.local(path, "--workdir") == path


def test_run_folder_below_such_a_folder(tmp_path, monkeypatch):
  (tmp_path / "a\\b").mkdir()
  (tmp_path / "link").symlink_to(tmp_path / "a\\b")
  monkeypatch.chdir(tmp_path / "a\\b")
  for path in ("run", str(tmp_path / "link" / "run")):
    assert r'cannot hold "\"' in refusal(path, paths.for_checkpoints)


@pytest.mark.parametrize("path", ["/tmp/ü", "/tmp/日本"])
def test_locale_without_unicode(path):
  program = (
    "import sys\nfrom sr2_jax import errors, paths\n"
    "print(sys.getfilesystemencoding())\n"
    "for path in sys.argv[1], '/tmp/' + chr(252):\n"
    "  try:\n    paths.local(path, '--out')\n"
    "  except errors.UserError as error:\n    print(error, file=sys.stderr)\n"
  )
  done = subprocess.run(
    [sys.executable, "-c", program, path],
    check=False,
    capture_output=True,
    text=True,
    cwd=ROOT,
    env={
      **os.environ,
      "LC_ALL": "C",
      "PYTHONUTF8": "0",
      "PYTHONCOERCECLOCALE": "0",
    },
  )
  encoding = done.stdout.strip()
  messages = done.stderr.splitlines()
  assert len(messages) == 2, done.stderr
  for message in messages:
    assert message.startswith(("--out=/tmp/", "--out='/tmp/"))
    assert f"cannot be encoded in this locale ({encoding})" in message


def test_a_list_names_the_first_few_and_counts_the_rest():
  names = [f"{n}.png" for n in range(1005)]
  assert paths.listed(names[:2]) == "0.png, 1.png"
  assert paths.listed(names[:5]) == "0.png, 1.png, 2.png, 3.png, 4.png"
  assert paths.listed(names).endswith("4.png and 1,000 more")
  assert paths.listed(["a\nb"]) == r"'a\nb'"


def test_outputs_go_where_something_can_be_written(tmp_path, monkeypatch):
  paths.check_writable(tmp_path / "a" / "b", "--out")
  assert not list(tmp_path.iterdir())
  (tmp_path / "file").touch()
  for folder, problem in (
    (tmp_path / "file", "is a file, not a folder"),
    (tmp_path / "file" / "below", f"nothing can be written to {tmp_path}/file"),
  ):
    with pytest.raises(errors.UserError, match=rf"^--out=.*{problem}\.$"):
      paths.check_writable(folder, "--out")
  # Root may write everywhere, so the folder is only said to be read-only.
  monkeypatch.setattr(paths.os, "access", lambda path, mode: path != tmp_path)
  with pytest.raises(errors.UserError, match="nothing can be written to"):
    paths.check_writable(tmp_path / "a" / "b", "--out")
