import dataclasses

import pytest

from sr2_jax.report.paper import subjects
from tests import result_rows

SUBJECT = subjects.Subject("sr2_fsrcnn", "mnist5k", 4, 1, 9.0)


def test_a_subject_matches_its_rows():
  assert SUBJECT.matches(result_rows.row())
  assert SUBJECT.matches(result_rows.row(loss_weight=9.0 + 1e-6))
  assert SUBJECT.matches(result_rows.row(l2=0.1, seed=5, metric="f1"))
  any_number = dataclasses.replace(SUBJECT, shared_layers=None)
  assert any_number.matches(result_rows.row(shared_layers=4))


@pytest.mark.parametrize(
  "change",
  [
    {"method": "sr2_wdsr"},
    {"dataset": "mnist"},
    {"scale": 2},
    {"shared_layers": 4},
    {"loss_weight": 0.11},
    {"loss_weight": None},
  ],
)
def test_a_subject_matches_no_other_rows(change):
  assert not SUBJECT.matches(result_rows.row(**change))


def test_a_subject_in_words():
  assert str(SUBJECT) == ("`sr2_fsrcnn` on mnist5k x4, shared layers 1, λ = 9")
  assert str(subjects.Subject("srmd", "mnist", 2)) == "`srmd` on mnist x2"
