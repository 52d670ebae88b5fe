"""Released weights are found by name, and only as they were released."""

import json
import pathlib
import socket

import pytest
from PIL import Image

from sr2_jax import errors
from sr2_jax.records import released
from tests import tiny_released


def test_what_comes_with_the_package_is_as_it_was_released():
  entries = released.of_package()
  assert "fsrcnn_x4_mnist" in entries
  for entry in entries.values():
    for path in released.find(entry):
      assert path.is_relative_to(released.FOLDER)
  size = sum(
    path.stat().st_size
    for path in pathlib.Path(released.FOLDER).rglob("*")
    if path.is_file()
  )
  assert size < 12_000_000


def test_the_examples_are_low_resolution_digits():
  paths = sorted(released.EXAMPLES.iterdir())
  assert [path.name for path in paths] == [
    f"digit_{label}.png" for label in (2, 3, 5, 8)
  ]
  for path in paths:
    with Image.open(path) as image:
      assert (image.size, image.mode) == ((7, 7), "L")


@pytest.fixture
def package(tmp_path, monkeypatch):
  """A package with the network "mine", and an empty cache."""
  folder = tmp_path / "package"
  monkeypatch.setattr(released, "FOLDER", folder)
  monkeypatch.setenv("SR2_JAX_CACHE_DIR", str(tmp_path / "cache"))
  tiny_released.write(folder, "mine")
  return folder


def find(name="mine"):
  return released.find(released.of_package()[name])


def refusal(name="mine"):
  with pytest.raises(errors.UserError) as caught:
    find(name)
  assert len(str(caught.value).splitlines()) <= 2
  return str(caught.value)


def test_files_are_in_the_package_or_else_in_the_cache(package, tmp_path):
  assert find() == [package / "mine/model.safetensors"]
  cached = tmp_path / "cache/weights/mine"
  cached.parent.mkdir(parents=True)
  (package / "mine").rename(cached)
  assert find() == [cached / "model.safetensors"]


@pytest.mark.parametrize("address", [None, "https://example.org/mine"])
def test_missing_files_are_named_and_nothing_is_fetched(
  package, tmp_path, monkeypatch, address
):
  folder = tiny_released.write(package, seeds=(0, 1), address=address)
  (folder / "seed_1/model.safetensors").unlink()
  entry = json.loads((package / released.INDEX).read_text())["mine"]
  file = entry["files"]["seed_1/model.safetensors"]

  def no_network(*arguments, **options):
    pytest.fail("something asked for the network")

  monkeypatch.setattr(socket, "socket", no_network)
  text = refusal()
  for part in (
    "--weights=mine",
    "Put seed_0/model.safetensors",
    f"{file['bytes']:,} bytes",
    entry["files"]["seed_0/model.safetensors"]["sha256"],
    str(tmp_path / "cache/weights/mine"),
    address or "there is no address for it yet",
  ):
    assert part in text


def test_another_file_of_that_name_is_refused(package):
  path = package / "mine/model.safetensors"
  data = bytearray(path.read_bytes())
  data[-1] ^= 1
  path.write_bytes(data)
  assert f"{path}: damaged, or another file" in refusal()
  # It does not matter what the list beside it says.
  (package / "mine/SHA256SUMS").unlink()
  assert f"{path}: damaged, or another file" in refusal()


@pytest.mark.parametrize("part", ["mine", "mine/model.safetensors"])
def test_links_are_refused(package, tmp_path, part):
  real = tmp_path / "elsewhere"
  (package / part).rename(real)
  (package / part).symlink_to(real)
  assert f"{package / part}: is a link" in refusal()


@pytest.mark.parametrize(
  ("name", "file"),
  [
    ("mine", "../model.safetensors"),
    ("..", "model.safetensors"),
    ("mine", "/model.safetensors"),
    ("mine", "a//model.safetensors"),
    ("mine/other", "model.safetensors"),
    ("mine", ".hidden/model.safetensors"),
    ("mine", "a\\model.safetensors"),
    ("mine", "model.safetensors\n"),
  ],
)
def test_names_that_lead_elsewhere_are_refused(package, name, file):
  entry = {"address": None, "files": {file: {"sha256": "", "bytes": 1}}}
  (package / released.INDEX).write_text(json.dumps({name: entry}))
  released.index.cache_clear()
  with pytest.raises(errors.UserError, match="could lead out of its folder"):
    released.of_package()


@pytest.mark.parametrize(
  "text",
  [
    "",
    "[]",
    "[1]",
    "[" * 9999,
    '{"a": null}',
    '{"a": {}}',
    '{"a": {"files": {"b": 1}, "address": null}}',
    *(
      f'{{"a": {{"files": {{"b": {x}}}, "address": null}}}}'
      for x in (
        '{"sha256": "0", "bytes": -1}',
        '{"sha256": "0", "bytes": 1.5}',
        '{"sha256": "0", "bytes": "1"}',
        '{"sha256": 0, "bytes": 1}',
      )
    ),
  ],
)
def test_a_damaged_list_is_named(package, text):
  (package / released.INDEX).write_text(text)
  released.index.cache_clear()
  with pytest.raises(errors.UserError, match=r"weights\.json: damaged"):
    released.of_package()


def test_without_a_list_there_are_none(package):
  (package / released.INDEX).unlink()
  released.index.cache_clear()
  assert released.of_package() == {}


def test_what_was_released_is_known_by_its_content(package):
  [path] = find()
  [file] = released.of_package()["mine"].models.values()
  assert released.is_known(file.sha256)
  assert not released.is_known("0" * 64)
  assert path.stat().st_size == file.num_bytes
