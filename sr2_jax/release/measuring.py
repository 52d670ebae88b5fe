"""The numbers of released files, measured again from these files."""

import pathlib
from collections.abc import Sequence
from typing import Any

from ml_collections import ConfigDict

from sr2_jax import errors, names, parallel
from sr2_jax.config import record
from sr2_jax.evaluation import evaluate, methods
from sr2_jax.records import folder as folder_lib
from sr2_jax.records import rows as rows_lib
from sr2_jax.release import source as source_lib
from sr2_jax.training import images, preemption
from sr2_jax.training import network as network_lib
from sr2_jax.training import run as run_lib


def measure(
  source: source_lib.Source, files: Sequence[pathlib.Path]
) -> list[rows_lib.Row]:
  """Rows of the test images, as the run's own evaluation measures them.

  Args:
    source: the network.
    files: of its members, as they are released.

  Raises:
    UserError: if the images are not those that the run was evaluated on.
  """
  trained = network_lib.from_files(files)
  run = _run(source)
  about, count = source.about, len(trained.origins)
  method = methods.Method(
    name=names.method(about["method"]),
    phase=about["phase"],
    shared_layers=run.config.model.shared_layers,
    members=tuple(origin.member for origin in trained.origins),
    steps=tuple(origin.step for origin in trained.origins),
    epochs=(about["epochs"],) * count,
    pretrain_epochs=about["pretrain_epochs"],
    batch_norm=about["batch_norm"],
    apply=trained.network.apply,
    variables=trained.variables,
    places=tuple(range(count)),
  )
  return source_lib.shown(
    evaluate.evaluate(run, method, only_rows=True, stoppable=False).rows
  )


def _run(source: source_lib.Source) -> run_lib.Run:
  """The run's images, and the conditions whose numbers are released."""
  config: Any = ConfigDict(
    record.to_dict(ConfigDict(dict(source.record["config"])))
  )
  config.eval.splits = ["test"]
  config.eval.noise_variances = [
    variance
    for variance in config.eval.noise_variances
    if any(rows_lib.is_close(variance, v) for v in source_lib.NOISE_VARIANCES)
  ]
  for corruption in config.eval.corruptions:
    config.eval.corruptions[corruption] = []
  dataset = images.load(config)
  if dataset.fingerprint != source.record["dataset"]["fingerprint"]:
    raise errors.UserError(
      f"{dataset.name} has other images here than where "
      f"{source.chosen.title} was trained: its fingerprint differs."
    )
  return run_lib.Run(
    config=config,
    folder=folder_lib.RunFolder(source.chosen.title),
    dataset=dataset,
    layout=parallel.layout("data", 1),
    stop=preemption.StopRequest(),
  )
