import pytest

from sr2_jax import names
from sr2_jax.report.paper import values as paper_values


def test_table1_has_every_method_of_the_paper_at_both_scales():
  methods = {method for method, _ in paper_values.TABLE1}
  assert methods == {"srmd", "fsrcnn", "wdsr", "sr2_fsrcnn", "sr2_wdsr"}
  assert len(paper_values.TABLE1) == 10
  assert methods <= names.METHODS.keys()
  # The best of each column, which the paper sets in bold.
  for scale, best in ((2, "sr2_wdsr"), (4, "sr2_fsrcnn")):
    column = {m: v for (m, s), v in paper_values.TABLE1.items() if s == scale}
    assert max(column, key=lambda method: column[method]) == best


def test_every_noise_level_of_the_paper_is_one_of_ours():
  assert {
    paper_values.TABLE1_NOISE,
    paper_values.STRONG_NOISE,
    paper_values.FIGURE7_NOISE,
    paper_values.LOW_NOISE,
  } <= set(paper_values.LEVELS)


@pytest.mark.parametrize(
  ("method", "shared_layers", "loss_weight"),
  [
    ("bicubic", None, None),
    ("srmd", None, None),
    ("srmd_retrained", None, None),
    ("wdsr", 1, None),
    ("sr_continued_wdsr", 1, 0.0),
    ("sequential_fsrcnn", 1, 0.11),
    ("sr2_wdsr", 1, 9.0),
  ],
)
def test_subjects_are_as_the_paper_trains_them(
  method, shared_layers, loss_weight
):
  subject = paper_values.subject(method, 2)
  assert (subject.shared_layers, subject.loss_weight) == (
    shared_layers,
    loss_weight,
  )


@pytest.mark.parametrize(
  ("method", "settings", "expected"),
  [
    ("srmd", {}, "SRMD (released)"),
    ("sr_continued_fsrcnn", {}, "FSRCNN control"),
    ("sequential_wdsr", {}, "Sequential WDSR"),
    ("sr2_fsrcnn", {}, "SR² FSRCNN"),
    ("sr2_fsrcnn", {"loss_weight": 0.11}, "SR² FSRCNN, λ = 0.11"),
    ("sr2_wdsr", {"dataset": "svhn_cropped"}, "SR² WDSR, 1 shared layer"),
    ("sr2_wdsr", {"shared_layers": 4}, "SR² WDSR, 4 shared layers"),
  ],
)
def test_names_say_what_is_unusual(method, settings, expected):
  subject = paper_values.subject(method, 4, **settings)
  assert paper_values.full_name(subject) == expected
