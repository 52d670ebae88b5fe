"""Shares of cores, and that a thread keeps to its own."""

import os
import sys
from concurrent import futures

import pytest

from launch import host, shares
from sr2_jax import errors
from sr2_jax.records import provenance

needs_affinity = pytest.mark.skipif(
  not hasattr(os, "sched_setaffinity"), reason="the system assigns no cores"
)


@pytest.fixture(autouse=True)
def _on_the_cpu(monkeypatch):
  monkeypatch.setenv("JAX_PLATFORMS", "cpu")


def has(monkeypatch, *cores):
  monkeypatch.setattr(provenance, "cores", lambda: list(cores))
  monkeypatch.setattr(shares, "_TOPOLOGY", "/nowhere/{}/{}")


@pytest.mark.parametrize(
  ("at_once", "expected"),
  [
    (1, [(0, 1, 2, 3, 6, 7, 9)]),
    (2, [(0, 1, 2), (3, 6, 7)]),
    (3, [(0, 1), (2, 3), (6, 7)]),
    (7, [(0,), (1,), (2,), (3,), (6,), (7,), (9,)]),
  ],
)
def test_every_run_has_as_many_cores(monkeypatch, at_once, expected):
  has(monkeypatch, 0, 1, 2, 3, 6, 7, 9)
  assert shares.of_cores(at_once) == expected


def test_threads_of_a_core_are_in_one_share(monkeypatch, tmp_path):
  """On two processors of two cores, with the numbers of a usual server."""
  has(monkeypatch, *range(8))
  monkeypatch.setattr(shares, "_TOPOLOGY", f"{tmp_path}/{{}}/{{}}")
  for cpu in range(8):
    (tmp_path / str(cpu)).mkdir()
    (tmp_path / str(cpu) / "physical_package_id").write_text(f"{cpu % 2}\n")
    (tmp_path / str(cpu) / "core_id").write_text(f"{cpu // 2 % 2}\n")
  assert shares.of_cores(4) == [(0, 4), (2, 6), (1, 5), (3, 7)]
  assert shares.of_cores(2) == [(0, 4, 2, 6), (1, 5, 3, 7)]


def test_more_runs_than_cores_are_refused(monkeypatch):
  has(monkeypatch, 4)
  with pytest.raises(errors.UserError, match=r"at_once=2.* has 1 core"):
    shares.of_cores(2)
  has(monkeypatch, 4, 5)
  with pytest.raises(errors.UserError, match=r"at_once=3.* has 2 cores"):
    shares.of_cores(3)


@pytest.mark.parametrize("package", ["libtpu.py", "jax_plugins/xla_cuda13.py"])
def test_runs_at_once_would_share_an_accelerator(
  monkeypatch, tmp_path, package
):
  has(monkeypatch, 0, 1)
  path = tmp_path / package
  path.parent.mkdir(exist_ok=True)
  path.touch()
  monkeypatch.syspath_prepend(tmp_path)
  assert len(shares.of_cores(2)) == 2  # JAX_PLATFORMS is cpu.
  monkeypatch.delenv("JAX_PLATFORMS")
  with pytest.raises(errors.UserError, match=path.stem):
    shares.of_cores(2)
  assert len(shares.of_cores(1)) == 1


@pytest.mark.parametrize(
  ("cores", "expected"),
  [((3,), "core 3"), ((0, 2, 1), "cores 0-2"), ((4, 0), "cores 0,4")],
)
def test_in_words(cores, expected):
  assert shares.in_words(cores) == expected


@needs_affinity
def test_a_thread_and_what_it_starts_keep_to_its_cores(tmp_path):
  everywhere = provenance.cores()
  log = tmp_path / "log"
  say = "import os; print(sorted(os.sched_getaffinity(0)))"

  def start():
    shares.keep_to(everywhere[-1:])
    process = host.Process((sys.executable, "-c", say), log)
    return process._process.wait()

  with futures.ThreadPoolExecutor(1) as thread:
    assert thread.submit(start).result() == 0
  assert log.read_text() == f"{everywhere[-1:]}\n"
  assert provenance.cores() == everywhere


def test_where_threads_keep_to_no_cores_they_are_counted(monkeypatch):
  assert shares.variables([(0, 1), (2, 3)]) == {}
  monkeypatch.delattr(os, "sched_setaffinity", raising=False)
  assert shares.variables([(0, 1), (2, 3)]) == {"NPROC": "2"}
  assert shares.variables([(0, 1)]) == {}
  shares.keep_to((2, 3))
