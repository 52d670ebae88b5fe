import numpy as np
import pytest

from sr2_jax.report.paper import claims as paper_claims
from sr2_jax.report.paper import measurements as measurements_lib
from sr2_jax.report.paper import values as paper_values
from sr2_jax.report.paper import verdicts
from tests import paper_world

HOLDS, FAILS = verdicts.Verdict.HOLDS, verdicts.Verdict.FAILS
UNDECIDED = verdicts.Verdict.UNDECIDED
ONE_SEED = verdicts.Verdict.ONE_SEED
NOT_RUN = verdicts.Verdict.NOT_RUN


def _claims(ssim="ssim", corruptions=None):
  return paper_claims.all_claims(ssim, corruptions=corruptions or {})


def _verdicts(folder, ssim="ssim"):
  measurements = measurements_lib.read(folder, split="test")
  rulings = verdicts.judge(measurements, _claims(ssim))
  return {
    f"{ruling.claim.quote} {ruling.claim.where}": ruling.verdict
    for ruling in rulings
    if "other degradations" not in ruling.claim.criterion
  }


@pytest.mark.parametrize("ssim", paper_values.SSIMS)
def test_every_claim_holds_in_a_world_where_the_paper_is_right(tmp_path, ssim):
  found = _verdicts(paper_world.write_paper(tmp_path), ssim)
  assert len(found) >= 25
  # Some of the paper's own differences are within our margin.
  small = {
    f"{claim.quote} {claim.where}"
    for claim in _claims(ssim)
    if any(abs(x.paper or 1) < verdicts.MARGIN for x in claim.parts)
  }
  assert len(small) == 4
  assert found == {
    claim: verdicts.Verdict.EQUIVALENT if claim in small else HOLDS
    for claim in found
  }


def test_every_claim_fails_in_the_mirrored_world(tmp_path):
  found = _verdicts(paper_world.write_paper(tmp_path, mirrored=True))
  for claim, verdict in found.items():
    # What is flat is flat in the mirror as well.
    expected = HOLDS if "barely decreases" in claim else FAILS
    assert verdict == expected, claim


def test_one_seed_decides_nothing(tmp_path):
  found = _verdicts(paper_world.write_paper(tmp_path, seeds=(0,)))
  assert found == dict.fromkeys(found, ONE_SEED)


def test_what_was_not_run_is_not_run(tmp_path):
  paper_world.write_run(
    tmp_path / "run", "fsrcnn", paper_world.constant(0.7), scale=3
  )
  found = _verdicts(tmp_path)
  assert found == dict.fromkeys(found, NOT_RUN)


def test_a_claim_hidden_by_the_spread_of_seeds_is_undecided(tmp_path):
  def score(metric, level, seed, weight):
    return 0.8 + {0: -0.05, 1: 0.0, 2: 0.06}[seed]

  paper_world.write_run(tmp_path / "sr2", "sr2_fsrcnn", score)
  paper_world.write_run(tmp_path / "srmd", "srmd", lambda *_: 0.79)
  measurements = measurements_lib.read(tmp_path, split="test")
  [claim] = [x for x in _claims() if "outperforms SRMD, although" in x.quote]
  [ruling] = verdicts.judge(measurements, [claim])
  assert ruling.findings[0].estimate.value == pytest.approx(0.01 + 0.01 / 3)
  assert ruling.verdict == UNDECIDED


def test_a_slope_is_that_of_least_squares():
  weights = dict(paper_claims.slope_weights())
  values = np.random.default_rng(0).normal(size=len(weights))
  expected = np.polyfit(np.log10([*weights]), values, 1)[0]
  assert np.dot([*weights.values()], values) == pytest.approx(expected)
  assert sum(weights.values()) == pytest.approx(0, abs=1e-12)
  mean = dict(paper_claims.mean_weights())
  assert np.dot([*mean.values()], values) == pytest.approx(values.mean())


def test_parts_hold_the_papers_own_differences():
  [claim] = [
    x for x in _claims() if "substantially better than FSRCNN" in x.quote
  ]
  assert [part.paper for part in claim.parts] == [0.032, 0.06, 0.005, 0.033]
  orderings = [x for x in _claims() if not x.is_verbatim]
  for claim in orderings:
    assert len(claim.parts) == 4
    assert all(part.paper > 0 for part in claim.parts)


def test_corruptions_are_means_over_their_levels():
  claim = _claims(corruptions={"jpeg": (20.0, 50.0)})[-1]
  parts = {part.text: part for part in claim.parts}
  assert len(parts) == 5
  terms = parts["accuracy, jpeg"].terms
  assert [term.weight for term in terms] == [0.5, -0.5, 0.5, -0.5]
  assert {term.condition.level for term in terms} == {20.0, 50.0}
  measurements = measurements_lib.Measurements([], split="test")
  [ruling] = verdicts.judge(measurements, [claim])
  assert ruling.verdict == NOT_RUN


def test_what_depends_on_ssim_says_so():
  claims = {claim.quote: claim for claim in _claims()}
  uses = [paper_claims.uses_ssim(claim) for claim in claims.values()]
  assert any(uses)
  assert not all(uses)
  accuracy = claims["… and improve classification by 69%."]
  assert not paper_claims.uses_ssim(accuracy)
