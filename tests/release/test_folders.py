"""Folders and lists of released weights agree, or what does not is named."""

import hashlib
import json
import os
import re

import pytest

from sr2_jax import errors
from sr2_jax.records import released
from sr2_jax.release import folders
from tests.release import test_card

MODELS = {"seed_0/model.safetensors": b"one", "seed_1/model.safetensors": b"22"}
ABOUT = test_card.about(seeds=[0, 1])
ROWS = test_card.rows(control=True)


@pytest.fixture
def folder(tmp_path):
  folders.write(tmp_path / "mine", folders.contents(ABOUT, ROWS, MODELS))
  folders.add_to_lists(
    tmp_path, ABOUT, ROWS, MODELS, address="https://example.org"
  )
  return tmp_path


def test_the_cards_and_tables_of_the_package_are_up_to_date():
  """`python -m sr2_jax.release --cards --out=sr2_jax/released` makes them."""
  assert folders.check(released.FOLDER) == []


def test_the_page_of_the_docs_has_what_there_is():
  page = (released.FOLDER.parents[1] / "docs/weights.md").read_text()
  listed = re.findall(r"^\| `(\w+)` \| [^|]* \| [^|]* \| ", page, re.M)
  table = folders.read_table(released.FOLDER)
  for line in table:
    size = f"{int(line['bytes']) / 1e6:.2f}"
    ssim = f"{float(line['ssim_uniform7_range2 at 0.0001']):.3f}"
    accuracy = line["accuracy at 0.0001"]
    accuracy = f"{float(accuracy):.3f}" if accuracy else "–"
    numbers = rf"{size} \| {ssim} \| {accuracy}"
    pattern = rf"^\| `{line['name']}` \| .* \| {numbers} \|$"
    assert re.search(pattern, page, re.MULTILINE), line["name"]
  assert len(listed) == len(table)


def test_sums_are_those_of_sha256sum(folder):
  lines = (folder / "mine/SHA256SUMS").read_text().splitlines()
  listed = {line[66:]: line[:64] for line in lines}
  assert listed.keys() == {"README.md", "config.json", "metrics.json", *MODELS}
  for path, digest in listed.items():
    data = (folder / "mine" / path).read_bytes()
    assert hashlib.sha256(data).hexdigest() == digest


def test_what_was_written_is_read_back(folder):
  assert folders.read_metrics(folder / "mine/metrics.json") == ROWS
  assert json.loads((folder / "mine/config.json").read_text()) == ABOUT
  entry = released.index(folder)["mine"]
  assert entry.address == "https://example.org"
  assert entry.models == {
    path: released.File(hashlib.sha256(data).hexdigest(), len(data))
    for path, data in MODELS.items()
  }


def test_the_table_has_means_over_the_seeds(folder):
  [line] = folders.read_table(folder)
  assert line["bytes"] == "5"
  assert line["seeds"] == "0 1"
  assert line["ssim at 0"] == "0.7004"
  assert line["ssim at 0.01"] == ""


def test_a_second_network_joins_the_lists(folder):
  about = {**ABOUT, "name": "another"}
  folders.add_to_lists(folder, about, ROWS, MODELS, address=None)
  assert list(released.index(folder)) == ["another", "mine"]
  assert [line["name"] for line in folders.read_table(folder)] == [
    "another", "mine",
  ]  # fmt: skip
  # Its files are somewhere else: there is nothing to check.
  assert folders.check(folder) == []


@pytest.mark.parametrize(
  ("path", "problem"),
  [
    ("mine/README.md", "README.md is not what the other files say"),
    ("mine/SHA256SUMS", "SHA256SUMS is not what the other files say"),
    ("mine/seed_1/model.safetensors", "are not those of weights.json"),
    ("mine/config.json", "damaged"),
    ("mine/metrics.json", "damaged"),
    ("weights.csv", "weights.csv is not what the other files say"),
  ],
)
def test_a_changed_file_is_named(folder, path, problem):
  assert folders.check(folder) == []
  data = bytearray((folder / path).read_bytes())
  data[-2] ^= 1
  (folder / path).write_bytes(data)
  assert any(problem in text for text in folders.check(folder))


def test_a_missing_file_or_list_is_named(folder):
  (folder / "mine/config.json").unlink()
  [problem] = folders.check(folder)
  assert "config.json" in problem
  (folder / "weights.json").unlink()
  released.index.cache_clear()
  with pytest.raises(errors.UserError, match=r"there is no weights\.json"):
    folders.check(folder)


def test_cards_are_made_again_but_only_for_the_same_weights(folder):
  card = folder / "mine/README.md"
  text = card.read_text()
  card.write_text("")
  (folder / "weights.csv").unlink()
  folders.rewrite(folder)
  assert card.read_text() == text
  assert folders.check(folder) == []
  (folder / "mine/seed_0/model.safetensors").write_bytes(b"two")
  with pytest.raises(errors.UserError, match=r"not those of weights\.json"):
    folders.rewrite(folder)


@pytest.mark.parametrize("name", ["mine/config.json", "mine/metrics.json"])
@pytest.mark.parametrize(
  "text", ["", "3", "[]", "null", "[" * 9999, '{"config": 3}', '{"rows": [3]}']
)
def test_a_file_of_another_kind_is_named(folder, name, text):
  (folder / name).write_text(text)
  [problem, *_] = folders.check(folder)
  assert "damaged" in problem
  with pytest.raises(errors.UserError, match=r"damaged") as caught:
    folders.rewrite(folder)
  assert str(caught.value).startswith(str(folder / name))


@pytest.mark.parametrize("name", ["weights.csv", "mine/config.json"])
def test_a_pipe_is_not_waited_for(folder, name):
  (folder / name).unlink()
  os.mkfifo(folder / name)
  with pytest.raises(errors.UserError, match="it is a FIFO, not a file"):
    folders.rewrite(folder)
