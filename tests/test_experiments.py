import ast
import importlib
import inspect
import pathlib

import pytest

from experiments import default, paper, runs
from sr2_jax.config import checks, derived, record, source_checks
from sr2_jax.report import reading

FOLDER = pathlib.Path(default.__file__).parent
FILES = sorted(path.stem for path in FOLDER.glob("[!_]*.py"))
MODULES = {
  name: importlib.import_module(f"experiments.{name}") for name in FILES
}
CONFIGS = [name for name in FILES if hasattr(MODULES[name], "get_config")]
SWEEPS = [name for name in FILES if hasattr(MODULES[name], "sweep")]
# Sweeps with budgets of their own; the others are items of the paper.
OWN = [name for name in SWEEPS if hasattr(MODULES[name], "BUDGETS")]
ITEMS = [name for name in SWEEPS if name not in OWN]
BUDGETS = [
  (name, budget)
  for name in SWEEPS
  for budget in (MODULES[name].BUDGETS if name in OWN else runs.BUDGETS)
] + [("paper", "gpu")]

# Fields that make an experiment what its name says, from the paper.
PAPER = {
  "fsrcnn_x2": ("fsrcnn", 2, 1, (9.0,)),
  "fsrcnn_x4": ("fsrcnn", 4, 1, (9.0,)),
  "wdsr_x2": ("wdsr", 2, 1, (9.0,)),
  "wdsr_x4": ("wdsr", 4, 1, (9.0,)),
}


def _get_config(name):
  return MODULES[name].get_config()


def test_every_file_is_a_config_or_a_sweep():
  assert not set(CONFIGS) & set(SWEEPS)
  assert {*CONFIGS, *SWEEPS, "runs"} == set(FILES)


@pytest.mark.parametrize("name", CONFIGS)
def test_experiment_is_valid(name, tmp_path):
  config = _get_config(name)
  if config.data.name == "folder":
    config.data.path = str(tmp_path)  # One has to draw its images first.
  checks.validate(config)
  assert config.experiment == name
  # SRMD has no classifier.
  joint = () if name.startswith("srmd_") else ("joint",)
  assert derived.phases(config) == ("pretrain", *joint)


@pytest.mark.parametrize("name", CONFIGS)
def test_each_call_gives_a_config_of_its_own(name):
  first = _get_config(name)
  first.seed = 123
  assert _get_config(name).seed != 123


@pytest.mark.parametrize(
  "name", [name for name in FILES if name not in ("default", "runs")]
)
def test_docstring_has_the_command(name):
  docstring = ast.get_docstring(ast.parse((FOLDER / f"{name}.py").read_text()))
  assert docstring is not None
  program = (
    "launch.sweep --sweep" if name in SWEEPS else "sr2_jax.main --config"
  )
  assert f"python -m {program}=experiments/{name}.py" in docstring
  assert "{" not in docstring


@pytest.mark.parametrize("name", PAPER)
def test_paper_settings(name):
  config = _get_config(name)
  trunk, scale, shared_layers, loss_weight = PAPER[name]
  assert config.model.trunk == trunk
  assert config.model.wiring == "parallel"
  assert config.model.shared_layers == shared_layers
  assert config.degradation.scale == scale
  assert config.joint.loss_weight == loss_weight
  assert config.data.name == "mnist"
  # Section 3 of the paper.
  assert set(config.pretrain.learning_rate.values()) == {1e-3}
  assert set(config.joint.learning_rate.values()) == {1e-5}
  assert config.loss.l2 == (0.01,)
  assert config.loss.super_resolution == "mse"
  assert config.data.validation_fraction == 0.2
  assert derived.max_shift(config, 28, 28) == 3
  assert config.augmentation.max_rotation == 10.0


def test_paper_experiments_differ_only_in_what_they_say():
  for name in PAPER:
    changes = record.difference(
      record.to_dict(default.get_config()),
      record.to_dict(_get_config(name)),
    )
    changed = {change.field for change in changes}
    assert changed <= {"experiment", "model.trunk", "degradation.scale"}


@pytest.mark.parametrize(("name", "scale"), [("srmd_x2", 2), ("srmd_x4", 4)])
def test_srmd_is_trained_by_its_own_recipe(name, scale):
  config = _get_config(name)
  assert config.model.trunk == "srmd"
  assert derived.method(config, "pretrain").key == "srmd_retrained"
  assert config.degradation.scale == scale
  assert config.loss.super_resolution == "l1"
  assert config.loss.l2 == (0,)
  assert set(config.pretrain.learning_rate.values()) == {1e-4}
  assert config.srmd.min_blur_variance == 0.1
  assert config.srmd.max_blur_variance == 10.0
  assert config.srmd.max_noise_std == 75 / 255
  assert not config.srmd.isotropic


