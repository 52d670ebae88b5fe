"""Result rows of an invented run, for tests of what is drawn from rows."""

from sr2_jax import names
from sr2_jax.records import rows as rows_lib

_AFTER_JOINT = {wiring.family for wiring in names.WIRINGS.values()}
LEVELS = (0.0, 1e-5, 3.2e-5, 1e-4, 3.2e-4, 1e-3, 3.2e-3, 1e-2)


def row(method="sr2_fsrcnn", **changes):
  trained = names.method(method).is_trained
  joint = names.method(method).family in _AFTER_JOINT
  fields = {
    "experiment": "quickstart",
    "method": method,
    "dataset": "mnist5k",
    "split": "test",
    "scale": 4,
    "shared_layers": 1 if trained else None,
    "l2": 0.01 if trained else None,
    "loss_weight": 9.0 if joint else None,
    "seed": 0 if trained else None,
    "phase": "joint" if joint else "pretrain" if trained else "none",
    "step": 600 if trained else 0,
    "noise_variance": 0.0,
    "metric": "ssim",
    "value": 0.8,
    "n": 500,
  }
  return rows_lib.Row(**(fields | changes))


def rows(method, value, *, seeds=(0, 1, 2), spread=0.01, **changes):
  """Rows that fall with the noise level; seeds are `spread` apart."""
  return [
    row(
      method,
      noise_variance=level,
      value=value - 0.02 * index + spread * place,
      **({"seed": seed} | changes),
    )
    for place, seed in enumerate(seeds)
    for index, level in enumerate(LEVELS)
  ]


def run(**changes):
  return [
    *rows("sr2_fsrcnn", 0.85, **changes),
    *rows("fsrcnn", 0.8, **changes),
    *rows("bicubic", 0.35, seeds=(None,)),
    *rows("sr2_fsrcnn", 0.9, metric="accuracy", **changes),
  ]


def corrupted(method, value, **levels):
  """Rows of one seed; values fall by 0.1 from a level to the next."""
  return [
    row(
      method,
      corruption=corruption,
      corruption_level=level,
      value=value - 0.1 * index,
    )
    for corruption, chosen in levels.items()
    for index, level in enumerate(chosen)
  ]
