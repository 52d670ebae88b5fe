import pytest

from sr2_jax.report import blocks as blocks_lib
from sr2_jax.report.paper import measurements as measurements_lib
from sr2_jax.report.paper import sections
from tests import paper_world


def _read(folder):
  return measurements_lib.read(folder, split="test")


def _text(blocks):
  return blocks_lib.markdown(blocks)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
  """Measurements of every run of the paper."""
  return _read(paper_world.write_paper(tmp_path_factory.mktemp("paper")))


def test_numbers_are_beside_the_papers(world):
  text = _text(sections.table1(world))
  for line in (
    "| SR² FSRCNN | 0.828 | 0.828 ± 0.000 | 0.800 ± 0.000 | +0.0280 ± 0.0000 "
    "| 7 + 5 | 3 | — not run |",
    "| SRMD (released) | 0.803 | 0.803 |  |  | — | released |  |",
    "| FSRCNN | 0.796 | 0.796 ± 0.000 |  |  | 7 | 3 | — not run |",
    # By the other definitions of SSIM.
    "| SR² FSRCNN | 0.828 |" + 3 * " 0.828 ± 0.000 |",
    "| SRMD retrained | — | — not run | — not run | — not run |",
  ):
    assert line in text
  text = _text(sections.abstract(world))
  # At σ² = 1e-3: 0.95 over 0.50, and 0.808 over 0.62.
  [line] = [x for x in text.splitlines() if x.startswith("| 10⁻³ | 0.620")]
  assert "+30.3 ± 0.0 %" in line
  assert line.endswith("| 0.500 ± 0.000 | 0.950 ± 0.000 | +90.0 ± 0.0 % |")


def test_the_abstracts_means_are_over_the_seeds_that_both_have(tmp_path):
  """Otherwise the gain would not be that of the numbers beside it."""
  score = paper_world.constant(0.6, seed_spread=0.1, image_spread=0)
  paper_world.write_run(tmp_path / "a", "sr2_fsrcnn", score)
  paper_world.write_run(tmp_path / "b", "sequential_fsrcnn", score, seeds=(1,))
  text = _text(sections.abstract(_read(tmp_path)))
  assert "the seeds that both have (here 1)" in text
  assert text.count("| 0.600 | 0.600 | +0.0 %") == 16


def test_the_running_statistics_have_a_column(tmp_path):
  for batch_norm, value in (("reestimated", 0.8), ("running", 0.6)):
    paper_world.write_run(
      tmp_path / batch_norm,
      "fsrcnn",
      lambda *_, value=value: value,
      batch_norm=batch_norm,
    )
  text = _text(sections.table1(_read(tmp_path)))
  assert (
    "| FSRCNN | 0.796 | 0.800 ± 0.000 |  |  | 7 | 3 | 0.600 ± 0.000 |" in text
  )


def test_rows_of_several_steps_give_the_last_and_only_equal_budgets(tmp_path):
  for method, name, budget, value in (
    ("sr2_fsrcnn", "a", (7, 1), 0.70),
    ("sr2_fsrcnn", "a", (7, 3), 0.80),
    ("sr_continued_fsrcnn", "b", (7, 1), 0.71),
  ):
    paper_world.write_run(
      tmp_path / name,
      method,
      lambda *_, value=value: value,
      budget=budget,
      step=100 * budget[1],
      arrays=False,
    )
  text = _text(sections.table1(_read(tmp_path)))
  # The control has one epoch only, so SR² is shown after one.
  assert "| SR² FSRCNN | 0.828 | 0.700 ± 0.000 | 0.710 ± 0.000 |" in text
  alone = tmp_path / "a"
  text = _text(sections.table1(_read(alone)))
  assert "| SR² FSRCNN | 0.828 | 0.800 ± 0.000 | — not run |" in text
  assert "| 7 + 3 | 3 |" in text


def test_differences_have_a_plot_and_tables(world):
  heading, _, figure, details = sections.differences(world)
  assert heading.text == "SR² less its control"
  # The invented paper has controls on MNIST at x4 only.
  assert [x.stem for x in figure.pictures] == ["effect_mnist_x4"]
  text = _text([details])
  [line] = [x for x in text.splitlines() if x.startswith("| 10⁻⁴ |")]
  cells = [cell.strip() for cell in line.strip("|").split("|")]
  assert [x[:7] for x in cells[1:]] == [
    "+0.0320", "+0.0280", "+0.0330", "+0.0210",
  ]  # fmt: skip


def test_differences_without_controls_were_not_run(tmp_path):
  paper_world.write_run(tmp_path / "run", "fsrcnn", paper_world.constant(0.7))
  assert sections.differences(_read(tmp_path))[-1].text == "Not run."
