"""What is fuzzed: all that reads folders, and the command lines.

Programs are called as `python -m` calls them, up to the point where they would
train, predict or compile: there a stand-in says what they have read.
"""

import contextlib
import functools
import hashlib
import pathlib
import shutil
from collections.abc import Iterator
from typing import Any
from unittest import mock

import jax
import numpy as np

from experiments import default
from launch import sweep
from sr2_jax import compilation, cpu_tuning, main, predict, train
from sr2_jax.data import dataset
from sr2_jax.prediction import choice
from sr2_jax.records import released, weights
from sr2_jax.release import __main__ as release
from sr2_jax.report import __main__ as report
from sr2_jax.training import check
from sr2_jax.training import run as run_lib
from tests import paper_world, random_network, tiny_predictor
from tests.fuzz import cases, commands, folders, oracle
from tests.fuzz.oracle import Ended, Target

_ROWS = "a number in it is a number of the report"
_OF_A_LOG = "its lines are kept as they are, and say who has diverged"
_PIXELS = "other pixels, or none, are another image"


class _Started(Exception):
  """A program would begin its work now; says with what."""

  def __init__(self, found: Any) -> None:
    super().__init__()
    self.found = found


def _digest(tree: Any) -> str:
  digest = hashlib.sha256()
  for leaf in jax.tree.leaves(tree):
    digest.update(np.ascontiguousarray(leaf).tobytes())
  return digest.hexdigest()[:16]


@contextlib.contextmanager
def _without_settings() -> Iterator[None]:
  """JAX stays as the tests have it."""
  with (
    mock.patch.object(cpu_tuning, "prepare"),
    mock.patch.object(compilation, "use_cache"),
  ):
    yield


def _train_phase(run: Any, start: Any, *arguments: Any, **more: Any) -> None:
  raise _Started({
    "phase": start.phase.name,
    "step": start.step,
    "state": _digest(start.state),
    "alive": more["divergences"].alive(start.phase).tolist(),
    "log": (run.folder.path / "metrics.jsonl").read_text()
    if (run.folder.path / "metrics.jsonl").exists()
    else "",
  })  # fmt: skip


# Reading the digits takes as long as all the rest.
_load_data = functools.cache(run_lib._load_data)


def _main(workdir: pathlib.Path, *flags: str) -> Ended:
  """`sr2_jax.main` up to its first step."""
  with (
    _without_settings(),
    mock.patch.object(train, "train_phase", _train_phase),
    mock.patch.object(run_lib, "_load_data", _load_data),
  ):
    try:
      with _in_root():
        command = folders.parse(workdir, *flags)
      main.run(command)
    except _Started as started:
      return Ended(result=started.found)
  return Ended(result="nothing to do")


@contextlib.contextmanager
def _in_root() -> Iterator[None]:
  with contextlib.chdir(pathlib.Path(__file__).parents[2]):
    yield


def _resume(folder: pathlib.Path, _: cases.Case) -> Ended:
  return _main(folder / "run")


def _from_weights(folder: pathlib.Path, _: cases.Case) -> Ended:
  return _main(folder / "new", f"--config.init_from={folder}/run/weights")


def _from_run(folder: pathlib.Path, _: cases.Case) -> Ended:
  return _main(folder / "new", f"--config.init_from={folder}/run")


def _evaluate(folder: pathlib.Path, _: cases.Case) -> Ended:
  """`--mode=eval` up to the first evaluation."""
  found = {}

  def evaluated(run: Any, evaluation: Any, kind: str, restored: Any, *_: Any,
                **__: Any) -> list[str]:  # fmt: skip
    found[evaluation.phase.name] = kind, _digest(restored[0]), restored[1]
    return ["a row"]

  with (
    mock.patch.object(train, "_store_and_evaluate", evaluated),
    mock.patch.object(train.output, "show"),
  ):
    _main(folder / "run", "--mode=eval")
  return Ended(result=found)


def _report(folder: pathlib.Path, _: cases.Case) -> Ended:
  with mock.patch.object(report, "_write_curves", return_value=[]):
    return oracle.of_command(lambda: report.main([f"{folder}/run"]))


def _page(folder: pathlib.Path, _: cases.Case) -> Ended:
  """The page of two runs; without pictures, which take seconds."""
  out = folder.parent / "out" / "page"
  with _no_pictures():
    ended = oracle.of_command(
      lambda: report.main([f"{folder}/runs", f"--out={out}"])
    )
  pages = {x.name: x.read_text() for x in sorted(out.glob("*.md"))}
  return Ended(ended.code, ended.message, {"out": ended.result, **pages})


@contextlib.contextmanager
def _no_pictures() -> Iterator[None]:
  from matplotlib import figure

  with mock.patch.object(
    figure.Figure,
    "savefig",
    lambda self, path, *_, **__: pathlib.Path(path).write_bytes(b""),
  ):
    yield


