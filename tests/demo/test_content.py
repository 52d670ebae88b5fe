"""What a page says about a network."""

import json
import re

import pytest

from sr2_jax import names
from sr2_jax.demo import content
from tests.demo import random_network


@pytest.fixture(scope="module")
def page(tmp_path_factory):
  folder = tmp_path_factory.mktemp("content")
  random_network.write(folder, seeds=(3, 1), scale=2, wiring="none")
  chosen, trained = random_network.load(folder)
  text, costs = content.page_of(chosen, trained)
  [facts] = re.findall(r'id="facts">(.*?)</script>', text)
  return text, json.loads(facts), costs, chosen


def test_the_network_is_described(page):
  text, facts, costs, chosen = page
  about = dict(facts["about"])
  assert about["Network"] == "FSRCNN x2"
  folder = chosen.title.rpartition("/")[2]
  assert about["Weights"] == f"{folder}, sha256 {chosen.digests[0]}"
  assert "mnist5k, seed 1, 5 steps" in about["Trained on"]
  assert "blur of 1 px, then a step of 2 px with anti" in about["Shrinking"]
  assert "0.1 MB" in about["This page"]
  assert "<title>FSRCNN x2: try it</title>" in text
  assert names.CAUTION in text
  assert "28×28 pixels is shrunk to 14×14" in text
  assert "what it reads" not in text
  assert costs.keys() == {"super_res"}


def test_the_scripts_know_the_data(page):
  _, facts, _, _ = page
  assert (facts["size"], facts["lowSize"]) == ([28, 28], [14, 14])
  assert facts["channels"] == 1
  assert facts["lightOnDark"]
  assert facts["noLabel"].startswith("No label: this network has no classifier")
  assert len(facts["examples"]) == 10
  assert "logits" not in facts["examples"][0]
  # Whoever opens the page needs nothing else.
  assert not re.search(r"(src|href)\s*=|@import|url\(", page[0])
