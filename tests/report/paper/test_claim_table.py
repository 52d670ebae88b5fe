import pytest

from sr2_jax.report import blocks as blocks_lib
from sr2_jax.report.paper import claim_table, verdicts
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


def test_every_claim_is_quoted_with_its_verdict(world):
  rulings = _rulings(world)
  text = _text([claim_table.counts(rulings["ssim"])])
  assert "Of 26 claims hold: **21**; do not hold: **0**" in text
  assert "equivalent: **4**" in text
  assert "not run in full: **1**" in text
  text = _text(claim_table.section(rulings))
  table = text.partition("| The paper says")[2].partition("\n\n")[0]
  verdicts = [line.split(" | ")[-1] for line in table.splitlines()[2:]]
  assert sum("✓ holds" in verdict for verdict in verdicts) == 21
  # The abstract's numbers say where they hold.
  assert any("holds at σ² = 10⁻³" in verdict for verdict in verdicts)


def test_where_definitions_of_ssim_disagree_the_table_says_so(tmp_path):
  values = {"ssim": 0.7, "ssim_uniform7": 0.7, "ssim_uniform7_range2": 0.9}
  paper_world.write_run(
    tmp_path / "sr2",
    "sr2_fsrcnn",
    lambda metric, level, seed, _: values.get(metric, 0.9) + 1e-4 * seed,
  )
  paper_world.write_run(tmp_path / "srmd", "srmd", lambda *_: 0.8)
  text = _text(claim_table.section(_rulings(_read(tmp_path))))
  [line] = [x for x in text.splitlines() if "outperforms SRMD, although" in x]
  assert line.endswith(
    "✓ holds<br>by `ssim_uniform7`: does not hold<br>by `ssim`: does not hold |"
  )


@pytest.mark.parametrize(
  ("count", "expected"),
  [
    (0, "undecided: **1**; not run"),
    (1, "undecided: **2** (1 needs a second seed); not run"),
    (2, "undecided: **3** (2 need a second seed); not run"),
  ],
)
def test_claims_that_need_a_second_seed_are_counted(count, expected):
  claim = paper_claims.all_claims("ssim", corruptions={})[0]
  rulings = [
    verdicts.Ruling(claim, (), verdict)
    for verdict in (
      verdicts.Verdict.UNDECIDED,
      *[verdicts.Verdict.ONE_SEED] * count,
    )
  ]
  assert expected in claim_table.counts(rulings).text


def test_rules_say_how_many_claims_were_tested(world):
  text = _text(claim_table.rules(_rulings(world)["ssim"]))
  assert "Tested here: 25 of 26 claims" in text