def _csv(folder: pathlib.Path, _: cases.Case) -> Ended:
  out = folder.parent / "out" / "rows.csv"
  out.parent.mkdir(exist_ok=True)
  ended = oracle.of_command(
    lambda: report.main([f"{folder}/run", f"--csv={out}", "--force"])
  )
  table = out.read_text() if out.exists() else ""
  return Ended(ended.code, ended.message, table)


def _weights(folder: pathlib.Path, _: cases.Case) -> Ended:
  """`predict.load`, without what compiles."""
  with (
    _without_settings(),
    mock.patch(
      "sr2_jax.prediction.predictor.Predictor", lambda trained: trained
    ),
  ):
    found = predict.load(folder / "run")
  return Ended(
    result={
      "weights": _digest(found.variables),
      "members": [x.member for x in found.origins],
      "names": found.origins[0].class_names,
      "scale": found.network.model.scale,
    }
  )


def _predict(folder: pathlib.Path, _: cases.Case) -> Ended:
  """`sr2_jax.predict` of all images of a folder, with a small network."""

  def network(chosen: choice.Choice) -> Any:
    for path in chosen.paths:
      weights.read(path)
    return _small_network()

  out = folder / "out"
  with mock.patch.object(predict, "_predictor", network):
    ended = oracle.of_command(
      lambda: predict.main(
        [
          "predict",
          f"{folder}/images",
          f"--weights={folder}/run",
          f"--out={out}",
          f"--table={out}/table.jsonl",
          "--skip-existing",
          "--classify=no",
        ]
      )
    )
  made = {
    x.name: hashlib.sha256(x.read_bytes()).hexdigest()[:16]
    for x in sorted(out.glob("*.png"))
    if x.is_file()
  }
  return Ended(ended.code, ended.message, made)


@functools.cache
def _small_network() -> Any:
  return tiny_predictor.make((0, 1))


def _released(*flags: str) -> Any:
  """`sr2_jax.release` on what has been released."""

  def play(folder: pathlib.Path, _: cases.Case) -> Ended:
    def read(paths: Any) -> None:
      for path in paths:
        weights.read(path)

    released.index.cache_clear()
    with mock.patch("sr2_jax.training.network.from_files", read):
      return oracle.of_command(
        lambda: release.main([*flags, f"--out={folder}"]),
        # Without the number of bytes.
        result=lambda text: text.partition(",")[0],
      )

  return play


def _copied(folder: pathlib.Path, _: cases.Case) -> Ended:
  """Released weights that somebody has copied here."""
  found = choice.find(str(folder / "mine"))
  return Ended(
    result={
      "weights": [_digest(weights.read(path)[0]) for path in found.paths],
      "notes": found.notes,
      "scale": found.scale,
    }
  )


def _images(folder: pathlib.Path, _: cases.Case) -> Ended:
  """Images as a run reads them."""
  return Ended(result=_loaded(folder / "images"))


def _labeled(folder: pathlib.Path, _: cases.Case) -> Ended:
  labels = str(folder / "labels.csv")
  return Ended(result=_loaded(folder / "images", labels=labels))


def _pairs(folder: pathlib.Path, _: cases.Case) -> Ended:
  small = str(folder / "small")
  return Ended(result=_loaded(folder / "images", low_res_path=small))


def _loaded(path: pathlib.Path, **fields: str) -> dict[str, Any]:
  config = default.get_config().data
  config.update({"name": "folder", "path": str(path), **fields})
  found = dataset.load(config, dataset.Needs(multiple_of=2, classifies=True))
  return {
    "names": found.class_names,
    "notes": found.notes,
    "fingerprint": found.fingerprint,
    "train": _digest((found.train.images[:], found.train.labels)),
  }


def _cached(folder: pathlib.Path, _: cases.Case) -> Ended:
  """Images of which an earlier start has left a cache."""
  with mock.patch.dict("os.environ", SR2_JAX_CACHE_DIR=str(folder / "cache")):
    return Ended(result=_loaded(folder.parent / "good" / "images" / "images"))


def _checked(folder: pathlib.Path, _: cases.Case) -> Ended:
  """`sr2_jax.data.check` with all that it looks at."""
  return oracle.of_command(
    lambda: check.main(
      [
        f"{folder}/images",
        f"--low_res_path={folder}/small",
        "--scale=2",
        f"--labels={folder}/labels.csv",
      ]
    )
  )


def _sweep(*flags: str) -> Any:
  def play(folder: pathlib.Path, _: cases.Case) -> Ended:
    arguments = ["--sweep=tests/tiny_sweep.py:three", f"--workdir={folder}"]
    with _in_root():
      return oracle.of_command(
        lambda: sweep.main(["sweep", *arguments, *flags]),
        # The first line has the time.
        result=lambda text: text.partition("]")[2] or text,
      )

  return play


def _write_sweep(folder: pathlib.Path) -> None:
  with _in_root():
    folders.sweep(folder)


def _write_run(folder: pathlib.Path) -> None:
  with _in_root():
    folders.finished_run(folder / "run")


def _write_stopped(folder: pathlib.Path) -> None:
  with _in_root():
    folders.stopped_run(folder / "run")


