"""A sweep as files for other schedulers: Kubernetes, Slurm, xpk, a shell.

Nothing is started. Each run is the command that a person would type, and its
exit codes mean what they mean to `launch.attempts`. Runs that start from
another are in a later wave.
"""

import dataclasses
import hashlib
import pathlib
import re
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from launch import host, slices, slurm
from launch import jobs as jobs_lib
from sr2_jax import errors
from sr2_jax.config import experiment_file

# Names of Kubernetes end up in those of pods, which get longer.
_LONGEST_NAME = 40
_LONGEST_SHORT_NAME = 31
# Seconds between SIGTERM and SIGKILL; a run has to save in them.
GRACE_SECONDS = 120
_RAY_VERSION = "2.60.0"
# Of a JobSet: a job has a node pool, which is a slice, to itself.
_ON_ONE_SLICE = "alpha.jobset.sigs.k8s.io/exclusive-topology"


@dataclasses.dataclass(frozen=True)
class Target:
  """Where the runs are to go.

  Attributes:
    slice_: what each run gets.
    name: of the sweep.
    workdir: absolute, as the hosts see it.
    retries: of a run that crashes.
    slices: at most so many at once; 0 is any number.
    image: of the container.
    volume: (claim, path): a claim and where it is mounted.
    queue: of Kueue, or a partition of Slurm; "" is the default one.
    arguments: of the sweep, for who starts it there.
  """

  slice_: slices.Slice
  name: str
  workdir: pathlib.Path
  retries: int
  slices: int = 0
  image: str = ""
  volume: tuple[str, str] | None = None
  queue: str = ""
  arguments: tuple[str, ...] = ()


def emit(kind: str, jobs: Sequence[jobs_lib.Job], target: Target) -> str:
  """The text of a file for a scheduler.

  Args:
    kind: a key of KINDS.
    jobs: a job's source is before it, or left out.
    target: where they are to go.

  Raises:
    UserError: if the target lacks what this kind needs, or has what it cannot
      use.
  """
  if target.slice_.cut:
    raise errors.UserError(f"--cut does not go with --emit={kind}.")
  for flag, kinds in _FLAGS.items():
    if getattr(target, flag) and kind not in kinds:
      raise errors.UserError(f"--{flag} does not go with --emit={kind}.")
  if kind in ("jobset", "rayjob"):
    _check_container(kind, target)
  only = {"xpk": "tpu", "sbatch": "gpu"}.get(kind, target.slice_.platform)
  if target.slice_.platform != only:
    raise errors.UserError(f"--emit={kind} is for {only.upper()}s.")
  if kind == "xpk" and not target.image:
    raise errors.UserError("--emit=xpk needs --image=IMAGE.")
  return KINDS[kind](jobs, target)


# What each flag is used by.
_FLAGS = {
  "image": ("jobset", "rayjob", "xpk"),
  "volume": ("jobset", "rayjob"),
  "queue": ("jobset", "rayjob", "sbatch"),
  "slices": ("rayjob", "sbatch"),
}


def _check_container(kind: str, target: Target) -> None:
  if not target.image or target.volume is None:
    raise errors.UserError(
      f"--emit={kind} needs --image=IMAGE and --volume=CLAIM:/PATH.\nThe "
      "Dockerfile makes an image; the claim has to be ReadWriteMany."
    )
  if not target.workdir.is_relative_to(target.volume[1]):
    raise errors.UserError(
      f"--workdir={target.workdir} has to be below {target.volume[1]}, where "
      "--volume is mounted."
    )


def command(job: jobs_lib.Job, target: Target) -> list[str]:
  """What starts a job on each host of its slice."""
  # The folders of jobs may be relative to the current one.
  folders = {"--workdir": job.name, "--config.init_from": job.source}
  arguments = []
  for argument in map(_portable, job.arguments):
    flag = argument.partition("=")[0]
    folder = folders.get(flag)
    arguments.append(
      f"{flag}={target.workdir / folder}" if folder else argument
    )
  auto = ["--coordinator=auto"] if target.slice_.hosts > 1 else []
  return ["python", "-m", "sr2_jax.main", *arguments, *auto]


def _with_cache(job: jobs_lib.Job, target: Target) -> str:
  """A command as a shell reads it, with a cache that all hosts share."""
  cache = f"SR2_JAX_CACHE_DIR={target.workdir / host.CACHE}"
  return shlex.join(["env", cache, *command(job, target)])


def _portable(argument: str) -> str:
  """An argument without the place of this installation."""
  name, equals, value = argument.partition("=")
  path = pathlib.Path(value)
  if name == "--config" and path.is_relative_to(experiment_file.SHIPPED):
    path = path.relative_to(experiment_file.SHIPPED.parent)
  return f"{name}{equals}{path}" if name == "--config" else argument


