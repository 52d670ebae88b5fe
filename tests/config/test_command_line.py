import pathlib

import ml_collections
import pytest

from sr2_jax import errors, names
from sr2_jax.config import command_line, fields
from tests import child

ROOT = pathlib.Path(__file__).parents[2]
QUICKSTART = "--config=experiments/quickstart.py"


def _levels(corruption):
  """A level inside the interval, as typed and as its value."""
  low, high = map(float, corruption.levels[1:-1].split(","))
  level = low + min(1, (high - low) / 2)
  return str(level), (level,)


# What people type for each field, and what they mean.
TYPED = {
  "steps_per_call": ("10", 10),
  "stop_on_divergence": ("true", True),
  "data.device_bytes": ("1000000", 1_000_000),
  "experiment": ("mine", "mine"),
  "seed": ("3", 3),
  "convolutions": ("measured", "measured"),
  "num_seeds": ("2", 2),
  "batch_size": ("32", 32),
  "init_from": ("", ""),
  "fine_tune": ("false", False),
  "data.name": ("mnist", "mnist"),
  "data.path": ("", ""),
  "data.low_res_path": ("", ""),
  "data.labels": ("", ""),
  "data.classes": ("0,even=2+4", "0,even=2+4"),
  "data.size": ("32x16", "32x16"),
  "data.fit": ("crop", "crop"),
  "data.channels": ("1", "1"),
  "data.duplicates": ("allow", "allow"),
  "data.validation_fraction": ("0.1", 0.1),
  "data.split_seed": ("7", 7),
  "data.max_train_images": ("1000", 1000),
  "degradation.scale": ("2", 2),
  "degradation.blur_sigma_per_scale": ("1", 1.0),
  "degradation.anti_aliasing": ("false", False),
  "augmentation.crop": ("16", 16),
  "augmentation.max_shift": ("0", 0),
  "augmentation.max_rotation": ("5", 5.0),
  "augmentation.fill": ("edge", "edge"),
  "model.trunk": ("wdsr", "wdsr"),
  "model.wiring": ("sequential", "sequential"),
  "model.shared_layers": ("1", 1),
  "model.expansion": ("1", 1),
  "model.batch_norm": ("False", False),
  "model.batch_norm_momentum": ("0.9", 0.9),
  "model.dtype": ("bfloat16", "bfloat16"),
  "model.transposed_convolution": ("True", True),
  "model.classifier_strides": ("2,2,2", (2.0, 2.0, 2.0)),
  "loss.super_resolution": ("l1", "l1"),
  "loss.l2": ("0,0.1", (0.0, 0.1)),
  "loss.l2_scope": ("kernels", "kernels"),
  "loss.normalize_weights": ("1", True),
  "loss.class_weights": ("balanced", "balanced"),
  "adam.b1": ("0", 0.0),
  "adam.b2": (".99", 0.99),
  "adam.eps": ("1e-8", 1e-8),
  "pretrain.num_epochs": ("0", 0),
  "pretrain.learning_rate.shared": ("0", 0.0),
  "pretrain.learning_rate.sr": ("1e-4", 1e-4),
  "joint.num_epochs": ("2", 2),
  "joint.learning_rate.shared": ("0", 0.0),
  "joint.learning_rate.sr": ("0", 0.0),
  "joint.learning_rate.classifier": ("1", 1.0),
  "joint.loss_weight": ("0.11,9", (0.11, 9.0)),
  "eval.noise_variances": ("0,1e-3", (0.0, 1e-3)),
  **{
    fields.corruption_field(key): _levels(corruption)
    for key, corruption in names.CORRUPTIONS.items()
  },
  "eval.srmd.weights": ("", ""),
  "eval.srmd.pca": ("some.mat", "some.mat"),
  "srmd.isotropic": ("true", True),
  "srmd.min_blur_variance": ("0.5", 0.5),
  "srmd.max_blur_variance": ("8", 8.0),
  "srmd.max_noise_std": ("0.1", 0.1),
  "srmd.clean_fraction": ("0.25", 0.25),
  "eval.noise_seed": ("1", 1),
  "eval.batch_size": ("50", 50),
  "eval.splits": ("test", ("test",)),
  "eval.max_images": ("10", 10),
  "eval.clip": ("true", True),
  "eval.every_epochs": ("1", 1),
  "eval.validation_noise_variances": ("0,1e-4", (0.0, 1e-4)),
  "eval.epochs": ("1,10", (1.0, 10.0)),
  "eval.batch_norm": ("reestimated,running", ("reestimated", "running")),
  "eval.batch_norm_batches": ("5", 5),
  "eval.checkpoint": ("best", "best"),
  "checkpoint.every_steps": ("5", 5),
  "checkpoint.keep": ("1", 1),
  "checkpoint.keep_finished": ("false", False),
  "log.every_steps": ("1", 1),
  "log.tensorboard": ("0", False),
  "log.profile_steps": ("100,110", (100.0, 110.0)),
  "parallel.layout": ("members", "members"),
  "parallel.num_devices": ("1", 1),
}


