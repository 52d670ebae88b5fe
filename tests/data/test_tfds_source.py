"""TFDS data sets: prepared by TFDS's own builders, read back by ours."""

import concurrent.futures
import functools
import gzip
import hashlib
import http.server
import io
import json
import os
import re
import shutil
import socket
import struct
import subprocess
import sys
import threading
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
import scipy.io

from sr2_jax import errors
from sr2_jax.data import published, tfds_source
from tests import child

with warnings.catch_warnings():
  warnings.simplefilter("ignore")
  import tensorflow_datasets as tfds
  from tensorflow_datasets.image_classification import mnist as tfds_mnist

ROOT = Path(__file__).parents[2]
RANDOM = np.random.default_rng(0)


def _pixels(*shape):
  return RANDOM.integers(0, 256, shape, np.uint8)


# Every image is another one, so that images tell which label they need.
MNIST = {
  "train": (_pixels(23, 28, 28, 1), np.arange(23) % 10),
  "test": (_pixels(7, 28, 28, 1), 9 - np.arange(7)),
}
SVHN = {
  "train": (_pixels(12, 32, 32, 3), np.arange(12) % 10),
  "test": (_pixels(5, 32, 32, 3), np.arange(5)),
  "extra": (_pixels(9, 32, 32, 3), np.arange(9) + 1),
}


def _mnist_files():
  """The four files of yann.lecun.com/exdb/mnist, in the IDX format."""
  for split, prefix in (("train", "train"), ("test", "t10k")):
    images, labels = MNIST[split]
    header = struct.pack(">IIII", 0x803, len(images), 28, 28)
    yield (
      f"{prefix}-images-idx3-ubyte.gz",
      gzip.compress(header + images.tobytes()),
    )
    header = struct.pack(">II", 0x801, len(labels))
    yield (
      f"{prefix}-labels-idx1-ubyte.gz",
      gzip.compress(header + labels.astype(np.uint8).tobytes()),
    )


def _svhn_files():
  """The three Matlab files of SVHN, where a zero has the label 10."""
  for split, (images, labels) in SVHN.items():
    file = io.BytesIO()
    content = {
      "X": np.moveaxis(images, 0, -1),
      "y": np.where(labels == 0, 10, labels)[:, None].astype(np.uint8),
    }
    scipy.io.savemat(file, content)
    yield f"{split}_32x32.mat", file.getvalue()


MNIST_FILES = dict(_mnist_files())
SVHN_FILES = dict(_svhn_files())


class _Handler(http.server.SimpleHTTPRequestHandler):
  def log_message(self, *arguments):
    pass