def dns_name(name: str) -> str:
  """A name that Kubernetes takes; names that differ stay different."""
  plain = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
  if plain == name.replace("_", "-") and len(plain) <= _LONGEST_NAME:
    return plain
  digest = hashlib.sha256(name.encode()).hexdigest()[:8]
  return f"{plain[:_LONGEST_SHORT_NAME].strip('-') or 'run'}-{digest}"


def _jobset(jobs: Sequence[jobs_lib.Job], target: Target) -> str:
  wave_of = jobs_lib.waves(jobs)
  documents = [_jobset_of(job, target, wave_of[job.name]) for job in jobs]
  lines = ["# A JobSet for each run. Runs of a later wave start from one of an"]
  lines += ["# earlier wave, which has to have finished:"]
  for wave in sorted(set(wave_of.values())):
    lines.append(f"#   kubectl apply -f FILE -l sr2-jax/wave={wave}")
  lines.append("# Exit code 3 fails a JobSet, but only some members diverged.")
  text = yaml.safe_dump_all(documents, sort_keys=False, width=100)
  return "\n".join([*lines, text])


def _jobset_of(job: jobs_lib.Job, target: Target, wave: int) -> dict[str, Any]:
  labels = {"sr2-jax/sweep": dns_name(target.name), "sr2-jax/wave": str(wave)}
  if target.queue:
    labels["kueue.x-k8s.io/queue-name"] = target.queue
  hosts = target.slice_.hosts
  pod = {
    **_pod(target, {"name": "run", "command": command(job, target)}),
    "restartPolicy": "Never",
    "terminationGracePeriodSeconds": GRACE_SECONDS,
  }
  in_vain = {
    "action": "FailJob",
    "onExitCodes": {
      "containerName": "run",
      "operator": "In",
      "values": [errors.TO_FIX, errors.DIVERGED],
    },
  }
  preempted = {
    "action": "Ignore",
    "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}],
  }
  job_spec = {
    "parallelism": hosts,
    "completions": hosts,
    "completionMode": "Indexed",
    "backoffLimit": 0,
    "podFailurePolicy": {"rules": [in_vain, preempted]},
    "template": {"spec": pod},
  }
  metadata: dict[str, Any] = {"name": dns_name(job.name), "labels": labels}
  if hosts > 1:
    # Or its pods could be given hosts of two slices.
    metadata["annotations"] = {_ON_ONE_SLICE: "cloud.google.com/gke-nodepool"}
  return {
    "apiVersion": "jobset.x-k8s.io/v1alpha2",
    "kind": "JobSet",
    "metadata": metadata,
    "spec": {
      "failurePolicy": {
        "maxRestarts": target.retries,
        "rules": [
          {
            "action": "FailJobSet",
            "onJobFailureReasons": ["PodFailurePolicy"],
          }
        ],
      },
      "replicatedJobs": [
        {"name": "run", "replicas": 1, "template": {"spec": job_spec}}
      ],
    },
  }


def _pod(
  target: Target, container: Mapping[str, Any], *, has_chips: bool = True
) -> dict[str, Any]:
  """A pod with one container on a host of the slice, and the volume."""
  slice_, (claim, mount) = target.slice_, target.volume or ("", "")
  selector, resource = {}, "google.com/tpu"
  if slice_.platform == "tpu":
    tpu = slices.TPUS[slice_.accelerator]
    selector["cloud.google.com/gke-tpu-accelerator"] = tpu.gke
    selector["cloud.google.com/gke-tpu-topology"] = slice_.topology
  else:
    gke = slices.GPUS[slice_.accelerator]
    selector["cloud.google.com/gke-accelerator"] = gke
    resource = "nvidia.com/gpu"
  chips = {resource: slice_.chips_per_host}
  cache = str(pathlib.PurePosixPath(mount) / "cache")
  return {
    **({"nodeSelector": selector} if has_chips else {}),
    "containers": [
      {
        "image": target.image,
        # Data and compiled programs are prepared once, for all hosts.
        "env": [{"name": "SR2_JAX_CACHE_DIR", "value": cache}],
        **({"resources": {"limits": chips}} if has_chips else {}),
        "volumeMounts": [{"name": "shared", "mountPath": mount}],
        **container,
      }
    ],
    "volumes": [
      {"name": "shared", "persistentVolumeClaim": {"claimName": claim}}
    ],
  }


