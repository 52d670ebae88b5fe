"""The runs behind the paper's tables and figures, for each budget.

A run is an experiment file with some fields changed. Two items that need the
same network name the same run, which is trained once. Budgets:

  paper  120 epochs per phase, as in the authors' script, and the paper's three
         seeds; days on a GPU
  cpu    full MNIST and SVHN, 4 epochs of pretrain and 1 of joint, corruptions
         only at their strong level; hours on two cores. Three seeds on MNIST;
         one for the sequential network, whose classifier at full resolution
         takes ten times as long, and one on SVHN, where 5,000 test images are
         evaluated
  smoke  digits that need no download, a hundred steps per run; a first look

After `pretrain` an SR2 run is the baseline of its trunk. The control and the
sequential network start `joint` from those weights (`init_from`).
"""

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any


@dataclasses.dataclass(frozen=True)
class Run:
  """One run of a sweep.

  Attributes:
    name: of the run folder.
    config: path of an experiment file.
    overrides: {dotted field: value} that the run changes; not `experiment`.
    init_from: name of the run whose pretraining it starts from.
    fixed: fields (globs) that `--set` leaves alone.
    experiment: of the rows (`config.experiment`), which runs of other seeds
      may share; "" is the name.
  """

  name: str
  config: str
  overrides: Mapping[str, Any]
  init_from: str | None = None
  fixed: tuple[str, ...] = ()
  experiment: str = ""


# What methods are evaluated under beside Gaussian noise: a mild level and a
# strong one of each corruption.
CORRUPTIONS: dict[str, tuple[float, ...]] = {
  "eval.corruptions.speckle": (0.01, 0.1),
  "eval.corruptions.salt_and_pepper": (0.01, 0.05),
  "eval.corruptions.poisson": (255.0, 50.0),
  "eval.corruptions.jpeg": (75.0, 30.0),
  "eval.corruptions.blur": (0.5, 1.5),
}

_PAPER = {
  "num_seeds": 3,
  "pretrain.num_epochs": 120,
  "joint.num_epochs": 120,
  **CORRUPTIONS,
}
_CPU = {
  "num_seeds": 3,
  "pretrain.num_epochs": 4,
  "joint.num_epochs": 1,
  "eval.every_epochs": 1,
  "eval.splits": ("test",),
  # A step may take seconds, and a kill should only cost minutes.
  "checkpoint.every_steps": 250,
  **{kind: levels[-1:] for kind, levels in CORRUPTIONS.items()},
}
_SMOKE = {
  "num_seeds": 2,
  "batch_size": 16,
  "data.name": "mnist5k",
  "data.max_train_images": 320,
  # As in experiments/quickstart.py, because 80 and 20 steps are few.
  "loss.l2": (1e-5,),
  "model.batch_norm_momentum": 0.9,
  "pretrain.num_epochs": 4,
  "joint.num_epochs": 1,
  "joint.learning_rate.shared": 1e-3,
  "joint.learning_rate.sr": 1e-3,
  "joint.learning_rate.classifier": 1e-3,
  "eval.noise_variances": (0.0, 1e-4, 1e-3, 1e-2),
  "eval.max_images": 200,
  "eval.every_epochs": 1,
  "eval.splits": ("test",),
  "checkpoint.every_steps": 40,
  "log.every_steps": 10,
}
_SVHN = {"data.name": "svhn_cropped"}

# Budget -> data set of the paper -> its name in the names of runs, and what
# every run on it changes. In "smoke" both are the same digits, so that runs
# which only differ in the data set become one.
BUDGETS: dict[str, dict[str, tuple[str, dict[str, Any]]]] = {
  "paper": {"mnist": ("mnist", _PAPER), "svhn": ("svhn", _PAPER | _SVHN)},
  "cpu": {
    "mnist": ("mnist", _CPU),
    "svhn": (
      "svhn",
      _CPU | _SVHN | {"num_seeds": 1, "eval.max_images": 5000},
    ),
  },
  "smoke": {"mnist": ("mnist5k", _SMOKE), "svhn": ("mnist5k", _SMOKE)},
}

# What a budget changes of the sequential networks.
_SEQUENTIAL: dict[str, dict[str, Any]] = {"cpu": {"num_seeds": 1}}