@pytest.fixture(scope="module")
def server(tmp_path_factory):
  """The data sets' official servers in small: an address on this machine."""
  folder = tmp_path_factory.mktemp("server")
  for name, content in (MNIST_FILES | SVHN_FILES).items():
    (folder / name).write_bytes(content)
  handler = functools.partial(_Handler, directory=str(folder))
  with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
    thread = threading.Thread(target=running.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{running.server_port}/"
    running.shutdown()
    thread.join()


def _point_builders_to(patch, address):
  """Has TFDS's builders download from `address`, and check the sha256."""

  def infos(files):
    return {
      address + name: tfds.core.download.checksums.UrlInfo(
        size=len(content),
        checksum=hashlib.sha256(content).hexdigest(),
        filename=name,
      )
      for name, content in files.items()
    }

  patch.setenv("no_proxy", "127.0.0.1")
  patch.setattr(tfds_mnist.MNIST, "URL", address)
  patch.setattr(tfds_mnist.MNIST, "url_infos", infos(MNIST_FILES))
  patch.setattr(tfds_mnist, "_TRAIN_EXAMPLES", len(MNIST["train"][0]))
  patch.setattr(tfds_mnist, "_TEST_EXAMPLES", len(MNIST["test"][0]))
  svhn = tfds.builder_cls("svhn_cropped")
  patch.setattr(sys.modules[svhn.__module__], "URL", address)
  patch.setattr(svhn, "url_infos", infos(SVHN_FILES))


@pytest.fixture(scope="module")
def prepared(server, tmp_path_factory):
  """A data dir with both data sets, made by `prepared_copy` itself."""
  folder = tmp_path_factory.mktemp("tfds")
  with pytest.MonkeyPatch.context() as patch:
    patch.setenv("TFDS_DATA_DIR", str(folder))
    _point_builders_to(patch, server)
    for name in ("mnist", "svhn_cropped"):
      tfds_source.prepared_copy(name)
  return folder


@pytest.fixture(autouse=True)
def private_cache(tmp_path, monkeypatch):
  monkeypatch.setenv("SR2_JAX_CACHE_DIR", str(tmp_path / "cache"))


@pytest.fixture
def no_internet(monkeypatch):
  """Sends every download to a port where nobody listens."""
  with socket.socket() as unused:
    unused.bind(("127.0.0.1", 0))
    proxy = f"http://127.0.0.1:{unused.getsockname()[1]}"
    for variable in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
      monkeypatch.setenv(variable, proxy)
    for variable in ("no_proxy", "NO_PROXY"):
      monkeypatch.delenv(variable, raising=False)
    yield


@pytest.fixture
def mnist_copy(prepared, tmp_path, monkeypatch):
  """The folder of a prepared MNIST that a test may spoil."""
  folder = tmp_path / "tfds"
  shutil.copytree(prepared / "mnist", folder / "mnist")
  monkeypatch.setenv("TFDS_DATA_DIR", str(folder))
  return folder / "mnist" / "3.0.1"


def _edit_info(folder, **fields):
  path = folder / "dataset_info.json"
  path.write_text(json.dumps(json.loads(path.read_text()) | fields))


@pytest.mark.parametrize(
  ("name", "splits"), [("mnist", MNIST), ("svhn_cropped", SVHN)]
)
def test_prepared_pixels_and_labels_come_back(
  prepared, monkeypatch, name, splits
):
  monkeypatch.setenv("TFDS_DATA_DIR", str(prepared))
  copy = tfds_source.prepared_copy(name)
  assert copy.num_images == {k: len(v[0]) for k, v in splits.items()}
  for split, (images, labels) in splits.items():
    found_images, found_labels = tfds_source.read(copy, split)
    assert found_images.dtype == np.uint8
    assert found_labels.dtype == np.int32
    assert found_images.shape == images.shape
    # TFDS shuffled them; every image has to be there with its own label.
    label_of = {
      image.tobytes(): label
      for image, label in zip(images, labels, strict=True)
    }
    found = {
      image.tobytes(): label
      for image, label in zip(found_images, found_labels, strict=True)
    }
    assert found == label_of


def test_preparing_downloads_once_and_leaves_no_rest(prepared, no_internet):
  for name, version in (("mnist", "3.0.1"), ("svhn_cropped", "3.1.0")):
    assert [entry.name for entry in (prepared / name).iterdir()] == [version]


def test_order_is_that_of_tfds(prepared, monkeypatch):
  monkeypatch.setenv("TFDS_DATA_DIR", str(prepared))
  images, labels = tfds_source.read(
    tfds_source.prepared_copy("svhn_cropped"), "train", num_images=8
  )
  reference = tfds.data_source(
    "svhn_cropped", split="train[:8]", data_dir=prepared, download=False
  )
  np.testing.assert_array_equal(
    images, np.stack([record["image"] for record in reference])
  )
  assert labels.tolist() == [record["label"] for record in reference]


def test_fewer_images_than_asked_for_are_all(prepared, monkeypatch):
  monkeypatch.setenv("TFDS_DATA_DIR", str(prepared))
  copy = tfds_source.prepared_copy("svhn_cropped")
  images, _ = tfds_source.read(copy, "extra", num_images=1000)
  assert len(images) == 9


def test_second_read_comes_from_the_cache(prepared, monkeypatch, capsys):
  monkeypatch.setenv("TFDS_DATA_DIR", str(prepared))
  copy = tfds_source.prepared_copy("mnist")
  first = tfds_source.read(copy, "test")
  assert capsys.readouterr().err == "decoding mnist/test: 7 images ...\n"
  second = tfds_source.read(copy, "test")
  assert capsys.readouterr().err == ""
  np.testing.assert_array_equal(first[0], second[0])
  np.testing.assert_array_equal(first[1], second[1])
  fewer = tfds_source.read(copy, "test", num_images=3)
  np.testing.assert_array_equal(fewer[0], first[0][:3])


def test_another_copy_is_decoded_again(prepared, mnist_copy, capsys):
  copy = tfds_source.prepared_copy("mnist")
  tfds_source.read(copy, "test")
  record = next(mnist_copy.glob("mnist-test.array_record*"))
  os.utime(record, ns=(0, 0))
  tfds_source.read(copy, "test")
  assert capsys.readouterr().err.count("decoding mnist/test") == 2


def test_reading_is_quiet_and_without_tensorflow(mnist_copy, no_internet):
  # Under absl's app, as in main.py, TFDS's info messages would be shown.
  program = """
import sys
from absl import app
from sr2_jax.data import tfds_source
def main(_):
  copy = tfds_source.prepared_copy("mnist")
  assert "tensorflow_datasets" not in sys.modules
  tfds_source.read(copy, "train")
  assert "tensorflow" not in sys.modules
  assert "jax" not in sys.modules
app.run(main)
"""
  done = subprocess.run(
    [sys.executable, "-W", "default", "-c", program],
    cwd=Path(__file__).parents[2],
    env=os.environ | {"PYTHONPATH": ""},
    capture_output=True,
    text=True,
    check=False,
    timeout=120,
  )
  assert done.returncode == 0, done.stderr
  assert done.stdout == ""
  assert done.stderr == "decoding mnist/train: 23 images ...\n"


@pytest.mark.parametrize("name", ["mnist", "svhn_cropped"])
def test_no_data_and_no_internet(tmp_path, monkeypatch, no_internet, name):
  folder = tmp_path / "tfds"
  monkeypatch.setenv("TFDS_DATA_DIR", str(folder))
  started = time.monotonic()
  with pytest.raises(errors.UserError) as caught:
    tfds_source.prepared_copy(name)
  assert time.monotonic() - started < 30
  assert not folder.exists()
  message = str(caught.value)
  assert len(message.splitlines()) == 2
  for part in (
    name,
    str(folder),
    "TFDS_DATA_DIR",
    "--config.data.name=mnist5k",
  ):
    assert part in message


def test_failed_preparation_does_not_break_the_next(
  server, tmp_path, monkeypatch
):
  monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
  _point_builders_to(monkeypatch, server)
  with monkeypatch.context() as patch:

    def fail(builder, *arguments, **options):
      yield 0, {"image": MNIST["train"][0][0], "label": 0}
      raise OSError(28, "No space left on device")

    patch.setattr(tfds_mnist.MNIST, "_generate_examples", fail)
    with pytest.raises(errors.UserError, match="No space left on device"):
      tfds_source.prepared_copy("mnist")
  # What a preparation leaves that was killed.
  (tmp_path / "mnist" / "incomplete.ABC_3.0.1").mkdir(parents=True)

  assert tfds_source.prepared_copy("mnist").num_images["train"] == 23


def test_one_of_many_prepares_and_the_others_wait(
  prepared, tmp_path, monkeypatch
):
  monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "shared"))
  # `capsys.readouterr` loses what other threads write while it empties itself.
  said = io.StringIO()
  monkeypatch.setattr(sys, "stderr", said)
  calls = []

  def prepare(name, data_dir):
    calls.append(name)
    deadline = time.monotonic() + 30
    while (
      said.getvalue().count("waiting for another process that prepares mnist")
      < 2
    ):
      assert time.monotonic() < deadline
      time.sleep(0.01)
    shutil.copytree(prepared / name, data_dir / name)

  monkeypatch.setattr(tfds_source, "_prepare", prepare)
  with concurrent.futures.ThreadPoolExecutor(3) as pool:
    found = list(pool.map(tfds_source.prepared_copy, ["mnist"] * 3))
  assert calls == ["mnist"]
  assert found == [found[0]] * 3


