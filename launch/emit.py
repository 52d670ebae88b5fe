"""A sweep as files for other schedulers: Kubernetes, Slurm, xpk, a shell.

Nothing is started. Each run is the command that a person would type, and its
exit codes mean what they mean to `launch.attempts`. Runs that start from
another are in a later wave.
"""

import pathlib
import shlex
from collections.abc import Sequence

from launch import jobs as jobs_lib
from launch import kubernetes, slurm
from launch import target as target_lib
from sr2_jax import errors


def emit(
  kind: str, jobs: Sequence[jobs_lib.Job], target: target_lib.Target
) -> str:
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


def _check_container(kind: str, target: target_lib.Target) -> None:
  if target.is_in_bucket:
    if not target.image or target.volume is not None:
      raise errors.UserError(
        f"--emit={kind} needs --image=IMAGE, and with a bucket no --volume."
      )
    return
  if not target.image or target.volume is None:
    raise errors.UserError(
      f"--emit={kind} needs --image=IMAGE and --volume=CLAIM:/PATH.\nThe "
      "Dockerfile makes an image; the claim has to be ReadWriteMany."
    )
  if not pathlib.Path(target.workdir).is_relative_to(target.volume[1]):
    raise errors.UserError(
      f"--workdir={target.workdir} has to be below {target.volume[1]}, where "
      "--volume is mounted."
    )


def _in_waves(jobs: Sequence[jobs_lib.Job]) -> list[tuple[int, jobs_lib.Job]]:
  """Jobs with their waves, earlier waves first."""
  wave_of = jobs_lib.waves(jobs)
  return sorted(
    ((wave_of[job.name], job) for job in jobs), key=lambda pair: pair[0]
  )


def _xpk(jobs: Sequence[jobs_lib.Job], target: target_lib.Target) -> str:
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
    name = kubernetes.dns_name(job.name)
    create = [
      "xpk", "workload", "create", f"--workload={name}",
      f"--tpu-type={target.slice_.gce_type}", "--num-slices=1",
      f"--max-restarts={target.retries}", f"--docker-image={target.image}",
      f"--command={target_lib.with_cache(job, target)}",
    ]  # fmt: skip
    lines.append(f'{shlex.join(create)} "${{where[@]}}"')
    started.setdefault(wave, []).append(name)
  return "\n".join([*lines, ""])


def _commands(jobs: Sequence[jobs_lib.Job], target: target_lib.Target) -> str:
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
    line = shlex.join(target_lib.command(job, target))
    if is_several:
      line = target_lib.with_cache(job, target)
      ssh = "gcloud compute tpus tpu-vm ssh"
      line = f'{ssh} "${{where[@]}}" {shlex.join([f"--command={line}"])}'
    lines.append(line)
  return "\n".join([*lines, ""])


def _sbatch(jobs: Sequence[jobs_lib.Job], target: target_lib.Target) -> str:
  runs = [
    # An evaluation waits for nothing: the runs have been trained.
    slurm.Run(
      job.name,
      tuple(target_lib.command(job, target)),
      job.source if job.mode == "train" else None,
    )
    for job in jobs
  ]
  return slurm.script(
    runs,
    name=target.name,
    workdir=str(target.workdir),
    gpus=target.slice_.chips_per_host,
    retries=target.retries,
    at_once=target.slices,
    partition=target.queue,
    grace_seconds=target_lib.GRACE_SECONDS,
  )


KINDS = {
  "jobset": kubernetes.jobset,
  "rayjob": kubernetes.rayjob,
  "sbatch": _sbatch,
  "xpk": _xpk,
  "commands": _commands,
}
