"""A sweep as one script for Slurm, which submits itself."""

import dataclasses
import shlex
from collections.abc import Sequence

from launch import host
from sr2_jax import errors
from sr2_jax.buckets import address

# The rules of `launch.attempts`, in Slurm's words. A job that is requeued keeps
# its number, so that the jobs after it wait on.
_HEAD = """\
#!/usr/bin/env bash
# Submit with: bash FILE
#SBATCH --job-name={name}
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node={gpus}
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --signal=TERM@{grace}
#SBATCH --output={log}
{partition}set -uo pipefail

# Logs of runs, and counts of their crashes.
logs={logs}
retries={retries}
names=({names})
# The number of the run that each starts from; - is none.
sources=({sources})

command_of() {{
  case "$1" in
{commands}
  esac
}}
"""
# Only in a job: what is exported where the script is submitted, each job has.
_IN_FOLDER = """\
# Data is prepared and programs are compiled once, for all nodes.
export SR2_JAX_CACHE_DIR="${{SR2_JAX_CACHE_DIR:-$logs/{cache}}}"
runs=$logs"""
_IN_BUCKET = """\
# A run works on its node, and mirrors its folder to the bucket.
scratch=${{SLURM_TMPDIR:-${{TMPDIR:-/tmp}}}}/sr2_jax_$UID
export SR2_JAX_SCRATCH_DIR="${{SR2_JAX_SCRATCH_DIR:-$scratch}}"
runs=$SR2_JAX_SCRATCH_DIR/{runs}"""
_TAIL = """
mkdir -p "$logs"

submit() {
  local ids=() first=() i id
  for i in "${!names[@]}"; do
    [[ ${sources[i]} == - ]] && first+=("$i")
  done
  id=$(sbatch --parsable --array="$(IFS=,; echo "${first[*]}")@LIMIT@" "$0") ||
    exit 1
  for i in "${first[@]}"; do ids[i]="${id%%;*}_$i"; done
  for i in "${!names[@]}"; do
    [[ ${sources[i]} == - ]] && continue
    id=$(sbatch --parsable --array="$i" --kill-on-invalid-dep=yes \\
      --dependency="afterok:${ids[sources[i]]}" "$0") || exit 1
    ids[i]="${id%%;*}_$i"
  done
}

again() {
  exec scontrol requeue "${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID"
}

if [[ -z ${SLURM_ARRAY_TASK_ID:-} ]]; then
  submit
  exit
fi
name=${names[SLURM_ARRAY_TASK_ID]}
@PLACES@
# The log of the run, as other engines name it.
exec >>"$logs/$name.log" 2>&1
command_of "$SLURM_ARRAY_TASK_ID"
srun "${command[@]}"
code=$?
case $code in
  @DONE@ | @TO_FIX@) exit $code ;;
  # Some members diverged. With DONE the others have finished, and the runs that
  # start from this one can.
  @DIVERGED@) [[ -e $runs/$name/DONE ]] && exit 0; exit $code ;;
  @IN_USE@) sleep 60; again ;;
  @INTERRUPTED@ | @TERMINATED@) again ;;
esac
echo "$code" >>"$logs/$name.crashes"
if (($(wc -l <"$logs/$name.crashes") > retries)); then
  # It has failed. Who submits it again has looked at it, and gets all retries.
  rm "$logs/$name.crashes"
  exit $code
fi
sleep 10
again
"""

_CODES = (
  "DONE", "TO_FIX", "DIVERGED", "IN_USE", "INTERRUPTED", "TERMINATED",
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Run:
  """A run of the script.

  Attributes:
    name: of the run.
    command: program and arguments.
    source: name of the run that it starts from, if that is one of them.
  """

  name: str
  command: tuple[str, ...]
  source: str | None


def script(
  runs: Sequence[Run],
  *,
  name: str,
  workdir: str,
  gpus: int,
  retries: int,
  at_once: int,
  partition: str,
  grace_seconds: int,
) -> str:
  """A script that submits an array of runs, and those that wait for them.

  Args:
    runs: a source is before those that start from it.
    name: of the sweep.
    workdir: absolute, as the hosts see it; or the URL of a bucket.
    gpus: of each run.
    retries: of a run that crashes.
    at_once: of the first wave, at most; 0 is all.
    partition: "" is the default one.
    grace_seconds: to save in, before the time is up.

  Raises:
    UserError: if the folder would end a line of the script's head.
  """
  if not workdir.isprintable():
    raise errors.UserError(f"--workdir={workdir!r}: has odd characters.")
  numbers = {run.name: number for number, run in enumerate(runs)}
  sources = [
    str(numbers[run.source]) if run.source in numbers else "-" for run in runs
  ]
  commands = [
    f"    {number}) command=({shlex.join(run.command)}) ;;"
    for number, run in enumerate(runs)
  ]
  is_in_bucket = address.is_url(workdir)
  logs = f"{name}_logs" if is_in_bucket else workdir
  # Slurm fills in what follows a %.
  log = f"{logs}/{name}".replace("%", "%%").replace(" ", "\\ ") + ".%a.log"
  head = _HEAD.format(
    name=shlex.quote(name),
    gpus=gpus,
    grace=grace_seconds,
    log=log,
    partition=f"#SBATCH --partition={partition}\n" if partition else "",
    logs=f"$PWD/{shlex.quote(logs)}" if is_in_bucket else shlex.quote(logs),
    retries=retries,
    names=shlex.join(run.name for run in runs),
    sources=" ".join(sources),
    commands="\n".join(commands),
  )
  return head + _tail(workdir, at_once)


def _tail(workdir: str, at_once: int) -> str:
  values = {
    "LIMIT": f"%{at_once}" if at_once else "",
    **{code: str(getattr(errors, code)) for code in _CODES},
    "PLACES": _places(workdir),
  }
  tail = _TAIL
  for word, value in values.items():
    tail = tail.replace(f"@{word}@", value)
  return tail


def _places(workdir: str) -> str:
  """Lines that say where the run folders are, as a job sees them."""
  if not address.is_url(workdir):
    return _IN_FOLDER.format(cache=host.CACHE)
  runs = address.below_scratch(address.parse(workdir, "--workdir"), 0)
  return _IN_BUCKET.format(runs=shlex.quote(runs.as_posix()))