def test_download_with_wrong_content_is_an_error(server, tmp_path, monkeypatch):
  monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
  _point_builders_to(monkeypatch, server)
  spoiled = {
    url: tfds.core.download.checksums.UrlInfo(info.size, "0" * 64, None)
    for url, info in tfds_mnist.MNIST.url_infos.items()
  }
  monkeypatch.setattr(tfds_mnist.MNIST, "url_infos", spoiled)
  with pytest.raises(errors.UserError, match="Checksum") as caught:
    tfds_source.prepared_copy("mnist")
  assert len(str(caught.value).splitlines()) == 2


def test_is_prepared_tells_without_preparing(mnist_copy):
  assert tfds_source.is_prepared("mnist")
  assert not tfds_source.is_prepared("svhn_cropped")


def test_newest_version_is_read(mnist_copy):
  shutil.copytree(mnist_copy, mnist_copy.parent / "3.0.10")
  shutil.copytree(mnist_copy, mnist_copy.parent / "3.0.9")
  shutil.copytree(mnist_copy, mnist_copy.parent / "4.0.0.incomplete")
  (mnist_copy.parent / "9.9.9").mkdir()
  assert tfds_source.prepared_copy("mnist").folder.name == "3.0.10"


def test_notes_name_what_differs_from_the_official_data(mnist_copy):
  copy = tfds_source.prepared_copy("mnist")
  assert copy.notes() == (
    "mnist/train: 23 of the official 60,000 images",
    "mnist/test: 7 of the official 10,000 images",
  )
  official = copy._replace(num_images={"train": 60_000, "test": 10_000})
  assert official.notes() == ()


@pytest.mark.parametrize(
  "damage", ["flipped bit", "truncated", "missing", "features"]
)
def test_damaged_copy(mnist_copy, damage):
  record = next(mnist_copy.glob("mnist-train.array_record*"))
  content = bytearray(record.read_bytes())
  if damage == "flipped bit":
    # The images begin right after the headers of the file.
    content[500] ^= 1
    record.write_bytes(content)
  elif damage == "truncated":
    record.write_bytes(content[:1000])
  elif damage == "missing":
    record.unlink()
  else:
    (mnist_copy / "features.json").write_text("{")
  copy = tfds_source.prepared_copy("mnist")
  with pytest.raises(errors.UserError, match="cannot read train") as caught:
    tfds_source.read(copy, "train")
  assert str(mnist_copy) in str(caught.value)
  assert len(str(caught.value).splitlines()) == 2


