"""How a run is opened, and what it starts from; nothing is trained here."""

import dataclasses
import importlib.metadata
import json
import shutil

import jax
import numpy as np
import pytest
from PIL import Image

from experiments import default
from sr2_jax import errors, parallel
from sr2_jax.config import derived, record
from sr2_jax.data import dataset as dataset_lib
from sr2_jax.models import conv_choice, conv_timing, srmd_weights
from sr2_jax.records import folder as folder_lib
from sr2_jax.training import checkpoint, population, preemption, steps
from sr2_jax.training import phase as phase_lib
from sr2_jax.training import run as run_lib

SIZE = 12


def write_images(root):
  """Two classes of ten images: 12 to train, 4 to validate, 4 to test."""
  random = np.random.default_rng(0)
  for label in ("a", "b"):
    (root / label).mkdir(parents=True)
    for number in range(10):
      pixels = random.integers(0, 256, (SIZE, SIZE), np.uint8)
      Image.fromarray(pixels).save(root / label / f"{number}.png")
  return root


@pytest.fixture(scope="module")
def images(tmp_path_factory):
  return write_images(tmp_path_factory.mktemp("images") / "data")


@pytest.fixture(autouse=True)
def surroundings(tmp_path, monkeypatch, settings_of_jax):
  """A cache of the test's own, and JAX's settings as they were."""
  monkeypatch.setenv("SR2_JAX_CACHE_DIR", str(tmp_path / "cache"))


def make_config(images, **changes):
  config = default.get_config()
  config.experiment = "opened"
  config.batch_size = 4
  config.data.name = "folder"
  config.data.path = str(images)
  config.pretrain.num_epochs = 2
  config.eval.batch_size = 4
  config.parallel.num_devices = 1
  config.update_from_flattened_dict(
    {name.replace("__", "."): value for name, value in changes.items()}
  )
  return derived.resolve(config)


def make_run(folder, images, **changes):
  """A run without its folder's claim and record."""
  config = make_config(images, **changes)
  return run_lib.Run(
    config=config,
    folder=folder_lib.RunFolder(folder),
    dataset=dataset_lib.load(config.data),
    layout=parallel.layout("data", 1),
    stop=preemption.StopRequest(),
  )


def begin(folder):
  """Leaves what a run has once it is under way."""
  (folder / "metrics.jsonl").write_text("{}\n")


def edit_record(folder, edit):
  path = folder / "config.json"
  recorded = json.loads(path.read_text())
  edit(recorded)
  path.write_text(json.dumps(recorded))


def test_what_cannot_fit_leaves_no_trace(images, tmp_path):
  """So many members could not be listed; the folder takes another config."""
  folder = tmp_path / "run"
  for changes in ({"num_seeds": 10**9}, {"eval__batch_size": 10**9}):
    config = make_config(images, **changes)
    with (
      pytest.raises(errors.NoRoomError, match="needs at least"),
      run_lib.open_run(config, folder),
    ):
      pass
    assert folder_lib.RunFolder(folder).read() is None
  with run_lib.open_run(make_config(images), folder) as run:
    assert run.folder.read() is not None


def test_memory_that_is_not_enough_is_explained(images, tmp_path):
  with (
    pytest.raises(errors.UserError, match=r"^Out of memory: 9 GB.\nWith more"),
    run_lib.open_run(make_config(images), tmp_path / "run"),
  ):
    raise MemoryError("9 GB")


def test_record_has_what_the_numbers_depend_on(images, tmp_path):
  run = make_run(tmp_path, images)
  recorded = run_lib.record_of(run)
  assert recorded["config"] == record.to_dict(run.config)
  assert recorded["dataset"]["name"] == "folder"
  assert recorded["dataset"]["image_shape"] == [SIZE, SIZE, 1]
  assert recorded["dataset"]["class_names"] == ["a", "b"]
  assert recorded["dataset"]["fingerprint"] == run.dataset.fingerprint
  assert recorded["dataset"]["notes"] == list(run.dataset.notes)
  devices = recorded["devices"]
  assert devices["platform"] == jax.devices()[0].platform
  assert (devices["count"], devices["processes"]) == (1, 1)
  assert devices["cpu_cores"] >= 1
  for name in ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy"):
    assert recorded["packages"][name] == importlib.metadata.version(name)
  assert json.loads(json.dumps(recorded)) == recorded