def _rayjob(jobs: Sequence[jobs_lib.Job], target: Target) -> str:
  del jobs  # The sweep finds them itself.
  # What is in the entry point is read by a shell.
  entry = shlex.join(["python", "-m", "launch.sweep", *target.arguments])
  head = _pod(target, {"name": "head"}, has_chips=False)
  workers = _pod(target, {"name": "worker"})
  workers["terminationGracePeriodSeconds"] = GRACE_SECONDS
  # Or Ray would have the runs yield to everything else on a host.
  nice = {"name": "RAY_worker_niceness", "value": "0"}
  workers["containers"][0]["env"].append(nice)
  count = target.slices or 1
  spec = {
    "entrypoint": entry,
    "shutdownAfterJobFinishes": True,
    "rayClusterSpec": {
      "rayVersion": _RAY_VERSION,
      "headGroupSpec": {
        # The driver is here, and no run.
        "rayStartParams": {"num-cpus": "0"},
        "template": {"spec": head},
      },
      "workerGroupSpecs": [
        {
          "groupName": "slices",
          "numOfHosts": target.slice_.hosts,
          "replicas": count,
          "minReplicas": 0,
          "maxReplicas": count,
          "rayStartParams": {},
          "template": {"spec": workers},
        }
      ],
    },
  }
  labels = {"kueue.x-k8s.io/queue-name": target.queue} if target.queue else {}
  document = {
    "apiVersion": "ray.io/v1",
    "kind": "RayJob",
    "metadata": {"name": dns_name(target.name), "labels": labels},
    "spec": spec,
  }
  return yaml.safe_dump(document, sort_keys=False, width=100)


def _in_waves(jobs: Sequence[jobs_lib.Job]) -> list[tuple[int, jobs_lib.Job]]:
  """Jobs with their waves, earlier waves first."""
  wave_of = jobs_lib.waves(jobs)
  return sorted(
    ((wave_of[job.name], job) for job in jobs), key=lambda pair: pair[0]
  )


def _xpk(jobs: Sequence[jobs_lib.Job], target: Target) -> str:
  lines = [
    "#!/usr/bin/env bash",
    "# CLUSTER, PROJECT and ZONE have to be set.",
    'where=(--cluster="${CLUSTER:?}" --project="${PROJECT:?}" '
    '--zone="${ZONE:?}")',
  ]
  started: dict[int, list[str]] = {}
  for wave, job in _in_waves(jobs):
    if wave not in started:
      lines += ["", f"# wave {wave}"]
      for name in started.get(wave - 1, []):
        wait = ["xpk", "workload", "list", f"--wait-for-job-completion={name}"]
        lines.append(f'{shlex.join(wait)} "${{where[@]}}"')
    name = dns_name(job.name)
    create = [
      "xpk", "workload", "create", f"--workload={name}",
      f"--tpu-type={target.slice_.gce_type}", "--num-slices=1",
      f"--max-restarts={target.retries}", f"--docker-image={target.image}",
      f"--command={_with_cache(job, target)}",
    ]  # fmt: skip
    lines.append(f'{shlex.join(create)} "${{where[@]}}"')
    started.setdefault(wave, []).append(name)
  return "\n".join([*lines, ""])


def _commands(jobs: Sequence[jobs_lib.Job], target: Target) -> str:
  is_several = target.slice_.hosts > 1
  lines = ["#!/usr/bin/env bash"]
  if is_several:
    lines += [
      "# Each line starts a run on all hosts of a TPU VM.",
      "# TPU and ZONE have to be set.",
      'where=("${TPU:?}" --zone="${ZONE:?}" --worker=all)',
    ]
  for wave, job in _in_waves(jobs):
    if f"# wave {wave}" not in lines:
      lines += ["", f"# wave {wave}"]
    line = shlex.join(command(job, target))
    if is_several:
      line = _with_cache(job, target)
      ssh = "gcloud compute tpus tpu-vm ssh"
      line = f'{ssh} "${{where[@]}}" {shlex.join([f"--command={line}"])}'
    lines.append(line)
  return "\n".join([*lines, ""])


def _sbatch(jobs: Sequence[jobs_lib.Job], target: Target) -> str:
  runs = [
    # An evaluation waits for nothing: the runs have been trained.
    slurm.Run(
      job.name,
      tuple(command(job, target)),
      job.source if job.mode == "train" else None,
    )
    for job in jobs
  ]
  return slurm.script(
    runs,
    name=target.name,
    workdir=target.workdir,
    gpus=target.slice_.chips_per_host,
    retries=target.retries,
    at_once=target.slices,
    partition=target.queue,
    grace_seconds=GRACE_SECONDS,
  )


KINDS = {
  "jobset": _jobset,
  "rayjob": _rayjob,
  "sbatch": _sbatch,
  "xpk": _xpk,
  "commands": _commands,
}