@pytest.mark.parametrize("content", ["{", "[]", '{"fileFormat": "x"}', "\0"])
def test_damaged_dataset_info(mnist_copy, content):
  (mnist_copy / "dataset_info.json").write_text(content)
  with pytest.raises(errors.UserError, match=r"dataset_info\.json cannot be"):
    tfds_source.prepared_copy("mnist")


def test_other_image_size(mnist_copy, monkeypatch):
  monkeypatch.setitem(
    published.PUBLISHED,
    "mnist",
    published.Published((32, 32, 3), {"train": 23, "test": 7}),
  )
  with pytest.raises(errors.UserError, match="cannot reshape"):
    tfds_source.read(tfds_source.prepared_copy("mnist"), "test")


def test_other_format(mnist_copy):
  _edit_info(mnist_copy, fileFormat="tfrecord")
  with pytest.raises(errors.UserError, match="prepared as tfrecord"):
    tfds_source.prepared_copy("mnist")
  _edit_info(mnist_copy, alternativeFileFormats=["array_record"])
  copy = tfds_source.prepared_copy("mnist")
  assert copy.num_images == {"train": 23, "test": 7}


def test_missing_split(mnist_copy):
  _edit_info(mnist_copy, splits=[{"name": "train", "shardLengths": ["23"]}])
  with pytest.raises(errors.UserError, match=r"no split \['test'\]"):
    tfds_source.prepared_copy("mnist")


def test_a_missing_package_is_no_damage(mnist_copy, monkeypatch):
  """TFDS imports some packages late, and raises an error of its own."""

  def fail(*arguments, **options):
    try:
      raise ModuleNotFoundError("No module named 'toml'", name="toml")
    except ImportError as error:
      raise RuntimeError("failed importing") from error

  monkeypatch.setattr(tfds, "builder_from_directory", fail)
  copy = tfds_source.prepared_copy("mnist")
  with pytest.raises(errors.UserError) as caught:
    tfds_source.read(copy, "train")
  first, second = str(caught.value).splitlines()
  assert "needs the package toml" in first
  assert second.startswith("Install it")


def test_tfds_without_a_package_it_imports_at_once(mnist_copy):
  """It is an empty module then, and has logged why with a traceback."""
  program = (
    "import sys; sys.modules['toml'] = None\n"
    "from sr2_jax import errors\n"
    "from sr2_jax.data import tfds_source\n"
    "try: tfds_source.read(tfds_source.prepared_copy('mnist'), 'train')\n"
    "except errors.UserError as error: print(error)\n"
  )
  done = child.played(program)
  assert "needs the package toml" in done.stdout
  assert "Traceback" not in done.stderr


def test_no_message_advises_to_delete(mnist_copy):
  for damage in ({"splits": 5}, {"splits": []}, {"fileFormat": "riegeli"}):
    _edit_info(mnist_copy, **damage)
    with pytest.raises(errors.UserError) as caught:
      tfds_source.prepared_copy("mnist")
    assert not re.search("delete|remove", str(caught.value), re.IGNORECASE)


def test_remote_data_dir(monkeypatch):
  monkeypatch.setenv("TFDS_DATA_DIR", "gs://bucket/tfds")
  with pytest.raises(errors.UserError, match="path on this machine"):
    tfds_source.prepared_copy("mnist")


# Canonical counts of the labels 0...9 in the official files.
@pytest.mark.parametrize(
  ("name", "split", "num_images", "label_counts"),
  [
    (
      "mnist",
      "test",
      10_000,
      [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009],
    ),
    ("svhn_cropped", "train", 73_257, None),
  ],
)
def test_real_copy(name, split, num_images, label_counts):
  data_dir = os.environ.get("TFDS_DATA_DIR")
  if not data_dir or not (Path(data_dir) / name).is_dir():
    pytest.skip(f"TFDS_DATA_DIR has no prepared {name}")
  copy = tfds_source.prepared_copy(name)
  assert copy.num_images[split] == num_images
  if label_counts is None:
    images, labels = tfds_source.read(copy, split, num_images=1000)
    assert set(labels) == set(range(10))
    # Street scenes: neither black nor white on average, in any channel.
    means = images.mean(axis=(0, 1, 2))
    assert means.min() > 80
    assert means.max() < 160
  else:
    images, labels = tfds_source.read(copy, split)
    assert np.bincount(labels).tolist() == label_counts
    assert images.shape == (num_images, 28, 28, 1)
