"""Good folders, in the form that the programs write them; nothing is trained.

A run folder here is written by the code that writes a real one, with numbers
from a random generator in place of trained ones.
"""

import itertools
import json
import pathlib
import shutil
from typing import Any

import jax
import numpy as np
from PIL import Image

from sr2_jax import output
from sr2_jax.config import command_line
from sr2_jax.records import arrays, divergence, metrics_log, rows, weights
from sr2_jax.release import folders as release_folders
from sr2_jax.training import best, checkpoint, log_lines
from sr2_jax.training import phase as phase_lib
from sr2_jax.training import run as run_lib
from tests import tiny_predictor
from tests.release import test_card

# What the run of these tests is started with.
FLAGS = (
  "--config=tests/tiny.py", "--config.data.max_train_images=8",
  "--config.eval.batch_norm=running", "--config.eval.epochs=",
  "--config.checkpoint.keep=2", "--config.batch_size=4",
  "--config.eval.noise_variances=0,0.001",
  "--config.model.transposed_convolution=true",
  # A classifier has most of the weights, and nothing of its own on disk.
  "--config.model.wiring=none",
)  # fmt: skip
_NUM_IMAGES = 6
_METRICS = ("ssim", "ssim_uniform7", "ssim_uniform7_range2", "psnr_db")


def parse(workdir: pathlib.Path, *more: str) -> command_line.Command:
  """The command of the run."""
  return command_line.parse(["main", *FLAGS, f"--workdir={workdir}", *more])


def drawn(abstract: Any, seed: int) -> Any:
  """A tree of NumPy arrays with these shapes and types; the same each time."""
  random = np.random.default_rng(seed)

  def draw(leaf: Any) -> np.ndarray:
    if np.issubdtype(leaf.dtype, np.integer):
      return np.full(leaf.shape, seed, leaf.dtype)
    return random.uniform(0.1, 0.5, leaf.shape).astype(leaf.dtype)

  return jax.tree.map(draw, abstract)


def finished_run(folder: pathlib.Path) -> None:
  """A run of both phases that is done."""
  command = parse(folder)
  with run_lib.open_run(command.config, folder) as run:
    assert run is not None
    writer = metrics_log.Writer(folder, tensorboard=False)
    phase = None
    _untrained(run)
    for name in ("pretrain", "joint"):
      phase = run.phase(name)
      _train(run, phase, writer)
    writer.close()
    members = phase.population.members
    run.folder.set_done(divergence.lines_of_done("joint", members, ()))


def stopped_run(folder: pathlib.Path) -> None:
  """The same, as a kill in the middle of `joint` would have left it."""
  finished_run(folder)
  (folder / "DONE").unlink()
  last = max((folder / "checkpoints/joint/last").iterdir())
  shutil.rmtree(last)
  for path in folder.glob("*/*sr_continued*"):
    shutil.rmtree(path) if path.is_dir() else path.unlink()
  metrics = folder / "metrics.jsonl"
  kept = [
    line
    for line in metrics.read_text().splitlines(keepends=True)
    if (json.loads(line)["phase"], json.loads(line)["step"])
    < ("joint", int(last.name))
    or json.loads(line)["phase"] == "pretrain"
  ]
  metrics.write_text("".join(kept))
  results = [x for x in rows.read(folder) if x.method != "sr_continued_fsrcnn"]
  (folder / "results.jsonl").unlink()
  rows.merge(folder / "results.jsonl", results)


def _train(
  run: run_lib.Run, phase: phase_lib.Phase, writer: metrics_log.Writer
) -> None:
  """What a phase leaves."""
  folder, alive = run.folder, np.full(phase.population.size, True)
  writer.timing.begin(phase.name)
  abstract = phase.abstract_state()
  saved = checkpoint.Checkpoints(folder.checkpoints(phase.name), keep=2)
  lowest = best.Best(folder.checkpoints(phase.name, "best"), abstract.variables)
  for step in range(1, phase.num_steps + 1):
    loss = {"loss": np.full(phase.population.size, 1 / step)}
    for kind in ("train", "validation")[: 1 + (step % 2 == 0)]:
      writer.write(
        log_lines.of_step(kind, phase, step, loss, shown=alive, alive=alive)
      )
    state = drawn(abstract, step)
    if step == phase.num_steps:
      lowest.update(step, loss["loss"], lambda state=state: state.variables)
    if step >= phase.num_steps - 1:
      writer.sync()
      lowest.wait()
      saved.save(step, state)
  saved.close()
  lowest.close()
  steps = [phase.num_steps] * phase.population.size
  for kind in ("last", "best"):
    output.store_weights(run, phase, kind, {"running": state.variables}, steps)
  writer.timing.write("end", phase.num_steps)
  _evaluated(run, phase.method.key, phase.population.members, steps, phase.name)


def _untrained(run: run_lib.Run) -> None:
  nobody = rows.Member(seed=None, l2=None, loss_weight=None)
  _evaluated(run, "bicubic", (nobody,), [0], "none")


