from sr2_jax.records import rows as rows_lib
from sr2_jax.report import intervals
from sr2_jax.report.paper import cells
from sr2_jax.report.paper import estimates as estimates_lib
from sr2_jax.report.paper import measurements as measurements_lib
from sr2_jax.report.paper import values as paper_values
from tests import paper_world

NOISE = rows_lib.Condition(1e-4)
SR2, SRMD, WDSR, BICUBIC = (
  paper_values.subject(method, 4)
  for method in ("sr2_fsrcnn", "srmd", "wdsr", "bicubic")
)


def _measurements(folder):
  score = paper_world.constant(0.6, seed_spread=0.1, image_spread=0)
  for method in ("sr2_fsrcnn", "srmd", "bicubic"):
    paper_world.write_run(folder / method, method, score)
  return measurements_lib.read(folder, split="test")


def test_a_mean_is_over_the_seeds_asked_for(tmp_path):
  found = _measurements(tmp_path)
  # 4.302653 (t for two degrees of freedom) * 0.1 / sqrt(3) = 0.248.
  assert cells.mean(found, SR2, "ssim", NOISE) == "0.600 ± 0.248"
  assert cells.mean(found, SR2, "ssim", NOISE, seeds=(2,)) == "0.700"
  assert cells.mean(found, SR2, "ssim", NOISE, seeds=()) is cells.NOT_RUN
  assert cells.mean(found, WDSR, "ssim", NOISE) is cells.NOT_RUN


def test_what_has_no_seeds_says_why(tmp_path):
  found = _measurements(tmp_path)
  assert [
    cells.number_of_seeds(found, subject, "ssim", NOISE)
    for subject in (SR2, SRMD, BICUBIC, WDSR)
  ] == ["3", "released", "no training", "—"]


def test_differences_and_percentages_have_signs():
  def estimate(value, over_seeds=None):
    return estimates_lib.Estimate(value, (0,), over_seeds, None, 0)

  low = estimate(-0.0123, intervals.Interval(-0.0123, 0.002 / 4.302653, 3))
  assert cells.difference(low) == "−0.0123 ± 0.0020"
  assert cells.percentage(low) == "−1.2 ± 0.2 %"
  assert cells.difference(estimate(0.5)) == "+0.5000"
  assert cells.percentage(estimate(0.5)) == "+50.0 %"
  assert cells.difference(None) is cells.percentage(None) is cells.NOT_RUN
