"""The vocabulary is consistent, and matches what the code computes."""

import dataclasses
import itertools

import pytest

from sr2_jax import names
from sr2_jax.imaging import corruptions, metrics
from sr2_jax.models import sr2

TABLES = (
  names.TRUNKS,
  names.WIRINGS,
  names.METHODS,
  names.METRICS,
  names.CORRUPTIONS,
)


@pytest.mark.parametrize("table", TABLES)
def test_keys_match_the_entries_and_titles_differ(table):
  assert all(key == entry.key for key, entry in table.items())
  titles = [entry.title for entry in table.values()]
  assert all(titles)
  assert len(set(titles)) == len(titles)


def test_trunks_are_networks():
  assert names.TRUNKS.keys() == sr2.TRUNKS.keys()


def test_metrics_are_computed():
  of_images = {*metrics.IMAGE_METRICS, "loss_sr"}
  of_classifiers = {"accuracy", "balanced_accuracy", "f1", "loss_classifier"}
  assert names.METRICS.keys() == of_images | of_classifiers


def test_corruptions_are_computed():
  assert {*corruptions.RANDOM, "jpeg", "blur"} == names.CORRUPTIONS.keys()


@pytest.mark.parametrize(
  ("key", "title", "family"),
  [
    ("bicubic", "Bicubic", "bicubic"),
    ("srmd", "SRMD (released)", "other"),
    ("srmd_retrained", "SRMD retrained", "other"),
    ("fsrcnn", "FSRCNN", "trunk"),
    ("sr_continued_wdsr", "WDSR control", "sr_continued"),
    ("sequential_fsrcnn", "Sequential FSRCNN", "sequential"),
    ("sr2_wdsr", "SR² WDSR", "sr2"),
    ("sr2_espcn", "sr2_espcn", "other"),
    ("mine", "mine", "other"),
  ],
)
def test_method(key, title, family):
  method = names.method(key)
  assert (method.key, method.title, method.family) == (key, title, family)


def test_every_trained_network_is_a_method():
  for trunk, wiring in itertools.product(names.TRUNKS, names.WIRINGS):
    method = names.method_after("pretrain", trunk=trunk, wiring=wiring)
    assert method.trunk == trunk
    if names.TRUNKS[trunk].classifies:
      method = names.method_after("joint", trunk=trunk, wiring=wiring)
      assert method.trunk == trunk
      assert method.family == names.WIRINGS[wiring].family


def test_only_baselines_are_untrained():
  assert names.UNTRAINED == ("bicubic", "srmd")
  assert all(names.METHODS[key].is_trained for key in ("fsrcnn", "sr2_wdsr"))


def test_families_are_those_of_the_methods():
  assert {m.family for m in names.METHODS.values()} == set(names.FAMILIES)


def test_entries_cannot_be_changed():
  with pytest.raises(dataclasses.FrozenInstanceError):
    names.METHODS["fsrcnn"].title = "other"  # pyright: ignore