def test_first_start_records_and_the_second_is_silent(images, tmp_path, capsys):
  config, workdir = make_config(images), tmp_path / "run"
  with run_lib.open_run(config, workdir) as run:
    assert run is not None
    assert len(run.dataset.train.images) == 12
    assert run.layout.devices == tuple(jax.devices()[:1])
    assert run.phase("pretrain").num_steps == 6
    assert run.phase("joint").network.low_res_shape == (6, 6, 1)
    assert run.phase("joint").network.model.num_classes == 2
    with (
      pytest.raises(errors.UserError, match="another run is using"),
      run_lib.open_run(config, workdir),
    ):
      raise AssertionError("opened twice")
  record = (workdir / "config.json").read_text()
  assert json.loads(record) == run_lib.record_of(run)
  capsys.readouterr()
  with run_lib.open_run(config, workdir):
    pass
  assert (workdir / "config.json").read_text() == record
  assert "note:" not in capsys.readouterr().err


def test_a_resumed_run_has_the_program_of_its_first_start(
  images, tmp_path, monkeypatch
):
  """Of the convolutions that were faster then, wherever it goes on."""

  def program_of(run):
    phase = run.phase("joint")
    program = phase_lib.train_program(
      phase, run.config, run.layout, steps_per_call=1
    )
    state = jax.eval_shape(steps.all_alive, phase.abstract_state())
    order = np.zeros((1, 12), np.int32)
    shared = (run.dataset.train.images, np.zeros(12, np.int32), 0, 1)
    members = (phase.population.arrays(), order)
    return jax.jit(program).lower(state, members, shared, 0).as_text()

  def other_form(cases):
    return conv_choice.Choice(((cases[0], "rows"),))

  monkeypatch.setattr(conv_timing, "choose", other_form)
  config = make_config(images, convolutions="measured")
  with run_lib.open_run(config, tmp_path) as first:
    assert len(first.choice.of_cases) == 1
    begin(tmp_path)
  monkeypatch.setattr(conv_timing, "choose", None)  # Fails if it is called.
  for evaluate_only in (False, True):
    with run_lib.open_run(
      config, tmp_path, evaluate_only=evaluate_only
    ) as resumed:
      assert resumed.choice == first.choice
  rules = dataclasses.replace(first, choice=conv_choice.RULES)
  assert program_of(resumed) == program_of(first)
  assert program_of(rules) != program_of(first)


def test_a_damaged_choice_of_convolutions_is_a_message(images, tmp_path):
  config = make_config(images, convolutions="measured", model__dtype="bfloat16")
  with run_lib.open_run(config, tmp_path):
    begin(tmp_path)
  edit_record(tmp_path, lambda recorded: recorded.pop("convolutions"))
  with (
    pytest.raises(errors.UserError, match="convolutions is damaged"),
    run_lib.open_run(config, tmp_path),
  ):
    raise AssertionError("opened")


def test_other_config_is_refused(images, tmp_path):
  with run_lib.open_run(make_config(images), tmp_path):
    begin(tmp_path)
  with (
    pytest.raises(errors.UserError, match=r"seed: 0 -> 1\."),
    run_lib.open_run(make_config(images, seed=1), tmp_path),
  ):
    raise AssertionError("opened")


def test_config_may_change_until_there_is_a_checkpoint_or_a_row(
  images, tmp_path
):
  """What failed before may have been the config."""
  with run_lib.open_run(make_config(images), tmp_path):
    pass
  config = make_config(images, seed=1)
  with run_lib.open_run(config, tmp_path) as run:
    assert run is not None
    assert json.loads((tmp_path / "config.json").read_text()) == (
      run_lib.record_of(run)
    )
    assert run.config.seed == 1
    begin(tmp_path)
  with (
    pytest.raises(errors.UserError, match=r"seed: 1 -> 0\."),
    run_lib.open_run(make_config(images), tmp_path),
  ):
    raise AssertionError("opened")


