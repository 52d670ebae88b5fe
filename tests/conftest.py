"""Strict JAX for every test, and programs that compile once.

Four virtual devices, no silent broadcasting. Compiling is most of the tests'
time: programs are kept on disk for other tests that need them, and are
optimized only where a test is about that.
"""

import signal

import jax
import pytest

from sr2_jax import cpu_tuning
from sr2_jax.peers import stopping
from tests.faults import pytest_addoption, pytest_configure

__all__ = ["pytest_addoption", "pytest_configure"]

# As sr2_jax.main does.
cpu_tuning.look_for_garbage_rarely()
cpu_tuning.convolve_without_ynnpack()
jax.config.update("jax_num_cpu_devices", 4)
jax.config.update("jax_numpy_rank_promotion", "raise")


# The files that take longest start first, or one worker ends alone.
FIRST = (
  "test_train.py", "test_processes.py", "test_steps.py", "test_sweep.py",
  "test_old_runs.py", "test_sr2.py", "test_phase.py",
)  # fmt: skip


def pytest_collection_modifyitems(items):
  places = {name: place for place, name in enumerate(FIRST)}
  items.sort(key=lambda item: places.get(item.path.name, len(FIRST)))


@pytest.fixture(scope="session", autouse=True)
def _programs_on_disk(tmp_path_factory):
  """Those that a worker has compiled; no two of them write one file."""
  folder = tmp_path_factory.mktemp("programs")
  jax.config.update("jax_compilation_cache_dir", str(folder))
  jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)


@pytest.fixture(scope="module", autouse=True)
def _programs_in_memory(request):
  """A file's programs leave with it: all files' together take 10 GB.

  LLVM optimizes them only in files marked `optimized`; elsewhere they run once
  or twice, on tiny images.
  """
  is_optimized = request.node.get_closest_marker("optimized") is not None
  jax.config.update("jax_disable_most_optimizations", not is_optimized)
  yield
  jax.clear_caches()


@pytest.fixture(scope="session")
def programs_of_runs(tmp_path_factory):
  """A folder of compiled programs that all whole runs of the tests share."""
  base = tmp_path_factory.getbasetemp()
  # Each worker of pytest-xdist has a folder below the session's.
  session = base.parent if base.name.startswith("popen-") else base
  folder = session / "programs_of_runs"
  folder.mkdir(exist_ok=True)
  return folder


@pytest.fixture(autouse=True)
def _signals_stay():
  """No test leaves its worker deaf to signals that the next ones send."""
  for number in stopping.AS_SIGTERM:
    # `nohup pytest` ignores SIGHUP from the start.
    if signal.getsignal(number) is signal.SIG_IGN:
      signal.signal(number, signal.SIG_DFL)
  numbers = (signal.SIGINT, signal.SIGTERM, *stopping.AS_SIGTERM)
  before = {number: signal.getsignal(number) for number in numbers}
  yield
  after = {number: signal.getsignal(number) for number in numbers}
  assert after == before


@pytest.fixture
def end_of_process():
  """What a program does to signals as its process ends is undone."""
  before = {number: signal.getsignal(number) for number in stopping.AS_SIGTERM}
  yield
  for number, handler in before.items():
    signal.signal(number, handler)


@pytest.fixture
def settings_of_jax():
  """JAX's settings that a run changes are put back at the end of a test."""
  names = (
    "jax_compilation_cache_dir",
    "jax_persistent_cache_min_compile_time_secs",
  )
  before = {name: getattr(jax.config, name) for name in names}
  yield
  for name, value in before.items():
    jax.config.update(name, value)