def _evaluated(
  run: run_lib.Run,
  method: str,
  members: tuple[rows.Member, ...],
  steps: list[int],
  phase: str,
) -> None:
  """Rows, scores of images and examples."""
  variances = np.array([0.0, 1e-3])
  classifies = method.startswith("sr2")
  metrics = (*_METRICS, "accuracy") if classifies else _METRICS
  random = np.random.default_rng(len(method))
  shape = (len(members), len(variances), _NUM_IMAGES)
  scores = {
    metric: random.uniform(0.3, 0.9, shape).astype(np.float32)
    for metric in metrics
  }
  of_splits = itertools.product(
    enumerate(members), enumerate(variances), metrics
  )
  rows.merge(
    run.folder.path / rows.FILE_NAME,
    [
      rows.Row(
        experiment=run.config.experiment,
        method=method,
        dataset=run.dataset.name,
        split="test",
        scale=4,
        shared_layers=1 if phase != "none" else None,
        l2=member.l2,
        loss_weight=member.loss_weight,
        seed=member.seed,
        phase=phase,
        step=steps[place],
        epochs=None if phase == "none" else 5.0,
        pretrain_epochs=5 if phase == "joint" else None,
        batch_norm=None if phase == "none" else "running",
        noise_variance=float(variance),
        metric=metric,
        value=float(scores[metric][place, level].mean()),
        n=_NUM_IMAGES,
      )
      for (place, member), (level, variance), metric in of_splits
    ],
  )
  common = {
    "members": members,
    "steps": tuple(steps),
    "batch_norm": None if phase == "none" else "running",
    "noise_variances": variances,
  }
  read = random.integers(0, 10, shape) if classifies else None
  labels = np.arange(_NUM_IMAGES) % 10
  arrays.write_per_image(
    run.folder.path,
    arrays.PerImage(**common, scores=scores, labels=labels, predicted=read),
    method=method,
    split="test",
  )
  images = random.random((_NUM_IMAGES, 28, 28, 1), np.float32)
  arrays.write_examples(
    run.folder.path,
    arrays.Examples(
      **common,
      positions=np.arange(_NUM_IMAGES),
      labels=labels,
      high_res=images,
      low_res=np.stack([images[:, ::4, ::4]] * 2),
      super_res=np.broadcast_to(images, (*shape[:2], *images.shape)),
      predicted=read,
    ),
    method=method,
  )


def network(folder: pathlib.Path) -> None:
  """A run folder whose weights are all that counts, and images to read."""
  tiny_predictor.write(folder / "run", seeds=(0, 1))
  image(folder / "images" / "a.png", 0)
  image(folder / "images" / "b.png", 1)


def released(folder: pathlib.Path) -> None:
  """Released weights of two seeds and their lists."""
  about, rows_of = test_card.about(seeds=[0, 1]), test_card.rows(control=True)
  models = {
    f"seed_{seed}/model.safetensors": weights.encode(
      {"params/sr": np.float16([seed])}, tiny_predictor.origin(seed)
    )
    for seed in (0, 1)
  }
  contents = release_folders.contents(about, rows_of, models)
  release_folders.write(folder / "mine", contents)
  release_folders.add_to_lists(folder, about, rows_of, models, address=None)


def image(path: pathlib.Path, seed: int, *, side: int = 12) -> None:
  """A gray image of noise."""
  path.parent.mkdir(parents=True, exist_ok=True)
  pixels = np.random.default_rng(seed).integers(0, 256, (side, side), np.uint8)
  Image.fromarray(pixels).save(path)


def images(folder: pathlib.Path) -> None:
  """Two classes of images, their smaller partners, and a table of labels."""
  lines = ["file,label"]
  for seed, name in enumerate("abcdefghijkl"):
    of_class = ("cat", "dog")[seed % 2]
    image(folder / "images" / of_class / f"{name}.png", seed)
    image(folder / "small" / of_class / f"{name}.png", seed, side=6)
    lines.append(f"{of_class}/{name}.png,{of_class}")
  (folder / "labels.csv").write_text("\n".join(lines) + "\n")


def sweep(folder: pathlib.Path) -> None:
  """Of the runs of tests/tiny_sweep.py one that is done, and one that is not.

  With what sweeps write beside them.
  """
  from launch import events, jobs

  found = jobs.load("tests/tiny_sweep.py:three", folder)
  log = events.Log(folder)
  for job in (found[0], found[2]):  # The second starts from the first.
    path = job.folder.path
    path.mkdir(parents=True)
    with run_lib.open_run(job.config, path) as run:
      assert run is not None
    log.add(job.name, "started", place="here", slice="v5e 2x2", chips=4)
    log.add(
      job.name, "ended", end="crashed", seconds=7.5, chips=4, steps=3, code=1
    )
    line = {
      "kind": "train", "phase": "pretrain", "step": 3, "seed": 0, "l2": 1e-5,
      "loss_weight": None, "loss": 0.5,
    }  # fmt: skip
    writer = metrics_log.Writer(path, tensorboard=False)
    writer.write([line])
    writer.close()
  found[0].folder.set_done(b'{"seed": 0, "l2": 1e-05, "loss_weight": null}\n')
  log.add(found[0].name, "finished")
  (folder / "speeds.json").write_text(
    json.dumps({"fsrcnn_x4 mnist5k": [12.5, 40]})
  )
