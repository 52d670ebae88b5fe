import pytest

from sr2_jax.report import blocks as blocks_lib
from sr2_jax.report.paper import claim_cards, verdicts
from sr2_jax.report.paper import claims as paper_claims
from sr2_jax.report.paper import measurements as measurements_lib
from sr2_jax.report.paper import values as paper_values
from tests import paper_world


def _read(folder):
  return measurements_lib.read(folder, split="test")


def _text(blocks):
  return blocks_lib.markdown(blocks)


def _rulings(measurements):
  return {
    ssim: verdicts.judge(
      measurements, paper_claims.all_claims(ssim, corruptions={})
    )
    for ssim in paper_values.SSIMS
  }


@pytest.fixture(scope="module")
def world(tmp_path_factory):
  """Measurements of every run of the paper."""
  return _read(paper_world.write_paper(tmp_path_factory.mktemp("paper")))


def test_every_claim_has_a_card_with_its_verdict(world):
  cards = [
    block
    for block in claim_cards.section(_rulings(world))
    if isinstance(block, blocks_lib.Details) and block.mark
  ]
  assert len(cards) == 26
  marks = [card.mark for card in cards]
  assert marks.count("✓ holds") == 21
  assert marks.count("= equivalent") == 4
  assert marks.count("— not run") == 1
  assert {card.tone for card in cards} == {"good", "bad", "missing"}
  # The abstract's numbers say where they hold.
  assert "Holds at σ² = 10⁻³" in _text([cards[1]])
  [card] = [x for x in cards if "actively supports" in x.summary]
  text = _text([card])
  assert "✓ SR² FSRCNN − FSRCNN control: +0.0280 ± 0.0000 (images ± " in text
  assert "the paper: +0.032 (3 seeds, 7 + 5 epochs, 12 images)" in text


def test_verdicts_are_counted():
  claim = paper_claims.all_claims("ssim", corruptions={})[0]
  found = [
    verdicts.Ruling(claim, (), verdict)
    for verdict in (
      verdicts.Verdict.EXCLUDED,
      verdicts.Verdict.HOLDS,
      verdicts.Verdict.HOLDS,
    )
  ]
  assert claim_cards.counts(found) == (
    "Of 3 claims: holds: **2**, excludes the paper's effect: **1**."
  )


def test_where_definitions_of_ssim_disagree_the_card_says_so(tmp_path):
  values = {"ssim": 0.7, "ssim_uniform7": 0.7, "ssim_uniform7_range2": 0.9}
  paper_world.write_run(
    tmp_path / "sr2",
    "sr2_fsrcnn",
    lambda metric, level, seed, _: values.get(metric, 0.9) + 1e-4 * seed,
  )
  paper_world.write_run(tmp_path / "srmd", "srmd", lambda *_: 0.8)
  [card] = [
    block
    for block in claim_cards.section(_rulings(_read(tmp_path)))
    if "outperforms SRMD, although" in getattr(block, "summary", "")
  ]
  assert card.mark == "✓ holds"
  assert (
    "By `ssim_uniform7`: does not hold. By `ssim`: does not hold."
    in _text([card])
  )


def test_rows_with_running_statistics_are_folded_and_marked(tmp_path):
  paper_world.write_run(tmp_path / "new", "bicubic", lambda *_: 0.1)
  paper_world.write_run(tmp_path / "new_wdsr", "wdsr", lambda *_: 0.5)
  for name, method, value in (("a", "sr2_fsrcnn", 0.9), ("b", "srmd", 0.8)):
    paper_world.write_run(
      tmp_path / name,
      method,
      lambda metric, level, seed, _, value=value: value + 1e-4 * (seed or 0),
      batch_norm="running",
    )
  measurements = _read(tmp_path)
  rulings = _rulings(measurements)
  older = _rulings(measurements.by("running"))[paper_values.SSIMS[0]]
  [card] = [
    block
    for block in claim_cards.section(rulings, older)
    if "outperforms SRMD, although" in getattr(block, "summary", "")
  ]
  assert card.mark == "— not run"
  text = _text([card])
  assert "Older rows, with running statistics: holds." in text
  assert "<summary>The older rows</summary>" in text
  # Without rows of re-estimated statistics there is nothing to mark.
  assert "Older rows" not in _text(claim_cards.section(rulings))


def test_rules_say_how_many_claims_were_tested(world):
  rules = claim_cards.section(_rulings(world))[-1]
  assert rules.summary.startswith("Rules")
  assert "Tested here: 25 of 26 claims" in _text([rules])
