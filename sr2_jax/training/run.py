"""A run: its config, folder, data and devices, and how to open it."""

import contextlib
import dataclasses
import pathlib
import platform
from collections.abc import Iterator
from typing import Any

import ml_collections

from sr2_jax import agreement, compilation, errors, messages, parallel
from sr2_jax.buckets import address, copies
from sr2_jax.config import derived, fields, record, source_checks
from sr2_jax.data import dataset as dataset_lib
from sr2_jax.models import conv_choice, srmd_weights
from sr2_jax.records import folder as folder_lib
from sr2_jax.records import parts, provenance, row_files
from sr2_jax.records import rows as rows_lib
from sr2_jax.training import (
  carried,
  class_weights,
  convolutions,
  devices,
  fine_tuning,
  footprint,
  identity,
  mirroring,
  population,
  preemption,
  steps,
  stored,
)
from sr2_jax.training import images as images_lib
from sr2_jax.training import phase as phase_lib

# Fields that --mode=eval may change: they change no row, or a row records them.
# Rows do not record the other `eval` fields, so these are fixed.
_FREE_IN_EVALUATION = (
  "eval.noise_variances", "eval.corruptions", "eval.splits", "eval.checkpoint",
  "eval.srmd", "eval.batch_norm", "data.device_bytes", "log", "steps_per_call",
  *fields.FREE_ON_RESUME,
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Run:
  """What all phases of a run share.

  Attributes:
    config: resolved.
    folder: where everything goes.
    dataset: the images.
    layout: the devices.
    stop: requests to stop.
    released_srmd: the network that `eval.srmd` names, or None.
    choice: forms of convolutions on the CPU.
    place: where the folder is: on a disk, or mirrored to a bucket.
  """

  config: Any
  folder: folder_lib.RunFolder
  dataset: dataset_lib.Dataset
  layout: parallel.Layout
  stop: preemption.StopRequest
  released_srmd: srmd_weights.Released | None = None
  choice: conv_choice.Choice = conv_choice.RULES
  place: mirroring.OnDisk = dataclasses.field(default_factory=mirroring.OnDisk)

  @property
  def image_shape(self) -> tuple[int, int, int]:
    """(H, W, C) of the high-resolution images that the network makes.

    Those for training are larger if they are cropped at each step.
    """
    return self.dataset.test.image_shape

  @property
  def class_weights(self) -> tuple[float, ...] | None:
    """Weights of the classes in the classifier's loss; None: all count 1."""
    return class_weights.of(self.config, self.dataset)

  def phase(
    self, name: str, *, num_train_images: int | None = None
  ) -> phase_lib.Phase:
    """The phase of this name; `num_train_images` is this run's by default."""
    return phase_lib.create(
      self.config,
      name,
      image_shape=self.image_shape,
      stored_shape=self.dataset.train.images.shape[1:],
      num_train_images=num_train_images or len(self.dataset.train.images),
      num_classes=self.dataset.num_classes,
      platform=self.layout.platform,
      axis_name=self.layout.axis_name,
      choice=self.choice,
      class_weights=self.class_weights,
    )


@contextlib.contextmanager
def open_run(
  config: Any, workdir: str | pathlib.Path, *, evaluate_only: bool = False
) -> Iterator[Run | None]:
  """Claims the folder, checks it against the config, and loads the data.

  Yields None if the run has finished and there is nothing to evaluate.
  """
  config = derived.resolve(config)
  with mirroring.opened(workdir, must_exist=evaluate_only) as (folder, place):
    has_work = evaluate_only or not folder.is_done
    if has_work:
      copies.bring_source(config.init_from)
    if parallel.is_main_process():  # It judges the folder for all.
      if has_work:
        parts.check(folder.path)
        rows_lib.check(folder.path)  # Not only when there are new rows.
      _check_config(config, folder, evaluate_only=evaluate_only)
    place.compare(folder.path)
    if not agreement.follow("to look for DONE", has_work):
      end = f": its results are in {rows_lib.FILE_NAME} and images/."
      if not row_files.count(folder.path / rows_lib.FILE_NAME):
        end = f", but {rows_lib.FILE_NAME} has no rows; --mode=eval writes it."
      messages.say(f"{folder.path} has finished{end} Nothing to do.")
      yield None
      return
    compilation.use_cache()
    config, layout = devices.spread(
      config, _recorded(folder, evaluate_only=evaluate_only)
    )
    run = Run(
      config,
      folder,
      _load_data(config),
      layout,
      preemption.StopRequest(),
      # Before training, which may take days.
      srmd_weights.released(**config.eval.srmd, scale=config.degradation.scale),
      place=place,
    )
    agreement.on_data(run.dataset.name, run.dataset.fingerprint)
    with footprint.guarded(run, evaluates_only=evaluate_only):
      yield _check_or_record(run, evaluate_only=evaluate_only)


def _check_config(
  config: Any, folder: folder_lib.RunFolder, *, evaluate_only: bool
) -> None:
  """Raises UserError where the config does not fit the folder."""
  identity.put_record_back(folder)
  if evaluate_only:
    folder.check(
      record.to_dict(config),
      ignore=(*_FREE_IN_EVALUATION, *_open_fields(folder, config)),
      way_out=f"--mode=eval changes only {', '.join(_FREE_IN_EVALUATION)}: "
      "give the run's own values of the others.",
    )
  elif folder.has_begun:
    free = (*fields.FREE_ON_RESUME, *_open_fields(folder, config))
    folder.check(record.to_dict(config), ignore=free)
    old = folder.read() or {"config": {}}
    if config.fine_tune and config.init_from != old["config"].get("init_from"):
      fine_tuning.check_same(config, old)
  else:
    check_source(config)


def check_source(config: Any) -> None:
  """Raises UserError if `init_from` is nothing that a run can start from."""
  if config.fine_tune:
    fine_tuning.files_of(config)
  elif config.init_from:
    carried.files_in(config.init_from)


def check_weights(run: Run) -> None:
  """Raises UserError if the weights in `init_from` do not fit a run."""
  if run.config.fine_tune:
    fine_tuning.read(run.config, channels=run.image_shape[2])
  elif run.config.init_from:
    pretrained_state(run)


def _recorded(
  folder: folder_lib.RunFolder, *, evaluate_only: bool
) -> dict[str, Any] | None:
  """What depends on devices, or is open, as an earlier start settled it."""
  goes_on = parallel.is_main_process() and (evaluate_only or folder.has_begun)
  old = folder.read() if goes_on else None
  return agreement.follow(
    "to choose a layout",
    old and {x: old["config"].get(x) for x in ("parallel", "augmentation")},
  )


def _load_data(config: Any) -> dataset_lib.Dataset:
  """The data set, if its images fit the config."""
  messages.say(f"loading {config.data.name}")
  dataset = images_lib.load(config)
  for note in dataset.notes:
    messages.say(note)
  return dataset


def _open_fields(folder: folder_lib.RunFolder, config: Any) -> tuple[str, ...]:
  """Fields that may differ: `init_from`, which moves, and what is open."""
  recorded = folder.read()
  has_source = recorded and recorded["config"].get("init_from")
  moved = ("init_from",) if has_source and config.init_from else ()
  return (*moved, *derived.open_fields(config))


def pretrained_state(
  run: Run,
) -> tuple[steps.TrainState, population.Population]:
  """The end of this run's pretraining, or of the one that `init_from` names.

  Returns:
    NumPy arrays, and the members that they belong to.

  Raises:
    UserError: if that pretraining differs, has not finished or is damaged.
  """
  origin, folder = run, run.folder
  num_train_images = len(run.dataset.train.images)
  if run.config.init_from:
    if paths := carried.files_in(run.config.init_from):
      return carried.read(run.config, paths)
    folder = folder_lib.RunFolder(address.local(run.config.init_from))
    recorded = folder.read()
    if recorded is None:
      raise errors.UserError(
        f"config.init_from={run.config.init_from} no longer has a config.json."
      )
    source = record.recorded(recorded["config"], record.to_dict(run.config))
    recorded["config"] = source
    source_checks.validate_source(folder.path / "config.json", recorded)
    source_checks.validate_init_from(run.config, source)
    origin = dataclasses.replace(
      run, config=ml_collections.FrozenConfigDict(source)
    )
    images = recorded["dataset"]
    num_train_images = images["num_train_images"]
    limits = {c.data.max_train_images for c in (origin.config, run.config)}
    if len(limits) == 1 and images["fingerprint"] != run.dataset.fingerprint:
      raise errors.UserError(
        f"config.init_from={run.config.init_from} was pretrained on other "
        f"images: {run.dataset.name} now has another fingerprint."
      )
  phase = origin.phase("pretrain", num_train_images=num_train_images)
  return stored.pretrained(folder, phase), phase.population


def record_of(run: Run) -> dict[str, Any]:
  """What config.json records of a run: everything its numbers depend on.

  `later` gets an entry for each later start with other devices, Python,
  packages or revision: the mode ("train" or "eval") and what had changed.
  """
  device = run.layout.devices[0]
  measured = run.config.convolutions == "measured"
  return {
    "config": record.to_dict(run.config),
    "dataset": {
      "name": run.dataset.name,
      "fingerprint": run.dataset.fingerprint,
      "num_train_images": len(run.dataset.train.images),
      "image_shape": list(run.image_shape),
      "class_names": list(run.dataset.class_names),
      "notes": list(run.dataset.notes),
    },
    "devices": {
      "kind": device.device_kind,
      "platform": device.platform,
      "count": len(run.layout.devices),
      "processes": parallel.num_processes(),
      "cpu_cores": provenance.cpu_cores(),
    },
    "python": platform.python_version(),
    "packages": provenance.packages(),
    "git_revision": provenance.git_revision(),
    **({convolutions.RECORD: run.choice.as_texts()} if measured else {}),
    "later": [],
  }


def _check_or_record(run: Run, *, evaluate_only: bool) -> Run:
  """Compares a resumed run with config.json, or writes it at the first start.

  The run that it returns has the forms of convolutions of the first start.

  A start that failed before its first checkpoint and row does not count: the
  config may have been the reason.

  Raises:
    UserError: if the data have changed.
  """
  is_first = parallel.is_main_process()
  old = run.folder.read() if is_first else None
  is_new = old is None or not (evaluate_only or run.folder.has_begun)
  is_new = agreement.follow("to begin or to go on", is_new)
  choice = convolutions.choose(
    run.config,
    run.folder.path,
    run.layout,
    image_shape=run.image_shape,
    num_classes=run.dataset.num_classes,
    recorded=None if is_new else old,
  )
  run = dataclasses.replace(run, choice=choice)
  new = record_of(run)
  if is_new:
    # Before anything is recorded.
    check_weights(run)
    if is_first:
      source = fine_tuning.record_of(run.config) if run.config.fine_tune else {}
      run.folder.record({**new, **source})
    return run
  if old is None:
    return run  # Process 0 compares.
  run.folder.check_data(run.dataset.name, run.dataset.fingerprint)
  added = record.added_fields(old["config"], new["config"])
  for field, value in added.items():
    messages.say(
      f"note: there was no config.{field} when this run was started; "
      f"using {value}"
    )
  changed = provenance.changed(old, new)
  for part, (before, now) in changed.items():
    messages.say(
      f"note: {part} changed since this run was last started "
      f"({before} -> {now}); its numbers may differ in the last bits"
    )
  if changed:
    start = {part: now for part, (_, now) in changed.items()}
    start = {"mode": "eval" if evaluate_only else "train", **start}
    later = [*old.get("later", []), start]
    run.folder.record({**old, "later": later})
  return run
