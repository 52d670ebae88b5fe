"""What is missing around a program is named before it is needed."""

import os
import pwd
import tempfile

import pytest

from sr2_jax import cpu_tuning, environment, errors, file_locks
from tests import child


def _message(check):
  with pytest.raises(errors.UserError) as caught:
    check()
  message = str(caught.value)
  assert 1 <= len(message.splitlines()) <= 2
  return message


def test_this_system_is_fine(monkeypatch):
  monkeypatch.setenv("MPLBACKEND", "module://of.a.notebook")
  environment.check_system()
  assert os.environ["MPLBACKEND"] == "agg"


def test_a_user_without_a_home(monkeypatch):
  def unknown(_):
    raise KeyError

  monkeypatch.delenv("HOME", raising=False)
  environment.check_system()  # The system knows where it is.
  monkeypatch.setattr(pwd, "getpwuid", unknown)
  assert "HOME" in _message(environment.check_system)
  monkeypatch.setenv("HOME", "/tmp")
  environment.check_system()


def test_a_system_without_locks(monkeypatch):
  monkeypatch.setattr(file_locks, "AVAILABLE", False)
  assert "WSL" in _message(environment.check_system)


def test_no_folder_for_temporary_files(monkeypatch):
  def nowhere():
    raise FileNotFoundError(2, "No usable temporary directory found")

  monkeypatch.setattr(tempfile, "gettempdir", nowhere)
  assert "TMPDIR" in _message(environment.check_system)


@pytest.mark.parametrize("umask", [0o777, 0o277, 0o422])
def test_new_files_that_their_own_user_may_not_use(umask):
  before = os.umask(umask)
  try:
    assert f"umask {umask:03o}" in _message(environment.check_system)
    assert os.umask(umask) == umask
    os.umask(0o077)
    environment.check_system()
  finally:
    os.umask(before)


@pytest.mark.parametrize(
  ("flags", "expected"),
  [
    ("--xla_no_such_flag=1", "--xla_no_such_flag"),
    ("--xla_cpu_max_isa=AVX --xla_no_such_flag", "--xla_no_such_flag"),
    ("--xla_force_host_platform_device_count=many", "many"),
    ("/dev/zero", "/dev/zero"),
    ("no_such_file", "no_such_file"),
    ("x" * 589_000, "xxx"),
  ],
)
def test_xla_flags_that_would_end_the_process(monkeypatch, flags, expected):
  if len(flags) > 100_000:  # Longer than a system passes on.
    monkeypatch.setattr(os, "environ", {"XLA_FLAGS": flags})
  else:
    monkeypatch.setenv("XLA_FLAGS", flags)
  message = _message(environment.check_xla_flags)
  assert expected in message
  assert message.endswith("Correct or unset XLA_FLAGS.")
  assert len(message) < 2000


@pytest.mark.parametrize("flags", ["", "  ", "--xla_cpu_max_isa=AVX", "file"])
def test_xla_flags_that_xla_knows(monkeypatch, tmp_path, flags):
  if flags == "file":
    path = tmp_path / "flags"
    path.write_text("--xla_cpu_max_isa=AVX\n")
    flags = str(path)
  monkeypatch.setenv("XLA_FLAGS", flags)
  environment.check_xla_flags()
  if flags.startswith("/"):
    cpu_tuning.convolve_without_ynnpack()  # The name stays a name.
    assert os.environ["XLA_FLAGS"] == flags


def test_an_error_names_the_variables_that_are_set(monkeypatch):
  for name in [name for name in os.environ if name.startswith("JAX_")]:
    monkeypatch.delenv(name)

  def fail(error):
    with environment.blamed():
      raise error

  with pytest.raises(RuntimeError, match="no backend"):
    fail(RuntimeError("no backend"))
  monkeypatch.setenv("JAX_PLATFORMS", "abacus")
  monkeypatch.setenv("JAX_ENABLE_X64", "maybe")
  message = _message(lambda: fail(AssertionError()))
  assert message.endswith("unset JAX_ENABLE_X64=maybe, JAX_PLATFORMS=abacus.")
  message = _message(lambda: fail(ValueError("of JAX_ENABLE_X64\nand more")))
  assert message.endswith("Correct or unset JAX_ENABLE_X64=maybe.")
  with pytest.raises(ImportError):
    fail(ImportError("no module"))


def test_a_platform_that_is_not_there():
  """In a process of its own: JAX starts its devices once."""
  program = (
    "from sr2_jax import cpu_tuning, errors\n"
    "try:\n"
    "  cpu_tuning.prepare()\n"
    "except errors.UserError as error:\n"
    "  print(error)\n"
  )
  done = child.played(program, JAX_PLATFORMS="abacus", XLA_FLAGS="")
  first, second = done.stdout.splitlines()
  assert "abacus" in first
  assert second == "Correct or unset JAX_PLATFORMS=abacus."