@pytest.mark.parametrize(
  "changes",
  [
    {"eval__clip": True},
    {"eval__noise_seed": 1},
    {"eval__max_images": 3},
    {"eval__batch_size": 2},
  ],
)
def test_evaluation_may_not_change_what_no_row_tells_apart(
  images, tmp_path, changes
):
  with run_lib.open_run(make_config(images), tmp_path):
    begin(tmp_path)
  field = next(iter(changes)).replace("__", ".")
  with (
    pytest.raises(errors.UserError, match=f"{field}: .* -> ") as caught,
    run_lib.open_run(
      make_config(images, **changes), tmp_path, evaluate_only=True
    ),
  ):
    raise AssertionError("opened")
  assert "\n--mode=eval changes only eval.noise_variances" in str(caught.value)


@pytest.mark.parametrize(
  "changes",
  [
    {"eval__noise_variances": (0.5,)},
    {"eval__corruptions__jpeg": (50.0,)},
    {"eval__srmd__pca": "basis.mat"},
    {"eval__splits": ("test",)},
    {"eval__checkpoint": "best"},
    {"log__tensorboard": False},
    {"data__device_bytes": 1},
  ],
)
def test_evaluation_may_change_what_training_does_not_see(
  images, tmp_path, changes
):
  with run_lib.open_run(make_config(images), tmp_path):
    begin(tmp_path)
  record = (tmp_path / "config.json").read_text()
  config = make_config(images, **changes)
  with run_lib.open_run(config, tmp_path, evaluate_only=True) as run:
    assert run is not None
    assert run.config.eval == config.eval
    assert run.config.log == config.log
    assert run.config.data == config.data
  assert (tmp_path / "config.json").read_text() == record
  with (
    pytest.raises(errors.UserError, match=next(iter(changes)).split("_")[0]),
    run_lib.open_run(config, tmp_path),
  ):
    raise AssertionError("opened")
  with (
    pytest.raises(errors.UserError, match="seed"),
    run_lib.open_run(make_config(images, seed=1), tmp_path, evaluate_only=True),
  ):
    raise AssertionError("opened")


def test_what_changes_no_number_may_change(images, tmp_path):
  with run_lib.open_run(make_config(images), tmp_path):
    begin(tmp_path)
  config = make_config(
    images, stop_on_divergence=True, log__profile_steps=(2, 3)
  )
  for evaluate_only in (False, True):
    with run_lib.open_run(config, tmp_path, evaluate_only=evaluate_only) as run:
      assert run is not None
      assert run.config.stop_on_divergence
      assert run.config.log.profile_steps == (2, 3)


def test_the_choice_of_a_layout_is_recorded_and_kept(images, tmp_path, capsys):
  """Two seeds take two of the four devices that tests have."""
  config = make_config(images, num_seeds=2, parallel__num_devices=0)
  assert config.parallel.layout == "auto"

  def opened(config, **options):
    with run_lib.open_run(config, tmp_path, **options) as run:
      assert run is not None
      chosen = run.layout.name, len(run.layout.devices)
      assert chosen == tuple(run.config.parallel.to_dict().values())
    recorded = json.loads((tmp_path / "config.json").read_text())
    return chosen, tuple(recorded["config"]["parallel"].values())

  assert opened(config) == (("members", 2), ("members", 2))
  said = capsys.readouterr().err
  assert "layout members: 2 members on 2 of 4 devices, 2 idle\n" in said
  # Nothing has begun, so the record is replaced.
  wide = make_config(images, num_seeds=2, parallel__num_devices=4)
  assert opened(wide) == (("members", 4), ("members", 4))
  begin(tmp_path)
  assert opened(config) == (("members", 4), ("members", 4))
  assert opened(config, evaluate_only=True) == (("members", 4), ("members", 4))
  assert "note:" not in capsys.readouterr().err
  # What is asked for counts, and the record is that of the first start.
  split = make_config(
    images, num_seeds=2, parallel__layout="data", parallel__num_devices=2
  )
  assert opened(split) == (("data", 2), ("members", 4))
  assert "note: devices changed" in capsys.readouterr().err


def test_a_run_of_an_older_version_keeps_its_layout(images, tmp_path):
  """That recorded what its config said: all devices, here four."""
  config = make_config(images, num_seeds=2, parallel__num_devices=0)
  with run_lib.open_run(config, tmp_path):
    begin(tmp_path)
  older = {"layout": "data", "num_devices": 0}
  edit_record(tmp_path, lambda d: d["config"].update(parallel=older))
  with run_lib.open_run(config, tmp_path) as run:
    assert run is not None
    assert (run.layout.name, len(run.layout.devices)) == ("data", 4)


