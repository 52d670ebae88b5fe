"""A card says what the files of its folder say, and no more."""

import json
import re

import numpy as np
import pytest
import yaml

from sr2_jax import names
from sr2_jax.records import released
from sr2_jax.release import card
from tests import result_rows, tiny_predictor

FILES = {"model.safetensors": released.File("0ab1" * 16, 12_345)}


def about(**changes):
  origin = tiny_predictor.origin(data=changes.pop("data", "mnist"))
  return {
    "name": "mine", "title": "SR² FSRCNN x2", "method": "sr2_fsrcnn",
    "phase": "joint", "scale": 2, "image_shape": [28, 28, 1],
    "class_names": ["zero", "one"], "seeds": [0], "l2": 0.01,
    "loss_weight": 9.0, "dtype": "float16", "step": 600, "epochs": 10.0,
    "pretrain_epochs": 30, "batch_norm": "reestimated",
    "num_train_images": 48_000, "config": json.loads(json.dumps(origin.config)),
    "trained_with": {
      "revision": "cafe", "python": "3.11", "packages": {"jax": "0.10.2"},
      "devices": {"kind": "cpu", "count": 1, "cpu_cores": 2}, "seeds": 3,
      "hours": {"joint": 1.5},
    },
    **changes,
  }  # fmt: skip


def rows(seeds=(0, 1, 2), control=False):
  def of(method, value, seeds):
    return [
      result_rows.row(method, metric=metric, seed=seed, value=value + seed / 50)
      for metric in ("ssim", "accuracy")
      for seed in seeds
    ]

  return {
    "rows": of("sr2_fsrcnn", 0.7004, (0,)),
    "float32": of("sr2_fsrcnn", 0.7, seeds),
    "control": of("sr_continued_fsrcnn", 0.6, seeds) if control else [],
    "bicubic": [result_rows.row("bicubic", value=0.3)],
  }


def line(text, title, metric="ssim"):
  """The cells of a line of a metric's table."""
  table = text.partition(f"| {names.METRICS[metric].title}")[2]
  return re.search(rf"^\| {title} \| (.*) \|$", table, re.MULTILINE)[1]


def test_numbers_have_intervals_and_the_control_beside_them():
  text = card.text(about(), rows(control=True), FILES)
  assert line(text, "these files") == "0.700"
  # Student's quantile of 2 degrees of freedom, written out.
  half = 4.302652729911275 * np.std([0, 0.02, 0.04], ddof=1) / np.sqrt(3)
  assert line(text, "the run") == f"0.720 ± {half:.3f}"
  assert line(text, "control") == f"0.620 ± {half:.3f}"
  assert line(text, "bicubic") == "0.300"
  assert line(text, "the run", "accuracy") == f"0.720 ± {half:.3f}"
  assert "not known from this table" not in text


def test_what_there_is_not_is_said():
  text = card.text(about(), rows(seeds=(0, 1)), FILES)
  assert line(text, "the run") == "0.710"
  assert "with fewer than 3 seeds there is none" in text
  assert line(text, "control") == "—"
  assert "what the classifier changes is not known from this table" in text
  alone = card.text(about(phase="pretrain", class_names=[]), rows(), FILES)
  assert "control" not in alone
  assert "classes" not in alone


def test_it_says_what_it_is_and_is_not():
  text = card.text(about(), rows(), FILES)
  assert text.count(names.CAUTION) == 1
  for part in (
    "MNIST", "from 14×14 to 28×28", "white on black", "deviation of 1 px",
    "no evidence",
    "10 epochs (600 steps) after 30", "λ = 9", "1.5 h on 1 device", "cafe",
    "CC BY-SA 3.0", "0ab1" * 16, "12,345 bytes", "schirrmacher2020sr2",
    "--weights=mine", "float16",
  ):  # fmt: skip
    assert part in text, part


def test_weights_that_are_not_the_last_say_so():
  text = card.text(about(), rows(), FILES)
  assert "lowest validation loss" not in text
  best = {**about(), "checkpoint": "best"}
  epochs = best["config"]["joint"]["num_epochs"]
  text = card.text(best, rows(), FILES)
  assert (
    "These weights had the lowest validation loss of the run, which went on to "
    f"{epochs} epochs."
  ) in text


@pytest.mark.parametrize(
  ("data", "license_", "part"),
  [
    ("mnist", "mit", "MNIST is by Yann LeCun"),
    ("svhn_cropped", "other", "non-commercial use only"),
    ("folder", "other", "terms of the images are not known"),
  ],
)
def test_hubs_read_the_head(data, license_, part):
  text = card.text(about(data=data), rows(), FILES)
  head = yaml.safe_load(text.split("---\n")[1])
  assert head["license"] == license_
  assert part in text
  [index] = head["model-index"]
  assert index["name"] == "mine"
  values = {m["type"]: m["value"] for m in index["results"][0]["metrics"]}
  assert values == {"ssim": 0.7004, "accuracy": 0.7004}


def test_weights_that_were_fine_tuned_say_so():
  assert "It began with" not in card.text(about(), rows(), FILES)
  tuned = about(data="folder")
  tuned["config"] |= {"fine_tune": True, "init_from": "sr2_fsrcnn_x4_svhn"}
  text = card.text(tuned, rows(), FILES)
  assert "It began with the weights sr2_fsrcnn_x4_svhn, which were" in text


def test_images_that_came_in_pairs_were_not_blurred():
  made = about(data="folder")
  made["config"]["data"]["low_res_path"] = "small"
  text = card.text(made, rows(), FILES)
  assert "there is no `--degrade`" in text
  assert "Gaussian blur" not in text