@pytest.fixture(autouse=True)
def _in_root(monkeypatch):
  monkeypatch.chdir(ROOT)


def _parse(*arguments):
  return command_line.parse(["main.py", *arguments])


def _get(config, field):
  for word in field.split("."):
    config = config[word]
  return config


def _mistake(*arguments):
  with pytest.raises(errors.UserError) as caught:
    _parse(*arguments)
  message = str(caught.value)
  assert 1 <= len(message.splitlines()) <= 2
  assert "Traceback" not in message
  return message


def test_every_field_has_a_typed_example():
  assert set(TYPED) == set(fields.CHECKS)


# Fields that are for own images alone.
OF_FOLDER = (
  "data.classes", "data.size", "data.fit", "data.channels", "data.duplicates",
)  # fmt: skip


@pytest.mark.parametrize("field", TYPED)
def test_override(field):
  typed, expected = TYPED[field]
  of_folder = ("--config.data.name=folder", "--config.data.path=.")
  others = of_folder if field in OF_FOLDER else ()
  flag = f"--config.{field}={typed}"
  value = _get(_parse(QUICKSTART, *others, flag).config, field)
  assert value == expected
  assert type(value) is type(expected)


@pytest.mark.parametrize(
  ("typed", "expected"),
  [
    (["0.11"], (0.11,)),
    (["9"], (9.0,)),
    (["0.11,"], (0.11,)),
    (["0.11, 9"], (0.11, 9.0)),
    (["(0.11, 9)"], (0.11, 9.0)),
    (["(9)"], (9.0,)),
    (["[0.11,9]"], (0.11, 9.0)),
    (["9", "0.11"], (0.11,)),
  ],
)
def test_ways_to_type_numbers(typed, expected):
  overrides = [f"--config.joint.loss_weight={value}" for value in typed]
  value = _parse(QUICKSTART, *overrides).config.joint.loss_weight
  assert value == expected
  assert all(type(x) is float for x in value)


def test_of_a_field_that_is_given_twice_the_last_counts():
  parts = ["--config.loss.l2=1e-3", "--config.loss.l2", "1e-4,0"]
  assert _parse(QUICKSTART, *parts).config.loss.l2 == (1e-4, 0.0)
  parts = ["--config.seed=1", "--config.seed=2"]
  assert _parse(QUICKSTART, *parts).config.seed == 2


def test_a_field_may_hold_a_list_and_follow_another(tmp_path):
  path = tmp_path / "mine.py"
  path.write_text(
    "from experiments import quickstart\n\n"
    "def get_config():\n"
    "  config = quickstart.get_config()\n"
    "  config.loss.l2 = [0.5]\n"
    "  config.seed = config.get_oneway_ref('num_seeds') * 10\n"
    "  return config\n"
  )
  typed = ["--config.loss.l2=1,2", "--config.num_seeds=4"]
  config = _parse(f"--config={path}", *typed).config
  assert (config.loss.l2, config.seed) == ((1.0, 2.0), 40)


def test_the_config_is_not_written_as_text(monkeypatch):
  """That takes longer than all else, and sweeps read hundreds."""

  def refuse(self):
    raise AssertionError("written")

  monkeypatch.setattr(ml_collections.ConfigDict, "__str__", refuse)
  assert _parse(QUICKSTART, "--config.seed=3").config.seed == 3


def test_a_list_may_be_empty():
  config = _parse(QUICKSTART, "--config.eval.corruptions.jpeg=").config
  assert config.eval.corruptions.jpeg == ()


@pytest.mark.parametrize(
  "typed",
  ["test,validation", "('test', 'validation')", '["test","validation"]'],
)
def test_ways_to_type_names(typed):
  config = _parse(QUICKSTART, f"--config.eval.splits={typed}").config
  assert config.eval.splits == ("test", "validation")


def test_order_and_spelling_of_flags_are_free():
  command = _parse(
    "--config.joint.num_epochs",
    "7",
    "--noconfig.log.tensorboard",
    "-config.loss.normalize_weights",
    "--config",
    "experiments/fsrcnn_x4.py",
    "--workdir=runs/a",
  )
  assert command.config.joint.num_epochs == 7
  assert command.config.log.tensorboard is False
  assert command.config.loss.normalize_weights is True
  assert command.config.experiment == "fsrcnn_x4"
  assert command.workdir == pathlib.Path("runs/a")


def test_defaults():
  command = _parse(QUICKSTART)
  assert command.workdir == pathlib.Path("runs/quickstart")
  assert command.mode == "train"
  assert command.coordinator is None
  assert command.config.augmentation.fill == "zero"