def test_a_run_of_an_older_version_keeps_its_shift(images, tmp_path):
  """That had 3 px where the config is open now, which is 1 px at 12 px."""
  config = make_config(images)
  with run_lib.open_run(config, tmp_path) as run:
    assert run is not None
    assert run.config.augmentation.max_shift == -1
    begin(tmp_path)

  def make_older(recorded):
    recorded["config"]["augmentation"]["max_shift"] = 3
    del recorded["config"]["augmentation"]["crop"]
    for field in ("labels", "classes", "size", "fit", "channels", "duplicates"):
      del recorded["config"]["data"][field]

  edit_record(tmp_path, make_older)
  with run_lib.open_run(config, tmp_path) as run:
    assert run is not None
    assert run.config.augmentation.max_shift == 3
  other = make_config(images, augmentation__max_shift=1)
  with (
    pytest.raises(errors.UserError, match="max_shift: 3 -> 1"),
    run_lib.open_run(other, tmp_path),
  ):
    raise AssertionError("opened")


def test_crops_make_networks_of_their_size(images, tmp_path):
  run = make_run(tmp_path, images, augmentation__crop=12)
  shape = (12, 20, 20, 1)
  larger = dataset_lib.Split(np.zeros(shape, np.uint8), np.zeros(12, np.int32))
  run = dataclasses.replace(
    run, dataset=dataclasses.replace(run.dataset, train=larger)
  )
  assert run.image_shape == (12, 12, 1)
  phase = run.phase("joint")
  assert phase.network.low_res_shape == (6, 6, 1)
  settings = phase_lib.settings_of_steps(phase, run.config, run.layout)
  assert (settings.image_shape, settings.crop) == ((20, 20, 1), 12)
  assert settings.augment.keywords["max_shift"] == 0


def test_finished_run_is_left_alone(images, tmp_path, capsys):
  config = make_config(images)
  with run_lib.open_run(config, tmp_path) as run:
    assert run is not None
    run.folder.set_done()
  with run_lib.open_run(config, tmp_path) as run:
    assert run is None
  assert "has finished" in capsys.readouterr().err
  with run_lib.open_run(config, tmp_path, evaluate_only=True) as run:
    assert run is not None
  with (
    pytest.raises(errors.UserError, match="seed: 0 -> 1"),
    run_lib.open_run(make_config(images, seed=1), tmp_path),
  ):
    raise AssertionError("opened")


def test_a_run_whose_source_has_moved_goes_on(images, source, tmp_path):
  """It needs the source no more once it has begun."""
  moved = tmp_path / "moved"
  workdir = tmp_path / "run"
  options = {"seed": 3, "num_seeds": 1}
  config = make_config(images, init_from=str(source), **options)
  with run_lib.open_run(config, workdir):
    begin(workdir)
  source.rename(moved)
  for place in (source, moved):
    config = make_config(images, init_from=str(place), **options)
    for evaluate_only in (False, True):
      with run_lib.open_run(config, workdir, evaluate_only=evaluate_only):
        pass
  with (
    pytest.raises(errors.UserError, match=r'init_from: ".*" -> ""'),
    run_lib.open_run(make_config(images, **options), workdir),
  ):
    raise AssertionError("opened")


def test_a_new_run_needs_its_source(images, tmp_path):
  config = make_config(images, init_from=str(tmp_path / "none"))
  with (
    pytest.raises(
      errors.UserError, match=r"none: there is no such file or folder"
    ),
    run_lib.open_run(config, tmp_path / "run"),
  ):
    raise AssertionError("opened")


def test_a_field_that_was_added_since_is_noted(images, tmp_path, capsys):
  config = make_config(images)
  with run_lib.open_run(config, tmp_path):
    begin(tmp_path)
  edit_record(tmp_path, lambda d: d["config"]["eval"].pop("clip"))
  edit_record(tmp_path, lambda d: d["dataset"].pop("image_shape"))
  with run_lib.open_run(config, tmp_path):
    pass
  assert "no config.eval.clip when this run was" in capsys.readouterr().err


def test_evaluation_needs_a_run_and_makes_none(images, tmp_path):
  workdir = tmp_path / "none"
  with (
    pytest.raises(errors.UserError, match=f"{workdir} is not a run folder"),
    run_lib.open_run(make_config(images), workdir, evaluate_only=True),
  ):
    raise AssertionError("opened")
  assert not workdir.exists()