# Lambda of equation 1. Section 3.1 gives 9 for SR2_FSRCNN and 0.11 for the
# sequential network; WDSR's 9 and the two of Fig. 7 (x4) are from the authors'
# script.
_LOSS_WEIGHT = 9.0
_SEQUENTIAL_LOSS_WEIGHT = 0.11
_BOTH_LOSS_WEIGHTS = (_SEQUENTIAL_LOSS_WEIGHT, _LOSS_WEIGHT)


def sr2(
  budget: str, data: str, trunk: str, scale: int, *, shared_layers: int = 1
) -> Run:
  """SR2; after `pretrain` it is the trunk without a classifier.

  Args:
    budget: a key of BUDGETS.
    data: "mnist" or "svhn".
    trunk: "fsrcnn" or "wdsr".
    scale: super-resolution factor, 2 or 4.
    shared_layers: more than 1 is for "wdsr".
  """
  suffix = f"_{shared_layers}_shared" if shared_layers > 1 else ""
  fans_out = (trunk, scale) == ("fsrcnn", 4)
  return _run(
    budget,
    data,
    f"{trunk}_x{scale}",
    suffix=suffix,
    overrides={
      **({"model.shared_layers": shared_layers} if suffix else {}),
      "joint.loss_weight": _BOTH_LOSS_WEIGHTS if fans_out else (_LOSS_WEIGHT,),
    },
  )


def continued(
  budget: str, data: str, trunk: str, scale: int, *, shared_layers: int = 1
) -> Run:
  """The control: `joint` without a classifier, from the weights of `sr2`."""
  source = sr2(budget, data, trunk, scale, shared_layers=shared_layers)
  return _second(
    source, "sr_continued", {"model.wiring": "none"}, drop="joint.loss_weight"
  )


def sequential(budget: str, data: str, trunk: str, scale: int) -> Run:
  """The sequential network, from the weights of `sr2`."""
  overrides = {
    "model.wiring": "sequential",
    "joint.loss_weight": (_SEQUENTIAL_LOSS_WEIGHT,),
    **_SEQUENTIAL.get(budget, {}),
  }
  return _second(sr2(budget, data, trunk, scale), "sequential", overrides)


def srmd_retrained(budget: str, scale: int) -> Run:
  """SRMD retrained on MNIST, with one seed, as in the paper."""
  run = _run(
    budget,
    "mnist",
    f"srmd_x{scale}",
    suffix="",
    overrides={"num_seeds": 1, "joint.num_epochs": 0, "loss.l2": (0.0,)},
  )
  name = run.name.replace("srmd", "srmd_retrained")
  # Its recipe has one phase, and no L2.
  fixed = ("joint.*", "loss.l2")
  return dataclasses.replace(run, name=name, fixed=fixed)


def merge(*sweeps: Iterable[Run]) -> list[Run]:
  """Every run once, in the order of first appearance.

  Raises:
    ValueError: if two runs of one name differ.
  """
  merged: dict[str, Run] = {}
  for sweep in sweeps:
    for run in sweep:
      if merged.setdefault(run.name, run) != run:
        raise ValueError(f"two different runs are called {run.name}")
  return list(merged.values())


def _run(
  budget: str,
  data: str,
  experiment: str,
  *,
  suffix: str,
  overrides: Mapping[str, Any],
) -> Run:
  """A run of an experiment file, changed by the budget and data set.

  Raises:
    ValueError: if there is no such budget.
  """
  if budget not in BUDGETS:
    raise ValueError(
      f'there is no budget "{budget}"; the budgets are {", ".join(BUDGETS)}'
    )
  prefix, of_data = BUDGETS[budget][data]
  name = f"{prefix}_{experiment}{suffix}"
  return Run(
    name=name,
    config=f"experiments/{experiment}.py",
    overrides={**of_data, **overrides},
  )


def _second(
  source: Run, method: str, overrides: Mapping[str, Any], *, drop: str = ""
) -> Run:
  """A run that starts `joint` from another run and differs only there."""
  data, _, rest = source.name.partition("_")
  name = f"{data}_{method}_{rest}"
  kept = {k: value for k, value in source.overrides.items() if k != drop}
  return dataclasses.replace(
    source,
    name=name,
    overrides={**kept, **overrides},
    init_from=source.name,
  )
