"""A sweep as files for Kubernetes: JobSets, or one RayJob."""

import hashlib
import pathlib
import re
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from launch import jobs as jobs_lib
from launch import slices
from launch import target as target_lib
from sr2_jax import errors

# Names of Kubernetes end up in those of pods, which get longer.
_LONGEST_NAME = 40
_LONGEST_SHORT_NAME = 31
_RAY_VERSION = "2.60.0"
# Of a JobSet: a job has a node pool, which is a slice, to itself.
_ON_ONE_SLICE = "alpha.jobset.sigs.k8s.io/exclusive-topology"


def dns_name(name: str) -> str:
  """A name that Kubernetes takes; names that differ stay different."""
  plain = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
  if plain == name.replace("_", "-") and len(plain) <= _LONGEST_NAME:
    return plain
  digest = hashlib.sha256(name.encode()).hexdigest()[:8]
  return f"{plain[:_LONGEST_SHORT_NAME].strip('-') or 'run'}-{digest}"


def jobset(jobs: Sequence[jobs_lib.Job], target: target_lib.Target) -> str:
  """A JobSet for each run, with labels for its wave."""
  wave_of = jobs_lib.waves(jobs)
  documents = [_jobset_of(job, target, wave_of[job.name]) for job in jobs]
  lines = ["# A JobSet for each run. Runs of a later wave start from one of an"]
  lines += ["# earlier wave, which has to have finished:"]
  for wave in sorted(set(wave_of.values())):
    lines.append(f"#   kubectl apply -f FILE -l sr2-jax/wave={wave}")
  lines.append("# Exit code 3 fails a JobSet, but only some members diverged.")
  text = yaml.safe_dump_all(documents, sort_keys=False, width=100)
  return "\n".join([*lines, text])


def _jobset_of(
  job: jobs_lib.Job, target: target_lib.Target, wave: int
) -> dict[str, Any]:
  labels = {"sr2-jax/sweep": dns_name(target.name), "sr2-jax/wave": str(wave)}
  if target.queue:
    labels["kueue.x-k8s.io/queue-name"] = target.queue
  hosts = target.slice_.hosts
  pod = {
    **_pod(target, {"name": "run", "command": target_lib.command(job, target)}),
    "restartPolicy": "Never",
    "terminationGracePeriodSeconds": target_lib.GRACE_SECONDS,
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
  target: target_lib.Target,
  container: Mapping[str, Any],
  *,
  has_chips: bool = True,
) -> dict[str, Any]:
  """A pod with one container on a host of the slice, and the volume if any."""
  slice_ = target.slice_
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
  of_container, of_pod = _volume(*target.volume) if target.volume else ({}, {})
  return {
    **({"nodeSelector": selector} if has_chips else {}),
    "containers": [
      {
        "image": target.image,
        "env": [],
        **({"resources": {"limits": chips}} if has_chips else {}),
        **of_container,
        **container,
      }
    ],
    **of_pod,
  }


def _volume(claim: str, mount: str) -> tuple[dict[str, Any], dict[str, Any]]:
  """What a container and a pod say of a volume that all hosts share."""
  # Data and compiled programs are prepared once, for all hosts.
  cache = str(pathlib.PurePosixPath(mount) / "cache")
  volume = {"name": "shared", "persistentVolumeClaim": {"claimName": claim}}
  of_container = {
    "env": [{"name": "SR2_JAX_CACHE_DIR", "value": cache}],
    "volumeMounts": [{"name": "shared", "mountPath": mount}],
  }
  return of_container, {"volumes": [volume]}


def rayjob(jobs: Sequence[jobs_lib.Job], target: target_lib.Target) -> str:
  """One job of KubeRay: a cluster of slices, and the sweep on it."""
  del jobs  # The sweep finds them itself.
  # What is in the entry point is read by a shell.
  entry = shlex.join(["python", "-m", "launch.sweep", *target.arguments])
  head = _pod(target, {"name": "head"}, has_chips=False)
  workers = _pod(target, {"name": "worker"})
  workers["terminationGracePeriodSeconds"] = target_lib.GRACE_SECONDS
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