@pytest.mark.parametrize("evaluate_only", [False, True])
@pytest.mark.parametrize("left", ["metrics.jsonl", "DONE", "per_image/a.npz"])
def test_a_run_whose_record_is_gone_takes_no_config(
  images, tmp_path, evaluate_only, left
):
  (tmp_path / left).parent.mkdir(exist_ok=True)
  (tmp_path / left).write_text("{}\n")
  with (
    pytest.raises(errors.UserError, match=r"no longer its config\.json"),
    run_lib.open_run(
      make_config(images), tmp_path, evaluate_only=evaluate_only
    ),
  ):
    raise AssertionError("opened")
  assert not (tmp_path / "config.json").exists()


def test_a_record_that_is_gone_comes_from_a_checkpoint(images, tmp_path):
  config = make_config(images)
  with run_lib.open_run(config, tmp_path) as run:
    checkpoints = checkpoint.Checkpoints(run.folder.checkpoints("pretrain"))
    checkpoints.save(1, {"a": np.zeros(3)})
    checkpoints.close()
  record = (tmp_path / "config.json").read_bytes()
  (tmp_path / "config.json").unlink()
  with (
    pytest.raises(errors.UserError, match="seed: 0 -> 1"),
    run_lib.open_run(make_config(images, seed=1), tmp_path),
  ):
    raise AssertionError("opened")
  (tmp_path / "config.json").unlink()
  with run_lib.open_run(config, tmp_path):
    assert (tmp_path / "config.json").read_bytes() == record


@pytest.mark.parametrize("evaluate_only", [False, True])
def test_parts_are_looked_at_before_anything_is_loaded(
  images, tmp_path, monkeypatch, evaluate_only
):
  config = make_config(images)
  with run_lib.open_run(config, tmp_path / "run"):
    begin(tmp_path / "run")
  (tmp_path / "elsewhere").mkdir()
  (tmp_path / "run" / "weights").symlink_to(tmp_path / "elsewhere")
  monkeypatch.delattr(run_lib.images_lib, "load")
  with (
    pytest.raises(errors.UserError, match="weights: is a link that leads out"),
    run_lib.open_run(config, tmp_path / "run", evaluate_only=evaluate_only),
  ):
    raise AssertionError("opened")


def test_a_finished_run_says_if_its_rows_are_gone(images, tmp_path, capsys):
  config = make_config(images)
  with run_lib.open_run(config, tmp_path) as run:
    run.folder.set_done()
  rows = tmp_path / "results.jsonl"
  for text, said in (("{}\n", "its results are in"), ("", "has no rows")):
    rows.write_text(text)
    with run_lib.open_run(config, tmp_path) as run:
      assert run is None
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("evaluate_only", [False, True])
def test_changed_data_are_refused(tmp_path, evaluate_only):
  root = write_images(tmp_path / "data")
  config, workdir = make_config(root), tmp_path / "run"
  with run_lib.open_run(config, workdir):
    begin(workdir)
  Image.fromarray(np.zeros((SIZE, SIZE), np.uint8)).save(root / "b" / "9.png")
  with (
    pytest.raises(errors.UserError, match="folder has changed since"),
    run_lib.open_run(config, workdir, evaluate_only=evaluate_only),
  ):
    raise AssertionError("opened")


def test_changed_surroundings_are_noted_when_training(images, tmp_path, capsys):
  config = make_config(images)
  with run_lib.open_run(config, tmp_path):
    begin(tmp_path)
  edit_record(tmp_path, lambda d: d["packages"].update(jax="0.0.1"))
  capsys.readouterr()
  with run_lib.open_run(config, tmp_path):
    pass
  notes = capsys.readouterr().err
  assert "note: packages changed" in notes
  assert "0.0.1" in notes
  assert "python changed" not in notes
  with run_lib.open_run(config, tmp_path):
    pass
  assert "note: packages" not in capsys.readouterr().err
  edit_record(tmp_path, lambda d: d["later"][0]["packages"].update(jax="0.1"))
  with run_lib.open_run(config, tmp_path, evaluate_only=True):
    pass
  assert "note: packages" in capsys.readouterr().err
  record = folder_lib.RunFolder(tmp_path).read()
  assert record["packages"]["jax"] == "0.0.1"
  assert [start["mode"] for start in record["later"]] == ["train", "eval"]
  assert record["later"][0]["packages"]["jax"] == "0.1"
  now = {"jax": importlib.metadata.version("jax")}
  assert record["later"][1]["packages"].items() >= now.items()
  assert "git_revision" not in record["later"][1]


