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
    "| SR² FSRCNN | 0.828 |" + 3 * " 0.828 ± 0.000 |" + " 3 |",
    "| SRMD (released) | 0.803 | 0.803 | 0.803 | 0.803 | released |",
    "| SRMD retrained | — | — not run | — not run | — not run | — |",
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


def test_a_gain_is_credited_where_it_exceeds_the_controls(world):
  text = _text(sections.control(world))
  part = text.partition("### FSRCNN at x4")[2].partition("###")[0]
  [line] = [x for x in part.splitlines() if x.startswith("| 10⁻⁴ |")]
  cells = [cell.strip() for cell in line.strip("|").split("|")]
  assert cells[1].startswith("+0.0320")
  assert cells[2].startswith("+0.0280")
  assert cells[3] == "✓ yes"
  # The control was not run at x2, so nothing is credited.
  part = text.partition("### FSRCNN at x2")[2].partition("###")[0]
  assert "✓ yes" not in part
  assert "— not run" in part


def test_a_gain_below_the_controls_is_not_credited(tmp_path):
  values = {"fsrcnn": 0.7, "sr_continued_fsrcnn": 0.82, "sr2_fsrcnn": 0.8}
  for method, value in values.items():
    paper_world.write_run(
      tmp_path / method, method, paper_world.constant(value)
    )
  text = _text(sections.control(_read(tmp_path)))
  part = text.partition("### FSRCNN at x4")[2].partition("###")[0]
  assert part.count("✗ no") == 16
  assert "✓" not in part