@pytest.mark.parametrize(
  ("arguments", "expected"),
  [
    ([], "--config is missing"),
    (["--config="], "--config is missing"),
    (["--confg=experiments/quickstart.py"], "did you mean --config?"),
    (["--config=experiments/quickstrat.py"], "experiments/quickstart.py?"),
    (["--config=experiments"], "no config file experiments"),
    (["--config=requirements.txt"], "not a .py file"),
    ([QUICKSTART, "--config.joint.los_weight=1"], "config.joint.loss_weight?"),
    ([QUICKSTART, "--config.loss_weight", "1"], "config.joint.loss_weight?"),
    ([QUICKSTART, "--noconfig.log.tensorbord"], "config.log.tensorboard?"),
    ([QUICKSTART, "--config.joint={}"], "group"),
    (
      [QUICKSTART, "--config.batch_size=many"],
      'has to be a whole number from 1 to 1000000, not "many"',
    ),
    ([QUICKSTART, "--config.batch_size=6.5"], "config.batch_size has to be"),
    ([QUICKSTART, "--config.batch_size=0"], "config.batch_size has to be"),
    (
      [QUICKSTART, "--config.loss.l2=x:y=z"],
      "config.loss.l2 has to be one or more different numbers",
    ),
    ([QUICKSTART, "--config.loss.l2=nan"], "config.loss.l2"),
    ([QUICKSTART, "--config.eval.clip=maybe"], "true or false"),
    (
      [QUICKSTART, "--config.joint.loss_weight=nine"],
      "config.joint.loss_weight",
    ),
    ([QUICKSTART, "--config.joint.loss_weight="], "config.joint.loss_weight"),
    ([QUICKSTART, "--config.joint.loss_weight", "1", "9"], 'Unexpected "9"'),
    ([QUICKSTART, "--config.model.shared_layers=17"], "from 1 to 16, not 17"),
    ([QUICKSTART, "--config.degradation.scale=3"], "28x28"),
    ([QUICKSTART, "--config.seed"], "--config.seed"),
    ([QUICKSTART, "--mode=test"], "<train|eval>"),
    ([QUICKSTART, "--workdirr=x"], "did you mean --workdir?"),
    ([QUICKSTART, "--zzz"], "no flag --zzz"),
    ([QUICKSTART, "extra"], 'Unexpected "extra"'),
    ([QUICKSTART, "--num_processes=2"], "--coordinator"),
    ([QUICKSTART, "--coordinator=auto", "--process_id=0"], 'not with "auto"'),
    ([QUICKSTART, "--coordinator=host"], "HOST:PORT"),
    ([QUICKSTART, "--coordinator=host:1"], "--num_processes"),
    (
      [
        QUICKSTART,
        "--coordinator=host:1",
        "--num_processes=2",
        "--process_id=2",
      ],
      "--process_id",
    ),
    ([QUICKSTART, "--process_id=one"], "--process_id"),
    ([QUICKSTART, "--coordinator=host:0"], "HOST:PORT"),
    ([QUICKSTART, "--coordinator=a..b:1"], "HOST:PORT"),
    ([QUICKSTART, f"--coordinator={'a' * 64}:1"], "HOST:PORT"),
    (
      [
        QUICKSTART,
        "--coordinator=[::1]:1",
        "--num_processes=1000000000",
        "--process_id=0",
      ],
      "--num_processes has to be at most",
    ),
    ([QUICKSTART, "--coordinator=host:65536"], "HOST:PORT"),
    ([QUICKSTART, "--noconfig.eval.clip=1"], "give --config.eval.clip=VALUE"),
    ([QUICKSTART, "--noconfig.seed"], "give --config.seed=VALUE"),
    ([QUICKSTART, "--noconfig.loss.l2=1"], "give --config.loss.l2=VALUE"),
    ([QUICKSTART, "--flagfile=/dev/zero"], "There is no flag --flagfile"),
    ([QUICKSTART, "-flagfile", "/dev/zero"], "There is no flag --flagfile"),
    ([QUICKSTART, "--undefok=x", "--x=1"], "There is no flag --undefok"),
    ([QUICKSTART, "--config.seed=1e400"], "config.seed has to be"),
    ([QUICKSTART, f"--config.seed={'9' * 5000}"], "config.seed has to be"),
    ([QUICKSTART, f"--config.batch_size={'9' * 4000}"], "from 1 to 1000000"),
    ([QUICKSTART, "--config.adam.eps=nan"], "config.adam.eps has to be"),
    ([QUICKSTART, "--config.joint.loss_weight=1e400"], "from 0 to 3.40282e+38"),
    ([QUICKSTART, f"--workdir={'a/' * 3000}"], "more than 4,095 bytes"),
    ([QUICKSTART, f"--config={'a' * 300}"], "more than 255 bytes"),
    ([QUICKSTART, "--workdir=~no_such_user/x"], "~no_such_user"),
    ([QUICKSTART, "--peer_timeout=9"], "goes with --coordinator"),
    (
      [QUICKSTART, "--coordinator=auto", "--heartbeat_timeout=1"],
      "from 2 to 1000000 seconds, not 1",
    ),
  ],
)
def test_mistake(arguments, expected):
  assert expected in _mistake(*arguments)