@pytest.mark.parametrize("evaluate_only", [False, True])
@pytest.mark.parametrize(
  "change",
  [
    lambda recorded: recorded.pop("dataset"),
    lambda recorded: recorded.update(dataset={}),
    lambda recorded: recorded["dataset"].pop("fingerprint"),
    lambda recorded: recorded["dataset"].update(fingerprint=""),
    lambda recorded: recorded["dataset"].update(fingerprint="odd"),
    lambda recorded: recorded["dataset"].update(
      fingerprint=recorded["dataset"]["fingerprint"][:-1]
    ),
  ],
)
def test_record_without_a_fingerprint(images, tmp_path, change, evaluate_only):
  """The data have not changed."""
  config = make_config(images)
  with run_lib.open_run(config, tmp_path):
    begin(tmp_path)
  edit_record(tmp_path, change)
  with (
    pytest.raises(errors.UserError, match=r"config\.json: damaged \(its data"),
    run_lib.open_run(config, tmp_path, evaluate_only=evaluate_only),
  ):
    raise AssertionError("opened")


def test_a_record_that_another_program_has_written_goes_on(images, tmp_path):
  config = make_config(images)
  with run_lib.open_run(config, tmp_path):
    begin(tmp_path)
  before = folder_lib.RunFolder(tmp_path).read()

  def as_floats(recorded):
    for group in (recorded["config"], recorded["config"]["checkpoint"]):
      for name, value in group.items():
        if type(value) is int:
          group[name] = float(value)
    recorded["dataset"]["num_train_images"] *= 1.0

  edit_record(tmp_path, as_floats)
  with run_lib.open_run(config, tmp_path) as run:
    assert run is not None
  assert folder_lib.RunFolder(tmp_path).read() == before


@pytest.mark.parametrize("part", ["devices", "git_revision"])
def test_record_with_a_part_missing(images, tmp_path, capsys, part):
  """Of another version, perhaps."""
  config = make_config(images)
  with run_lib.open_run(config, tmp_path):
    begin(tmp_path)
  edit_record(tmp_path, lambda recorded: recorded.pop(part))
  with run_lib.open_run(config, tmp_path):
    pass
  assert f"note: {part} changed" in capsys.readouterr().err


@pytest.mark.parametrize(
  ("changes", "message"),
  [
    ({"batch_size": 13}, "batch_size is 13, more than the 12 training"),
    ({"degradation__scale": 5}, "scale=5 does not divide"),
    ({"parallel__num_devices": 5}, "num_devices is 5"),
    (
      {"parallel__layout": "data", "parallel__num_devices": 3},
      "batch_size is 4, which 3 devices cannot share",
    ),
  ],
)
def test_what_does_not_fit_is_refused_before_anything_is_recorded(
  images, tmp_path, changes, message
):
  with (
    pytest.raises(errors.UserError, match=message),
    run_lib.open_run(make_config(images, **changes), tmp_path),
  ):
    raise AssertionError("opened")
  assert not (tmp_path / "config.json").exists()


def test_released_srmd_is_read_before_anything_is_recorded(
  images, tmp_path, monkeypatch
):
  """Not after a training of days; a wrong basis likewise."""
  weights, basis = tmp_path / "srmd.bin", tmp_path / "basis.mat"
  config = make_config(
    images, eval__srmd__weights=str(weights), eval__srmd__pca=str(basis)
  )
  folder = tmp_path / "run"
  for missing in (weights, basis):
    with (
      pytest.raises(errors.UserError, match=str(missing)),
      run_lib.open_run(config, folder),
    ):
      raise AssertionError("opened")
    assert not (folder / "config.json").exists()
    # The weights are there from now on.
    monkeypatch.setattr(
      srmd_weights, "read", lambda path, *, scale: {"scale": scale}
    )
  one = np.ones((15, 225), np.float32)
  monkeypatch.setattr(srmd_weights, "read_basis", lambda path: one)
  with run_lib.open_run(config, folder) as run:
    assert run.released_srmd.params == {"scale": 2}
    assert run.released_srmd.basis is one


