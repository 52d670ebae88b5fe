"""The processes of a run on a Ray cluster: an actor on each of its hosts.

A placement group holds the slice, and the actors start the command that a
person would type.
"""

import contextlib
import os
import pathlib
import signal
import socket
import tempfile
import time
from collections.abc import Mapping, Sequence
from typing import Any

import ray  # pyright: ignore[reportMissingImports]
from ray.util import (  # pyright: ignore[reportMissingImports]
  scheduling_strategies,
)

from launch import host, seats, slices, storage
from launch import jobs as jobs_lib
from sr2_jax import errors, files
from sr2_jax.peers import meeting

_SECONDS_TO_RESERVE, _SECONDS_TO_ANSWER = 20.0, 60.0
_SECONDS_FOR_THE_LAST = 1.0
# What Ray sets for its own workers, and a run would take for the user's.
_RAYS_OWN = ("OMP_NUM_THREADS",)


class Host:
  """An actor: one host of a slice."""

  def __init__(self) -> None:
    self._process: host.Process | None = None
    self._tail: host.Tail | None = None
    self._lock: Any = None
    self._port: socket.socket | None = None

  def labels(self) -> dict[str, str]:
    """Those of the node that it is on."""
    return dict(ray.get_runtime_context().get_node_labels())

  def chips(self) -> list[int]:
    """Numbers of the TPU chips that Ray has given to this actor."""
    found = ray.get_runtime_context().get_accelerator_ids()["TPU"]
    return [int(chip) for chip in found]

  def free_address(self) -> str:
    """An address of this host, with a port that stays free for the process."""
    self._port = meeting.hold_port()
    return f"{ray.util.get_node_ip_address()}:{self._port.getsockname()[1]}"

  def locks(self, path: str) -> str:
    """What comes of trying to lock a file; this actor then holds the lock."""
    answer, self._lock = storage.lock(path)
    return answer

  def start(
    self, command: Sequence[str], log: str, cwd: str, env: Mapping[str, str]
  ) -> tuple[str, int]:
    """Starts a process, which ends with this actor.

    Args:
      command: program and arguments.
      log: gets its output; with "", `poll` tells it.
      cwd: its folder.
      env: variables, beside those of this host.

    Returns:
      The name of this host, and the id of the process.
    """
    self._lock = None
    own = {k: v for k, v in os.environ.items() if k not in _RAYS_OWN}
    with contextlib.ExitStack() as stack:
      path = pathlib.Path(log)
      if not log:
        # Its name goes at once: nobody could delete it for a killed actor.
        file = stack.enter_context(tempfile.NamedTemporaryFile())
        path = pathlib.Path(file.name)
        self._tail = host.Tail(path)
      self._process = host.Process(
        command, path, cwd=cwd, env={**own, **env}, is_tied=True
      )
    return socket.gethostname(), self._process.pid

  def poll(self) -> tuple[int | None, str]:
    """The exit code of the process, None while it runs, and its new output."""
    code = self._process.poll() if self._process else None
    # In this order: what it has printed last is read, too.
    return code, self._tail.read() if self._tail else ""

  def send(self, number: int) -> None:
    """Sends the process a signal."""
    if self._process:
      self._process.send(number)


