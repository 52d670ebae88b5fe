"""Runs the jobs of a sweep on a Ray cluster, each on a slice of its own.

What a run is, and how far, is in its folder. Only this module, `gang` and
`emulation` import Ray.
"""

import contextlib
import pathlib
import time
from collections.abc import Mapping, Sequence

import ray  # pyright: ignore[reportMissingImports]

from launch import address as address_lib
from launch import (
  attempts,
  bucket,
  emulation,
  engine,
  estimate,
  fleet,
  gang,
  host,
  mirrored,
  notify,
  seats,
)
from launch import jobs as jobs_lib
from launch import slices as slices_lib


class RayCluster:
  """The slices of a Ray cluster, as a `fleet.Cluster`.

  Args:
    slice_: that each job gets.
    workdir: gets the logs.
    env: variables of the processes.
    url: of the folder of all run folders, if it is in a bucket; else "", and
      the hosts share `workdir`.
  """

  def __init__(
    self,
    slice_: slices_lib.Slice,
    workdir: pathlib.Path,
    env: Mapping[str, str],
    url: str = "",
  ) -> None:
    self._slice, self._workdir, self._env = slice_, workdir, env
    self._url = url

  def offers(self) -> tuple[list[seats.Seat], list[str]]:
    """Those that are free or this sweep's own, and what others lack."""
    whole, broken = seats.find(ray.nodes(), self._slice)
    left = _left()
    return [seat for seat in whole if seat.has_room(left)], broken

  def draining(self) -> dict[str, float]:
    """Hosts that are going away, and in how many seconds."""
    try:
      found = ray._private.state.state.get_draining_nodes() or {}
    except (AttributeError, TypeError):
      return {}  # Not public. The loss of a host is seen in any case.
    now = time.time()
    return {
      node: deadline / 1000 - now if deadline else 3600.0
      for node, deadline in found.items()
    }

  def start(self, job: jobs_lib.Job, seat: seats.Seat) -> fleet.Gang:
    """Starts a job on the hosts of a seat."""
    started = gang.Gang(
      job,
      seat,
      slice_=self._slice,
      workdir=self._workdir,
      env=self._env,
      is_shared=not self._url,
    )
    if not self._url:
      return started
    record = bucket.Record(f"{self._url}/{job.name}")
    return mirrored.Gang(started, record.bring, job.name)


def _left() -> dict[str, dict[str, float]]:
  """The resources of each host that nobody has taken, as far as is known."""
  try:
    return ray._private.state.available_resources_per_node()
  except (AttributeError, TypeError):
    return {}  # Not public. A slice that is taken is seen at the start.


def run(
  jobs: Sequence[jobs_lib.Job],
  workdir: pathlib.Path,
  *,
  url: str = "",
  signals: engine.Signals,
  policy: attempts.Policy,
  tell: notify.Tell = notify.nobody,
  address: str,
  slice_: slices_lib.Slice,
  at_once: int = 0,
  wait: float = 0.0,
  price: float = 0.0,
) -> list[engine.Outcome]:
  """Runs the jobs on the slices of a cluster, as an `engine.Engine`.

  Args:
    jobs, workdir, signals, policy, tell: as of an engine.
    url: as of a `RayCluster`.
    address: of the cluster, "auto", or "emulate:..." for one of this machine.
    slice_: that each job gets.
    at_once: most jobs at once; 0 is as many as there are slices.
    wait: seconds without any slice until the sweep gives up; 0 is never.
    price: of a chip-hour; 0 is unknown.
  """
  env = host.caches(None if url else workdir)
  with contextlib.ExitStack() as stack:
    env |= _connect(stack, address, slice_)
    # Ray has put its own handler in the place of ours.
    stack.enter_context(signals.listening())
    speeds = estimate.Speeds.of(workdir, slice_)
    return fleet.Fleet(
      RayCluster(slice_, workdir, env, url),
      jobs,
      workdir,
      signals=signals,
      policy=policy,
      tell=tell,
      speeds=speeds,
      slice_=slice_,
      price=price,
      at_once=at_once,
      wait=wait,
    ).run()


def _connect(
  stack: contextlib.ExitStack, address: str, slice_: slices_lib.Slice
) -> dict[str, str]:
  """Connects to a cluster until the stack closes.

  Returns variables that an emulated cluster adds to a run's.
  """
  variables = {}
  if emulation.is_emulated(address):
    cluster = emulation.start(address, slice_)
    stack.callback(cluster.close)
    address, variables = cluster.address, emulation.variables(slice_)
  address_lib.check(address)
  try:
    context = ray.init(address, log_to_driver=False, logging_level="error")
  except (ConnectionError, RuntimeError, ValueError) as error:
    raise address_lib.nobody(address, error) from error
  stack.callback(ray.shutdown)
  # Paragraphs on what the sweep says in a line. Not public.
  ray._private.worker._worker_logs_enabled = False
  if context.dashboard_url:
    fleet.say(f"Ray's dashboard: http://{context.dashboard_url}")
  return variables