def test_quickstart_needs_no_download():
  config = _get_config("quickstart")
  assert config.data.name == "mnist5k"
  assert config.num_seeds == 3
  assert config.degradation.scale == 4
  assert config.model.trunk == "fsrcnn"
  assert config.model.wiring == "parallel"


def _config_of(run):
  """The run's config; its source is left out, which is no folder yet."""
  config = importlib.import_module(
    run.config.removesuffix(".py").replace("/", ".")
  ).get_config()
  config.update_from_flattened_dict({**run.overrides, "experiment": run.name})
  checks.validate(config)
  return config


def _configs(budget, sweep="paper"):
  return {run.name: _config_of(run) for run in MODULES[sweep].sweep(budget)}


def _without_srmd(budget):
  configs = _configs(budget)
  return {k: config for k, config in configs.items() if "srmd" not in k}


@pytest.mark.parametrize(("name", "budget"), BUDGETS)
def test_runs_are_valid_and_can_follow_each_other(name, budget):
  found = MODULES[name].sweep(budget)
  assert found
  configs, names = {}, []
  for run in found:
    configs[run.name] = _config_of(run)
    if run.init_from is not None:
      assert run.init_from in names
      source = record.to_dict(configs[run.init_from])
      source_checks.validate_init_from(configs[run.name], source)
    names.append(run.name)
  assert len(set(names)) == len(names)


@pytest.mark.parametrize("budget", runs.BUDGETS)
def test_the_paper_has_every_run_of_every_item(budget):
  whole = {run.name: run for run in paper.sweep(budget)}
  assert set(ITEMS) == {
    "paper",
    *(i.__name__.split(".")[1] for i in paper.ITEMS),
  }
  for name in ITEMS:
    for run in MODULES[name].sweep(budget):
      assert whole[run.name] == run


def test_each_question_changes_one_thing_and_has_its_control():
  configs = _configs("all", "why")
  assert all(name.startswith(reading.OTHER_RECIPES) for name in configs)
  base = record.to_dict(configs["why_base"])
  for name, config in configs.items():
    changes = record.difference(base, record.to_dict(config))
    changed = {change.field for change in changes} - {
      "experiment", "init_from", "model.wiring", "joint.loss_weight",
    }  # fmt: skip
    assert len({x.rpartition(".")[0] for x in changed}) <= 1, name
  controls = [name for name in configs if name.endswith("_control")]
  for control in controls:
    assert configs[control].model.wiring == "none"
    assert control.removesuffix("_control") in configs
  assert len(controls) == 5


@pytest.mark.parametrize("name", ITEMS)
def test_a_sweep_without_a_budget_is_the_papers(name):
  sweep = MODULES[name].sweep
  assert inspect.signature(sweep).parameters["budget"].default == "paper"
  assert sweep() == sweep("paper")


@pytest.mark.parametrize("name", SWEEPS)
def test_an_unknown_budget_is_named(name):
  first = next(budget for other, budget in BUDGETS if other == name)
  with pytest.raises(ValueError, match=f'"cpv"; the budgets are {first}, '):
    MODULES[name].sweep("cpv")


def _members(budget):
  """Of the reproduction: seeds and loss weights of each experiment's runs.

  Of those that train `joint`. Each has a pretraining before it, with the rows
  of the same experiment but for controls.
  """
  found, pretraining = {}, {}
  for run in MODULES["reproduction"].sweep(budget):
    config = _config_of(run)
    assert config.pretrain.num_epochs
    if run.init_from is None:
      assert derived.phases(config) == ("pretrain",)
      # Neither a choice of lambda nor --set changes it after it was trained.
      assert "joint.loss_weight" not in run.overrides
      assert run.fixed == ("joint.*",)
      pretraining[run.name] = run
      continue
    assert config.joint.num_epochs
    assert not run.fixed
    source = pretraining[run.init_from]
    changed = {
      field
      for field, value in run.overrides.items()
      if source.overrides.get(field) != value
    }
    assert changed <= {
      "joint.num_epochs", "joint.loss_weight", "model.wiring", "num_seeds",
    }  # fmt: skip
    if config.model.wiring == "parallel" and budget != "P3":
      assert run.experiment == source.experiment
    seeds = range(config.seed, config.seed + config.num_seeds)
    members = found.setdefault(run.experiment, [])
    members.append((*seeds, derived.loss_weights(config, "joint")))
  return found