class Gang:
  """The processes of a job on the hosts of a slice, as a `fleet.Gang`.

  Args:
    job: to start.
    seat: the slice, or part of one.
    slice_: what it is a seat on.
    workdir: gets the logs.
    env: variables of the processes.
    is_shared: whether all hosts have to see that folder. If not, their output
      comes over Ray.

  Attributes:
    first: host of process 0, and its id there.

  Raises:
    TimeoutError: if the slice was taken by somebody else.
    UserError: if its hosts do not share the folder, or cannot start the job.
  """

  def __init__(
    self,
    job: jobs_lib.Job,
    seat: seats.Seat,
    *,
    slice_: slices.Slice,
    workdir: pathlib.Path,
    env: Mapping[str, str],
    is_shared: bool = True,
  ) -> None:
    self._job, self._seat, self._slice = job, seat, slice_
    self._is_shared = is_shared
    self.size = len(seat.bundles)
    self.codes: dict[int, int | None] = {}
    self._hosts: list[Any] = []
    # What each host has been asked and has not answered, and since when.
    self._asked: dict[int, tuple[Any, float]] = {}
    self._group = ray.util.placement_group(
      seat.bundles,
      strategy="STRICT_SPREAD" if self.size > 1 else "PACK",
      bundle_label_selector=seat.selectors,
    )
    self.logs = [workdir / f"{job.name}.log"]
    self.logs += [workdir / f"{job.name}.{i}.log" for i in range(1, self.size)]
    try:
      self._start(workdir, env)
    except ray.exceptions.RayError as error:
      self.close()
      raise _why_not(job, seat, error) from error
    except BaseException:
      self.close()
      raise

  def _start(self, workdir: pathlib.Path, env: Mapping[str, str]) -> None:
    if not self._group.wait(timeout_seconds=_SECONDS_TO_RESERVE):
      raise TimeoutError(f"{self._seat.name} was taken by somebody else")
    actor = ray.remote(max_restarts=0)(Host)
    for index, bundle in enumerate(self._seat.bundles):
      strategy = scheduling_strategies.PlacementGroupSchedulingStrategy(
        self._group, placement_group_bundle_index=index
      )
      resources = {k: v for k, v in bundle.items() if k not in ("CPU", "GPU")}
      self._hosts.append(
        actor.options(
          num_cpus=bundle["CPU"],
          num_gpus=bundle.get("GPU", 0),
          resources=resources,
          scheduling_strategy=strategy,
        ).remote()
      )
    found = self._ask([h.labels.remote() for h in self._hosts])
    for wanted, labels in zip(self._seat.selectors, found, strict=True):
      if not wanted.items() <= labels.items():
        raise TimeoutError(f"{self._seat.name} is not where it was")
    if self._is_shared:
      self._check_storage(workdir)
    variables = {**env, **self._of_part()}
    several = []
    if len(self._hosts) > 1:
      [address] = self._ask([self._hosts[0].free_address.remote()])
      several = [f"--coordinator={address}"]
      several += [f"--num_processes={len(self._hosts)}"]
    self._log(0, f"-- {self._job.name} on {self._seat.name}\n")
    starts = []
    for index, actor_of_host in enumerate(self._hosts):
      own = [*several, f"--process_id={index}"] if several else []
      command = [*host.COMMAND, *self._job.arguments, *own]
      log = str(self.logs[index].absolute()) if self._is_shared else ""
      starts.append(
        actor_of_host.start.remote(command, log, os.getcwd(), variables)
      )
    self.first: tuple[str, int] = self._ask(starts)[0]

  def _log(self, index: int, text: str) -> None:
    # On a full disk the processes go on all the same, and say so.
    with (
      contextlib.suppress(OSError),
      files.open_regular(self.logs[index], "ab") as log,
    ):
      log.write(text.encode())

  def _of_part(self) -> dict[str, str]:
    """Variables that keep libtpu to this run's part of a host; {} if whole."""
    if not self._slice.cut:
      return {}
    [chips] = self._ask([self._hosts[0].chips.remote()])
    variables = self._slice.variables(chips)
    if not variables:
      # Others on this host have another --cut.
      numbers = ",".join(map(str, sorted(chips)))
      raise TimeoutError(
        f"chips {numbers} of {self._seat.name} are no {self._slice.cut}"
      )
    return variables

  def _check_storage(self, workdir: pathlib.Path) -> None:
    """Refuses a folder that the hosts do not share, or that has no locks."""
    token = workdir / f".shared.{self._job.name}"
    try:
      token.touch()
    except OSError as error:
      raise errors.UserError(
        f"{self._job.name} cannot start: --workdir={workdir} cannot be "
        f"written ({error.strerror or error})."
      ) from error
    path = str(token.absolute())
    try:
      answers = []
      for actor_of_host in self._hosts:
        answers += self._ask([actor_of_host.locks.remote(path)])
      answers.append(storage.lock(path)[0])
    finally:
      with contextlib.suppress(OSError):
        token.unlink()
    if problem := storage.problem(answers):
      raise errors.UserError(
        f"--workdir={workdir} {problem} by all hosts of {self._seat.name}.\n"
        "Give a folder that they share, such as NFS or Lustre with locks."
      )

  def _ask(self, questions: Sequence[Any]) -> list[Any]:
    return ray.get(list(questions), timeout=_SECONDS_TO_ANSWER)

  def poll(self) -> None:
    """Brings the exit codes up to date, by what the hosts have answered.

    A host that is silent delays nobody: it is asked, and not waited for.
    """
    now = time.monotonic()
    for index in self._answered(now):
      question, _ = self._asked.pop(index)
      try:
        code, text = ray.get(question)
      except ray.exceptions.OutOfMemoryError:
        # Ray has killed the actor. Elsewhere the run would need as much.
        self.codes[index] = 128 + signal.SIGKILL
      except ray.exceptions.RayError:
        self.codes[index] = None  # The actor is gone, and its process with it.
      else:
        if text:
          self._log(index, text)
        if code is not None:
          self.codes[index] = code
    for index, (_, since) in list(self._asked.items()):
      if now - since > _SECONDS_TO_ANSWER:
        del self._asked[index]
        self.codes[index] = None  # As good as gone.
    for index, actor_of_host in enumerate(self._hosts):
      if index not in self.codes and index not in self._asked:
        self._asked[index] = actor_of_host.poll.remote(), now

  def _answered(self, now: float) -> list[int]:
    """Those of the hosts that have answered."""
    by_question = {question: i for i, (question, _) in self._asked.items()}
    if not by_question:
      return []
    # Where this process has slept itself, the answers are about to come.
    is_late = any(
      now - since > _SECONDS_TO_ANSWER for _, since in self._asked.values()
    )
    ready, _ = ray.wait(
      list(by_question),
      num_returns=len(by_question),
      timeout=_SECONDS_FOR_THE_LAST if is_late else 0.0,
    )
    return [by_question[question] for question in ready]

  def send(self, number: int) -> None:
    """Sends every process a signal."""
    for actor_of_host in self._hosts:
      actor_of_host.send.remote(number)

  def close(self) -> None:
    """Kills what is left, and releases the slice."""
    for actor_of_host in self._hosts:
      ray.kill(actor_of_host)
    ray.util.remove_placement_group(self._group)


def _why_not(
  job: jobs_lib.Job, seat: seats.Seat, error: Exception
) -> TimeoutError | errors.UserError:
  """What an error of Ray's at a start means."""
  is_ours = isinstance(error, ray.exceptions.RayTaskError)
  if not is_ours and not getattr(error, "actor_init_failed", False):
    return TimeoutError(f"{seat.name} does not answer")
  last = str(error).strip().splitlines()[-1]
  return errors.UserError(
    f"{job.name} cannot start on {seat.name}: {last}\n"
    "All hosts need the project at the same path, or installed."
  )