@pytest.mark.parametrize(
  "argument",
  [
    "--{}",
    "{}",
    "--config.{}=1",
    "--config.experiment={}",
    "--config.data.name={}",
    "--config.loss.l2={}",
    "--config.init_from={}",
    "--workdir={}",
    "--mode={}",
    "--coordinator={}",
    "--num_processes={}",
  ],
)
def test_a_message_does_not_get_as_long_as_a_mistake(argument):
  for typed in ("x" * 589_000, "\x1b" * 10_000):
    message = _mistake(QUICKSTART, argument.format(typed))
    assert len(message) < 2500
    assert message.replace("\n", "").isprintable()


@pytest.mark.parametrize(
  ("address", "count", "index", "expected"),
  [
    ("host", 2, 0, "HOST:PORT"),
    ("host:0", 2, 0, "HOST:PORT"),
    ("host:1", 2, 2, "--process_id"),
    ("host:1", 0, 0, "--process_id"),
    ("host:1", 10**9, 0, "--num_processes"),
  ],
)
def test_a_place_that_no_process_has(address, count, index, expected):
  """As a cluster may say it, of which only half is there."""
  with pytest.raises(errors.UserError, match=expected):
    command_line.check_place(address, count, index)
  command_line.check_place("host:1", 2, 1)


def test_nothing_heavy_is_loaded_before_the_config_is_valid():
  program = (
    "import sys; from sr2_jax import main; "
    "from sr2_jax.config import command_line; "
    f"command_line.parse(['main.py', '{QUICKSTART}']); "
    "heavy = {'jax', 'flax', 'optax', 'orbax', 'tensorflow', 'matplotlib', "
    "'tensorflow_datasets', 'mlxtend', 'scipy'}; "
    "print(sorted(heavy & set(sys.modules)))"
  )
  done = child.played(program, check=False)
  assert done.stdout == "[]\n", done.stderr


def test_home_is_found_in_paths(monkeypatch, tmp_path):
  """A shell leaves ~ as it is where it follows an equals sign."""
  monkeypatch.setenv("HOME", str(tmp_path))
  (tmp_path / "a.csv").touch()
  command = command_line.parse(
    [
      "main", QUICKSTART, "--workdir=~/run", "--config.init_from=~/other",
      "--config.data.name=folder", "--config.data.path=~",
      "--config.data.labels=~/a.csv",
      "--config.eval.srmd.weights=~/w.pth", "--config.eval.srmd.pca=~/p.mat",
    ]
  )  # fmt: skip
  assert command.workdir == tmp_path / "run"
  assert command.config.init_from == str(tmp_path / "other")
  assert command.config.data.path == str(tmp_path)
  assert command.config.data.labels == str(tmp_path / "a.csv")
  assert command.config.eval.srmd.weights == str(tmp_path / "w.pth")
  assert command.config.eval.srmd.pca == str(tmp_path / "p.mat")


@pytest.mark.parametrize(
  "name",
  [
    "workdir", "config", "config.init_from", "config.data.path",
    "config.data.labels",
    "config.eval.srmd.weights", "config.eval.srmd.pca",
  ],
)  # fmt: skip
@pytest.mark.parametrize("path", ["gs://b/x", "FILE:///x", "x\udcff"])
def test_paths_that_are_no_local_ones_are_refused(name, path):
  message = _mistake(QUICKSTART, f"--{name}={path}")
  assert message.startswith(f"--{name}=" if "." not in name else f"{name}=")
  assert len(message.splitlines()) == 1


def test_run_folders_in_buckets():
  urls = "gs://bucket/a/", "s3://bucket/b c"
  command = _parse(
    QUICKSTART, f"--workdir={urls[0]}", f"--config.init_from={urls[1]}"
  )
  assert command.workdir == "gs://bucket/a"
  assert command.config.init_from == urls[1]


@pytest.mark.parametrize("name", ["workdir", "config.init_from"])
def test_run_folders_that_checkpoints_cannot_have(name):
  assert "the path of a run folder" in _mistake(QUICKSTART, f"--{name}=a\\b")


def test_paths_that_are_kept_to_the_letter():
  """Another spelling would be another config."""
  command = _parse(
    QUICKSTART, "--config.init_from=./a//[b]/", "--workdir=run[seed=1]"
  )
  assert command.config.init_from == "./a//[b]/"
  assert command.workdir == pathlib.Path("run[seed=1]")