def test_ten_seeds_decide_about_the_control():
  pairs = [(0, 1), (2, 3), (4, 5), (6, 7), (8, 9)]
  assert _members("P1") == {
    "P1_mnist_fsrcnn_x4": [(*pair, (9.0,)) for pair in pairs],
    "P1_mnist_sr_continued_fsrcnn_x4": [(*pair, (0.0,)) for pair in pairs],
  }


def test_sequential_and_parallel_start_from_the_same_weights():
  """Those of P1, which are pretrained once for both parts."""
  seeds = [(0, 1), (2, 3), (4,)]
  assert _members("P3") == {
    "P3_mnist_fsrcnn_x4": [(*s, (9.0,)) for s in seeds],
    "P3_mnist_sequential_fsrcnn_x4": [(*s, (0.11,)) for s in seeds],
  }
  whole = MODULES["reproduction"].sweep("P1")
  for run in MODULES["reproduction"].sweep("P3"):
    assert run.init_from or run in whole


@pytest.mark.parametrize("budget", ["P0b", "P2", "P4", "P5"])
def test_parts_of_the_reproduction(budget):
  """Seeds, and experiments: each network of P2, P4 and P5 has its control."""
  seeds = {"P0b": 4 * [0, 1, 2], "P2": [0, 1, 2], "P4": [*range(5)], "P5": [0]}
  members = _members(budget)
  for of_experiment in members.values():
    trained = [seed for *some, _ in of_experiment for seed in some]
    assert trained == seeds[budget]
  trained = [name for name in members if "sr_continued" not in name]
  controls = [name for name in members if "sr_continued" in name]
  if budget == "P0b":
    assert members[trained[0]] == [
      (0, 1, 2, (weight,)) for weight in (9.0, 0.11, 1.0, 90.0)
    ]
  else:
    assert [x.replace("_sr_continued", "") for x in controls] == trained


def test_two_runs_of_one_name_must_be_equal():
  first = runs.Run("a", "experiments/default.py", {"seed": 1})
  other = runs.Run("a", "experiments/default.py", {"seed": 2})
  assert runs.merge([first], [first]) == [first]
  with pytest.raises(ValueError, match="called a"):
    runs.merge([first], [other])


# Run -> method after joint, data set, scale, shared layers, loss weights.
EXPECTED = {
  "mnist_fsrcnn_x4": ("sr2_fsrcnn", "mnist", 4, 1, (0.11, 9.0)),
  "mnist_fsrcnn_x2": ("sr2_fsrcnn", "mnist", 2, 1, (9.0,)),
  "mnist_wdsr_x4": ("sr2_wdsr", "mnist", 4, 1, (9.0,)),
  "mnist_wdsr_x2": ("sr2_wdsr", "mnist", 2, 1, (9.0,)),
  "svhn_wdsr_x4": ("sr2_wdsr", "svhn_cropped", 4, 1, (9.0,)),
  "svhn_wdsr_x2": ("sr2_wdsr", "svhn_cropped", 2, 1, (9.0,)),
  "svhn_wdsr_x4_4_shared": ("sr2_wdsr", "svhn_cropped", 4, 4, (9.0,)),
  "svhn_wdsr_x2_4_shared": ("sr2_wdsr", "svhn_cropped", 2, 4, (9.0,)),
  **{
    f"mnist_{method}_{trunk}_x{scale}": (
      f"{method}_{trunk}", "mnist", scale, 1, (loss_weight,)
    )
    for method, loss_weight in (("sequential", 0.11), ("sr_continued", 0.0))
    for trunk in ("fsrcnn", "wdsr")
    for scale in (2, 4)
  },
  **{
    f"svhn_sr_continued_wdsr_x{scale}{suffix}": (
      "sr_continued_wdsr", "svhn_cropped", scale, shared_layers, (0.0,)
    )
    for scale in (2, 4)
    for shared_layers, suffix in ((1, ""), (4, "_4_shared"))
  },
}  # fmt: skip


@pytest.mark.parametrize("budget", runs.BUDGETS)
def test_srmd_trains_one_seed_and_only_in_pretrain(budget):
  found = [runs.srmd_retrained(budget, scale) for scale in (2, 4)]
  for run, scale in zip(found, (2, 4), strict=True):
    config = _config_of(run)
    assert run.name.endswith(f"_srmd_retrained_x{scale}")
    assert config.num_seeds == 1
    assert derived.phases(config) == ("pretrain",)
    assert derived.method(config, "pretrain").key == "srmd_retrained"