def test_compiled_programs_are_kept_in_the_cache_folder(images, tmp_path):
  jax.config.update("jax_compilation_cache_dir", None)
  with run_lib.open_run(make_config(images), tmp_path / "run"):
    assert jax.config.jax_compilation_cache_dir == str(tmp_path / "cache/xla")
    assert jax.config.jax_persistent_cache_min_compile_time_secs == 0


def fill(abstract_state, seeds):
  """A state in which every number of a member is its seed."""
  return jax.tree.map(
    lambda like: np.stack(
      [np.full(like.shape[1:], seed, like.dtype) for seed in seeds]
    ),
    abstract_state,
  )


@pytest.fixture(scope="module")
def pretrained(images, tmp_path_factory):
  """A run folder with the seeds 3 to 5 pretrained, at steps 3 and 6 of 6."""
  folder = tmp_path_factory.mktemp("runs") / "pretrained"
  run = make_run(folder, images, seed=3, num_seeds=3)
  run.folder.record(run_lib.record_of(run))
  phase = run.phase("pretrain")
  assert phase.num_steps == 6
  checkpoints = checkpoint.Checkpoints(
    run.folder.checkpoints("pretrain"), keep=2
  )
  checkpoints.save(3, fill(phase.abstract_state(), (0, 0, 0)))
  checkpoints.save(6, fill(phase.abstract_state(), (3, 4, 5)))
  checkpoints.close()
  return folder


@pytest.fixture
def source(pretrained, tmp_path):
  """A copy of it, to be changed."""
  return shutil.copytree(pretrained, tmp_path / "source")


def starting_from(source, images, **changes):
  """A run of the first pretrained seed, beside its source."""
  return make_run(
    source.parent / "run", images, init_from=str(source), seed=3, **changes
  )


def assert_origins(run, seeds):
  """The run's members start from those of these seeds."""
  state, members = run_lib.pretrained_state(run)
  origins = run.phase("joint").population.origins(members)
  for leaf in jax.tree.leaves(population.take(state, origins)):
    for member, seed in zip(leaf, seeds, strict=True):
      np.testing.assert_array_equal(member, np.full_like(member, seed))


def test_own_pretraining(images, pretrained):
  run = make_run(pretrained, images, seed=3, num_seeds=3)
  assert_origins(run, (3, 4, 5))
  state, _ = run_lib.pretrained_state(run)
  assert jax.tree.structure(state) == jax.tree.structure(
    run.phase("pretrain").abstract_state()
  )


@pytest.mark.parametrize("seeds", [(3, 4, 5), (4, 5), (5,)])
@pytest.mark.parametrize("wiring", ["parallel", "sequential"])
def test_pretraining_of_another_run_gives_the_members_by_seed(
  images, pretrained, tmp_path, seeds, wiring
):
  """Its own optimizer settings, epochs and seeds count, not this run's."""
  run = make_run(
    tmp_path,
    images,
    init_from=str(pretrained),
    seed=seeds[0],
    num_seeds=len(seeds),
    model__wiring=wiring,
    loss__l2=(0.0,),
    pretrain__num_epochs=7,
    pretrain__learning_rate__shared=0.0,
  )
  assert_origins(run, seeds)


def test_pretraining_on_more_images_is_found(images, pretrained, tmp_path):
  """`validate_init_from` lets data.max_train_images differ, as it may."""
  run = make_run(
    tmp_path,
    images,
    init_from=str(pretrained),
    seed=3,
    data__max_train_images=8,
  )
  assert_origins(run, (3,))


def test_pretraining_on_images_that_lay_elsewhere_is_found(images, source):
  edit_record(source, lambda d: d["config"]["data"].update(path="elsewhere"))
  assert_origins(starting_from(source, images), (3,))


def test_pretraining_by_an_older_version_is_found(images, source):
  """Without what was added since, and with one L2 by itself."""
  edit_record(source, lambda d: d["config"]["eval"].pop("corruptions"))
  edit_record(source, lambda d: d["dataset"].pop("image_shape"))
  edit_record(source, lambda d: d["config"]["loss"].update(l2=0.01))
  run = starting_from(source, images, loss__l2=(0.1, 0.01))
  assert_origins(run, (3, 3))


