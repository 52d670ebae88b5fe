"""What is kept of finished runs: rows, and pretrained weights; no JAX.

Rows go into one file an experiment. Weights are in a folder for each run that
only pretrained. It is what is left of a finished run folder: a sweep that finds
it in its own folder does not train that run again, and starts others from it.
"""

import json
import pathlib
from typing import Any

from sr2_jax import errors, files, json_files, names
from sr2_jax.records import divergence, provenance, row_files, timing_log
from sr2_jax.records import folder as folder_lib
from sr2_jax.records import rows as rows_lib
from sr2_jax.records import weights as weights_lib

# Beside the rows: revision, time and machine of each file of rows.
RUNS_FILE = "runs.json"
# A folder of run folders beside the rows.
WEIGHTS = "weights"


def collect(runs: pathlib.Path, results: pathlib.Path) -> list[pathlib.Path]:
  """Files with the rows of all finished runs below a folder, and weights.

  Runs that share an experiment, such as those of other seeds, share a file. A
  run that is collected again replaces its own rows.

  Args:
    runs: a run folder, or a folder of run folders.
    results: gets the files of rows, `RUNS_FILE` and, in `WEIGHTS`, a folder for
      each run that others can start from.

  Raises:
    UserError: if no run below the folder has finished, or a file is damaged.
  """
  finished = [
    folder
    for path in row_files.below(runs, rows_lib.FILE_NAME)
    if (folder := folder_lib.RunFolder(path.parent)).is_done
  ]
  if not finished:
    raise errors.UserError(f"{runs}: no run in it has finished.")
  known = read_known(results)
  written: dict[pathlib.Path, None] = {}
  for folder in finished:
    of_experiment: dict[str, list[rows_lib.Row]] = {}
    for row in rows_lib.read(folder.path):
      of_experiment.setdefault(row.experiment, []).append(row)
    for experiment, rows in of_experiment.items():
      path = results / f"{experiment}.jsonl"
      rows_lib.merge(path, rows)
      known[experiment] = _with_run(known.get(experiment, {}), folder)
      written[path] = None
    kept = results / WEIGHTS / folder.path.name
    if _is_pretraining(folder):
      _keep_weights(folder, kept)
      written[kept] = None
  text = json.dumps(known, indent=2, sort_keys=True) + "\n"
  files.write_atomically(results / RUNS_FILE, text.encode())
  return list(written)


def read_known(results: pathlib.Path) -> dict[str, dict[str, Any]]:
  """Revision, time and machine of each file of rows, by its name."""
  path = results / RUNS_FILE
  try:
    found = json_files.read(path)
    if not isinstance(found, dict):
      raise ValueError("not a JSON object")
    return found
  except FileNotFoundError:
    return {}
  except (OSError, ValueError) as error:
    raise errors.UserError(
      f"{path}: damaged ({files.in_words(error)}).\nRestore it from a copy."
    ) from error


def _is_pretraining(folder: folder_lib.RunFolder) -> bool:
  """Whether a run has pretrained a trunk, all its members, and nothing else."""
  networks = weights_lib.network_folders(folder.path)
  families = [names.method(key).family for key in networks]
  return families == ["trunk"] and not divergence.of_run(folder.path)


def _keep_weights(folder: folder_lib.RunFolder, kept: pathlib.Path) -> None:
  """Copies what a sweep needs to start other runs from a finished one.

  No rows: they are in `results`, whose files a second copy would hide. Both
  kinds of BatchNorm's statistics stay in the weights: they take no room.

  Raises:
    UserError: if weights are damaged.
  """
  last = sorted(folder.path.glob("weights/*/*/last.safetensors"))
  for path in last:
    weights_lib.verify(path)
  digests = [path.with_name(f"{path.name}.sha256") for path in last]
  # DONE comes last: without it, the copy is of a run that has not finished.
  others = [folder.path / "config.json", folder.path / "DONE"]
  for path in (*last, *digests, *others):
    copy = kept / path.relative_to(folder.path)
    files.write_atomically(copy, files.read(path))


def _with_run(
  known: dict[str, Any], folder: folder_lib.RunFolder
) -> dict[str, Any]:
  """What is known of a file of rows, with that of one more run in it."""
  recorded = folder.read() or {}
  devices = recorded.get("devices", {})
  seconds = timing_log.seconds_of_phases(folder.path / timing_log.FILE_NAME)
  runs = {
    **known.get("runs", {}),
    folder.path.name: {
      "revision": recorded.get("git_revision", "")[:12],
      "minutes": round(sum(seconds.values()) / 60, 1),
      "machine": provenance.cores_in_words(devices.get("cpu_cores", "?"))
      if devices.get("platform") == "cpu"
      else f"{devices.get('count', '?')} x {devices.get('kind', '?')}",
    },
  }
  of_runs = list(runs.values())
  return {
    "runs": runs,
    "revision": _each([run["revision"] for run in of_runs]),
    "time": f"{sum(run['minutes'] for run in of_runs):.0f} min",
    "machine": _each([run["machine"] for run in of_runs]),
  }


def _each(texts: list[str]) -> str:
  return ", ".join(dict.fromkeys(texts))
