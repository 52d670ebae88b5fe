import pytest

from sr2_jax.report import blocks as blocks_lib
from sr2_jax.report.paper import headline, verdicts
from sr2_jax.report.paper import measurements as measurements_lib
from sr2_jax.report.paper import page as page_lib
from tests import paper_world


def _world(folder, effect, *, seeds=(0, 1, 2), spread=1e-4, **settings):
  for method, value in (
    ("sr2_fsrcnn", 0.8 + effect), ("sr_continued_fsrcnn", 0.8),
  ):  # fmt: skip
    is_sr2 = method == "sr2_fsrcnn"
    paper_world.write_run(
      folder / method,
      method,
      lambda metric, level, seed, _, value=value, is_sr2=is_sr2: (
        value + (spread * (seed - 1) if is_sr2 else 0)
      ),
      seeds=seeds,
      **settings,
    )
  return measurements_lib.read(folder, split="test")


@pytest.mark.parametrize(
  ("effect", "spread", "seeds", "expected"),
  [
    (0.0, 1e-4, (0, 1, 2), "by nothing that matters"),
    (0.03, 1e-4, (0, 1, 2), "improves super-resolution"),
    (-0.03, 1e-4, (0, 1, 2), "costs super-resolution"),
    (0.0, 6e-3, (0, 1, 2), "does not account for the paper's gain"),
    (0.0, 0.1, (0, 1, 2), "is undecided"),
    (0.0, 0.1, (0,), "needs a second seed"),
  ],
)
def test_the_sentence_says_the_verdict(
  tmp_path, effect, spread, seeds, expected
):
  measurements = _world(tmp_path, effect, seeds=seeds, spread=spread)
  text = headline.sentence(page_lib.judge(measurements))
  assert expected in text
  assert "the paper reports +0.032" in text
  assert "after 7 + 5 epochs" in text


def test_without_the_runs_the_sentence_says_so(tmp_path):
  paper_world.write_run(tmp_path / "run", "fsrcnn", paper_world.constant(0.7))
  measurements = measurements_lib.read(tmp_path, split="test")
  rulings = page_lib.judge(measurements)
  assert headline.sentence(rulings).startswith("**Not run yet:**")
  [block] = headline.section(measurements, rulings)
  assert isinstance(block, blocks_lib.Paragraph)


def test_the_main_finding_is_that_of_the_claim(tmp_path):
  measurements = _world(tmp_path, 0.0)
  found = headline.finding(page_lib.judge(measurements))
  assert found.verdict is verdicts.Verdict.EQUIVALENT
  assert headline.finding([]) is None


def test_running_statistics_are_named(tmp_path):
  new = _world(tmp_path / "new", 0.0)
  text = blocks_lib.markdown(headline.section(new, page_lib.judge(new)))
  assert "Running statistics" not in text
  old = _world(tmp_path / "old", 0.0, batch_norm="running")
  text = blocks_lib.markdown(headline.section(old, page_lib.judge(old)))
  assert "Running statistics" in text


def test_a_terminal_gets_about_twenty_lines(tmp_path):
  measurements = measurements_lib.read(
    paper_world.write_paper(tmp_path), split="test"
  )
  text = headline.summary(measurements, page_lib.judge(measurements))
  lines = text.splitlines()
  assert 15 <= len(lines) <= 24
  assert max(map(len, lines)) <= 90
  assert "**" not in text
  [line] = [x for x in lines if x.startswith("SR² FSRCNN ")]
  assert line.split() == [
    "SR²", "FSRCNN", "0.942", "0.942", "±", "0.000", "0.828", "0.828", "±",
    "0.000",
  ]  # fmt: skip