@pytest.mark.parametrize("budget", ["paper", "cpu"])
def test_what_the_papers_runs_are(budget):
  assert {
    name: (
      derived.method(config, "joint").key,
      config.data.name,
      config.degradation.scale,
      config.model.shared_layers,
      derived.loss_weights(config, "joint"),
    )
    for name, config in _without_srmd(budget).items()
  } == EXPECTED
  sources = {run.name: run.init_from for run in paper.sweep(budget)}
  for name, source in sources.items():
    if "srmd" in name:
      assert source is None
      continue
    words = [w for w in ("sequential_", "sr_continued_") if w in name]
    assert source == (name.replace(words[0], "") if words else None)


# The fields that a budget may change; all else is the paper's.
BUDGET_FIELDS = (
  "experiment", "num_seeds", "pretrain.num_epochs", "joint.num_epochs",
  "joint.loss_weight", "model.wiring", "model.shared_layers", "model.trunk",
  "degradation.scale", "data.name", "eval.splits", "eval.every_epochs",
  "eval.corruptions", "checkpoint.every_steps",
)  # fmt: skip


@pytest.mark.parametrize(
  ("budget", "epochs", "few"),
  [("paper", (120, 120), ()), ("cpu", (4, 1), ("svhn", "sequential"))],
)
def test_budgets_shorten_and_change_nothing_else(budget, epochs, few):
  """One seed instead of three where a name has one of the `few` words."""
  for name, config in _without_srmd(budget).items():
    assert (config.pretrain.num_epochs, config.joint.num_epochs) == epochs
    assert config.num_seeds == (1 if any(w in name for w in few) else 3)
    changes = record.difference(
      record.to_dict(default.get_config()), record.to_dict(config)
    )
    allowed = BUDGET_FIELDS
    if budget == "cpu" and name.startswith("svhn"):
      allowed += ("eval.max_images",)
    for change in changes:
      assert change.is_of(*allowed), change


def test_what_a_gpu_settles_first():
  """FSRCNN x4 with its control; three seeds and the authors' epochs; MNIST."""
  configs = _configs("gpu")
  assert list(configs) == [
    *(
      f"mnist_{word}{trunk}_x{scale}"
      for trunk in ("fsrcnn", "wdsr")
      for scale in (4, 2)
      for word in ("pretrained_", "", "sr_continued_")
    ),
    "mnist_sequential_fsrcnn_x4",
    "mnist_sequential_fsrcnn_x2",
  ]
  for run in paper.sweep("gpu"):
    trunk = run.name.removeprefix("mnist_").removeprefix("pretrained_")
    trunk = trunk.removeprefix("sr_continued_").removeprefix("sequential_")
    is_first = "pretrained" in run.name
    assert run.init_from == (None if is_first else f"mnist_pretrained_{trunk}")
    # `--set joint.num_epochs=...` is for the others.
    assert bool(run.fixed) == is_first
  for name, config in configs.items():
    assert config.pretrain.num_epochs == 120
    if "pretrained" in name:
      assert derived.phases(config) == ("pretrain",)
    else:
      method, _, scale, shared, weights = EXPECTED[name]
      weights = (9.0,) if 9.0 in weights else weights
      assert derived.method(config, "joint").key == method
      assert config.degradation.scale == scale
      assert config.model.shared_layers == shared
      assert derived.loss_weights(config, "joint") == weights
      assert config.joint.num_epochs == 120
    assert config.data.name == "mnist"
    assert derived.population_size(config, "joint") == 3
    assert set(config.eval.batch_norm) == {"reestimated", "running"}
    changes = record.difference(
      record.to_dict(default.get_config()), record.to_dict(config)
    )
    allowed = (
      *BUDGET_FIELDS, "eval.batch_norm", "eval.validation_noise_variances",
      "log",
    )  # fmt: skip
    for change in changes:
      assert change.is_of(*allowed), change


def test_smoke_needs_no_download_and_no_run_twice():
  configs = _configs("smoke")
  assert {config.data.name for config in configs.values()} == {"mnist5k"}
  configs = _without_srmd("smoke")
  methods = [
    (
      derived.method(config, "joint").key,
      config.degradation.scale,
      config.model.shared_layers,
    )
    for config in configs.values()
  ]
  assert len(set(methods)) == len(methods) == 16