def _write_without_checkpoints(folder: pathlib.Path) -> None:
  _write_run(folder)
  shutil.rmtree(folder / "run/checkpoints")


def _write_network(folder: pathlib.Path) -> None:
  random_network.write(folder / "run", random_network.make(seeds=(0, 1)))


def _write_rows(folder: pathlib.Path) -> None:
  for name in ("sr2_wdsr", "wdsr"):
    paper_world.write_run(
      folder / "runs" / name,
      name,
      paper_world.constant(0.7),
      seeds=(0, 1),
      levels=(0.0, 1e-4, 1e-3),
      examples=True,
    )


def _write_cached(folder: pathlib.Path) -> None:
  images = folder.parent / "images"
  if not images.exists():
    folders.images(images)
  with mock.patch.dict("os.environ", SR2_JAX_CACHE_DIR=str(folder / "cache")):
    _loaded(images / "images")


_STATE = (".lock", "*.lock", "metrics.jsonl", "config.json", "timing.jsonl")
_LOG = {
  "run/metrics.jsonl": _OF_A_LOG,
  "run/DONE": "says that the run is done, and who has diverged",
}
# An earlier checkpoint takes its place, or other networks are left.
_DAMAGED = dict.fromkeys(
  (
    "run/checkpoints/*/last/*", "run/checkpoints/*/last/*/*",
    "run/checkpoints/*/last/*/*/*", "run/checkpoints/*/last/*/*/*/*",
    "run/checkpoints/*/last/*/*/*/*/*",
  ),
  "damaged checkpoint",
)  # fmt: skip
_FEWER = {
  "run/weights/*/*": "the network of another seed is one as well",
  "run/weights/*/*/last.safetensors": "likewise",
  "run/weights/*": "the network of another phase is one as well",
}
_A_CLASS = "its name is that of its images"
_IMAGES = {"images/*/*": _PIXELS, "images/*": _A_CLASS, "images": _PIXELS}
_SMALL = {"small/*/*": _PIXELS, "small/*": _A_CLASS, "small": _PIXELS}
_TABLE = {"labels.csv": "it names the classes"}
_OF_A_SWEEP = "it says how far the runs are"

TARGETS: dict[str, Target] = {
  "finished": Target(_resume, _write_run, data=_LOG, changes=_STATE),
  "resume": Target(
    _resume,
    _write_stopped,
    data=_LOG,
    told={
      **_DAMAGED,
      "run/checkpoints": "but no checkpoint has: the run begin",
    },
    changes=_STATE,
  ),
  "evaluate": Target(
    _evaluate, _write_run, data=_LOG, told=_DAMAGED, changes=_STATE
  ),
  "init_from": Target(_from_run, _write_run, data=_LOG, changes=_STATE),
  "carried": Target(
    _from_weights, _write_without_checkpoints, may_go=_FEWER, changes=_STATE
  ),
  "report": Target(
    _report,
    _write_without_checkpoints,
    data={"run/results.jsonl": _ROWS, **_LOG},
  ),
  "csv": Target(
    _csv, _write_without_checkpoints, data={"run/results.jsonl": _ROWS}
  ),
  "page": Target(
    _page,
    _write_rows,
    data={
      "results.jsonl": _ROWS,
      "config.json": "the page shows it",
      "DONE": "says who has diverged",
      "*.npz": "intervals are of its scores, and pictures of its images",
      "per_image": "intervals are of what is in it",
      "examples": "pictures are of what is in it",
    },
    may_go={
      "runs/*": "the other run is in the report",
    },
  ),
  "weights": Target(_weights, _write_network, may_go=_FEWER),
  "predict": Target(
    _predict,
    folders.network,
    data={"images/*": _PIXELS, "images": _PIXELS},
    may_go=_FEWER,
    done=(0, 1),
  ),
  "released": Target(
    _released("--check"),
    folders.released,
    may_go={"mine": "a list may have what is elsewhere"},
    most_lines=8,
  ),
  "cards": Target(
    _released("--cards"),
    folders.released,
    data={"mine/*": "the card and the table are made of it"},
    may_go={"mine": "a list may have what is elsewhere"},
    changes=("*.csv", "mine/*"),  # It makes them again.
    most_lines=8,
  ),
  "copied": Target(_copied, folders.released),
  "images": Target(_images, folders.images, data=_IMAGES),
  "labeled": Target(_labeled, folders.images, data={**_IMAGES, **_TABLE}),
  "pairs": Target(_pairs, folders.images, data={**_IMAGES, **_SMALL}),
  "cached": Target(_cached, _write_cached),
  "check": Target(
    _checked,
    folders.images,
    data={**_IMAGES, **_SMALL, **_TABLE},
    most_lines=8,
  ),
  "status": Target(_sweep("--status"), _write_sweep, data={"*": _OF_A_SWEEP}),
  "dry run": Target(_sweep("--dry-run"), _write_sweep, data={"*": _OF_A_SWEEP}),
  **commands.TARGETS,
}
