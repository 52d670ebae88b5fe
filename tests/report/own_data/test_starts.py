"""The pretraining of an experiment, by what its folders record."""

import json

import pytest

from sr2_jax.records import rows
from sr2_jax.report.own_data import starts
from sr2_jax.report.own_data.starts import Start


def of(folder, **records):
  """Starts of one experiment a folder, with config.json where not None."""
  found = []
  for name, record in records.items():
    path = folder / name
    path.mkdir()
    if record is not None:
      (path / "config.json").write_text(json.dumps(record))
    row = rows.Row(
      experiment=name.partition("__")[0],
      method="fsrcnn",
      dataset="photos",
      split="test",
      scale=4,
      shared_layers=1,
      loss_weight=None,
      seed=0,
      phase="pretrain",
      step=1,
      noise_variance=0.0,
      metric="ssim",
      value=0.5,
      n=9,
    )
    found.append((row, path / "results.jsonl"))
  return starts.find(found)


def config(init_from="", *, fine_tune=False, **others):
  return {"config": {"init_from": init_from, "fine_tune": fine_tune}, **others}


@pytest.mark.parametrize(
  "source", ["runs/a", "/old/a/", "a/weights", "a/weights/pretrain_x/seed_0/f"]
)
def test_a_run_that_starts_from_another(tmp_path, source):
  found = of(tmp_path, a=config(), b=config(source))
  assert found["a"] == found["b"] == Start(frozenset("a"), frozenset())


@pytest.mark.parametrize("source", ["weights", "weights/seed_0", "/"])
def test_weights_in_no_folder_of_their_own(tmp_path, source):
  found = of(tmp_path, a=config(), b=config(source))
  assert found["b"].weights is None


def test_a_fine_tuned_run_has_a_pretraining_of_its_own(tmp_path):
  found = of(
    tmp_path,
    a=config("runs/digits", fine_tune=True, fine_tuned_from=["1"]),
    b=config("runs/a"),
  )
  assert found["a"] == found["b"] == Start(frozenset("a"), frozenset("1"))


def test_what_is_not_at_hand_is_unknown(tmp_path):
  found = of(tmp_path, a=None, b=config("runs/gone"))
  assert found == {"a": Start(), "b": Start(frozenset({"gone"}))}


def test_seeds_of_an_experiment_may_be_in_several_folders(tmp_path):
  found = of(tmp_path, a=config(), a__seed_3=config())
  assert found == {"a": Start(frozenset({"a", "a__seed_3"}), frozenset())}


def test_the_same_start_comes_before_one_that_may_be_the_same():
  own = Start(frozenset("a"), frozenset())
  same, alike = own, Start(frozenset("b"), frozenset())
  tuned, unknown = Start(frozenset("c"), frozenset("1")), Start()
  assert own.best([(alike, "alike"), (same, "same")]) == ("same",)
  assert own.best([(tuned, "tuned"), (alike, "alike")]) == ("alike",)
  assert own.best([(tuned, "tuned"), (unknown, "rows")]) == ("rows",)
  assert own.best([(tuned, "tuned")]) == ()
