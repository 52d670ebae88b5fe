"""Where runs go that other schedulers start, and what starts them there."""

import dataclasses
import pathlib
import shlex

from launch import host, slices
from launch import jobs as jobs_lib
from sr2_jax.buckets import address
from sr2_jax.config import experiment_file

# Seconds between SIGTERM and SIGKILL; a run has to save in them.
GRACE_SECONDS = 120


@dataclasses.dataclass(frozen=True)
class Target:
  """Where the runs are to go.

  Attributes:
    slice_: what each run gets.
    name: of the sweep.
    workdir: absolute, as the hosts see it; or the URL of a bucket.
    retries: of a run that crashes.
    slices: at most so many at once; 0 is any number.
    image: of the container.
    volume: (claim, path): a claim and where it is mounted.
    queue: of Kueue, or a partition of Slurm; "" is the default one.
    arguments: of the sweep, for who starts it there.
  """

  slice_: slices.Slice
  name: str
  workdir: str
  retries: int
  slices: int = 0
  image: str = ""
  volume: tuple[str, str] | None = None
  queue: str = ""
  arguments: tuple[str, ...] = ()

  @property
  def is_in_bucket(self) -> bool:
    """Whether the hosts share no folder."""
    return address.is_url(self.workdir)


def command(job: jobs_lib.Job, target: Target) -> list[str]:
  """What starts a job on each host of its slice."""
  # The folders of jobs may be relative to the current one.
  folders = {"--workdir": job.name, "--config.init_from": job.source}
  arguments = []
  for argument in map(_portable, job.arguments):
    flag = argument.partition("=")[0]
    folder = folders.get(flag)
    arguments.append(
      f"{flag}={target.workdir}/{folder}" if folder else argument
    )
  auto = ["--coordinator=auto"] if target.slice_.hosts > 1 else []
  return ["python", "-m", "sr2_jax.main", *arguments, *auto]


def with_cache(job: jobs_lib.Job, target: Target) -> str:
  """A command as a shell reads it, with a cache that all hosts share.

  Where they share nothing, each has the usual one.
  """
  if target.is_in_bucket:
    return shlex.join(command(job, target))
  cache = f"SR2_JAX_CACHE_DIR={target.workdir}/{host.CACHE}"
  return shlex.join(["env", cache, *command(job, target)])


def _portable(argument: str) -> str:
  """An argument without the place of this installation."""
  name, equals, value = argument.partition("=")
  path = pathlib.Path(value)
  if name == "--config" and path.is_relative_to(experiment_file.SHIPPED):
    path = path.relative_to(experiment_file.SHIPPED.parent)
  return f"{name}{equals}{path}" if name == "--config" else argument