def test_pretraining_with_other_l2_is_refused(images, source):
  edit_record(source, lambda d: d["config"]["loss"].update(l2=[0.0, 0.1]))
  run = starting_from(source, images, loss__l2=(0.1, 0.01))
  with pytest.raises(errors.UserError, match=r"l2 of 0, 0.1, not of 0\.01"):
    run_lib.pretrained_state(run)


@pytest.mark.parametrize("is_moved", [False, True])
def test_pretraining_on_other_images_is_refused(images, source, is_moved):
  edit_record(source, lambda d: d["dataset"].update(fingerprint="0" * 64))
  if is_moved:
    edit_record(source, lambda d: d["config"]["data"].update(path="elsewhere"))
  run = starting_from(source, images)
  with pytest.raises(errors.UserError, match=f"{source}"):
    run_lib.pretrained_state(run)


@pytest.mark.parametrize(
  ("changes", "message"),
  [
    ({"model__trunk": "wdsr"}, 'model.trunk: "fsrcnn" -> "wdsr"'),
    ({"degradation__scale": 4}, "degradation.scale: 2 -> 4"),
    ({"seed": 2}, "has the seeds 3 to 5; this run asks for 2 to 2"),
    ({"num_seeds": 4}, "has the seeds 3 to 5; this run asks for 3 to 6"),
  ],
)
def test_pretraining_that_differs_is_refused(
  images, pretrained, tmp_path, changes, message
):
  changes = {"seed": 3, **changes}
  run = make_run(tmp_path, images, init_from=str(pretrained), **changes)
  with pytest.raises(errors.UserError, match=message):
    run_lib.pretrained_state(run)


@pytest.mark.parametrize(
  "what", ["checkpoints", "checkpoints/pretrain/last/*6"]
)
def test_pretraining_that_has_not_finished_is_refused(images, source, what):
  for path in source.glob(what):
    shutil.rmtree(path)
  run = starting_from(source, images)
  with pytest.raises(errors.UserError, match="no finished pretraining"):
    run_lib.pretrained_state(run)


@pytest.mark.parametrize(
  ("edit", "what"),
  [
    (lambda d: d["config"].update(novel=1), r"There is no config\.novel"),
    (lambda d: d.pop("dataset"), "description of the data is missing"),
    (
      lambda d: d["dataset"].pop("fingerprint"),
      "description of the data is missing",
    ),
  ],
)
def test_pretraining_whose_record_is_another_versions_is_refused(
  images, source, edit, what
):
  edit_record(source, edit)
  run = starting_from(source, images)
  with pytest.raises(errors.UserError, match=what) as caught:
    run_lib.pretrained_state(run)
  assert f"{source / 'config.json'} is damaged" in str(caught.value)
  assert str(caught.value).count("\n") == 1


def test_pretraining_whose_folder_is_gone_is_refused(images, tmp_path):
  run = make_run(tmp_path / "run", images, init_from=str(tmp_path / "gone"))
  with pytest.raises(errors.UserError, match="gone: there is no such file"):
    run_lib.pretrained_state(run)


# Orbax abandons its reads when one fails, and its event loop complains later.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_damaged_pretraining_is_refused(images, source):
  """And not replaced by the checkpoint before it: that is another state."""
  (folder,) = source.glob("checkpoints/pretrain/last/*6")
  files = [path for path in folder.rglob("*") if path.is_file()]
  largest = max(files, key=lambda path: path.stat().st_size)
  content = bytearray(largest.read_bytes())
  content[len(content) // 2] ^= 1
  largest.write_bytes(content)
  run = starting_from(source, images)
  with pytest.raises(errors.UserError, match=f"damaged checkpoint in {source}"):
    run_lib.pretrained_state(run)


def test_phase_of_a_run_knows_its_devices(images, tmp_path):
  run = make_run(tmp_path, images, num_seeds=2)
  members = dataclasses.replace(run, layout=parallel.layout("members", 2))
  assert run.phase("pretrain").network.model.axis_name == run.layout.axis_name
  assert members.phase("pretrain").network.model.axis_name is None
  assert members.phase("joint").population == population.expand(
    (0, 1), (0.01,), (9.0,)
  )
