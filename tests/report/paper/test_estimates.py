import numpy as np
import pytest
from scipy import stats

from sr2_jax.records import rows as rows_lib
from sr2_jax.report import intervals
from sr2_jax.report.paper import estimates as estimates_lib
from sr2_jax.report.paper import measurements as measurements_lib
from sr2_jax.report.paper import values as paper_values
from tests import paper_world

NOISE = rows_lib.Condition(1e-4)
SR2 = paper_values.subject("sr2_fsrcnn", 4)
FSRCNN = paper_values.subject("fsrcnn", 4)
BICUBIC = paper_values.subject("bicubic", 4)


def _term(weight, subject, condition=NOISE):
  return estimates_lib.Term(weight, subject, "ssim", condition)


def _world(tmp_path, seeds=((0, 1, 2), (0, 1, 2)), **settings):
  """Random scores; what is the same in both networks is much larger."""
  shared = np.random.default_rng(0).normal(0, 0.1, (9, 12))
  for number, (method, of) in enumerate(
    zip(("sr2_fsrcnn", "fsrcnn"), seeds, strict=True)
  ):
    own = np.random.default_rng(number + 1).normal(0, 0.01, (9, 12))

    def score(metric, level, seed, weight, own=own, number=number):
      values = 0.6 - 0.05 * number + shared[seed] + own[seed]
      return (values - 10 * level).astype(np.float32)

    paper_world.write_run(
      tmp_path / method, method, score, seeds=of, **settings
    )
  paper_world.write_run(
    tmp_path / "other",
    "bicubic",
    lambda *_: np.linspace(0.2, 0.4, 12),
    **settings,
  )
  return measurements_lib.read(tmp_path, split="test")


def _scores(measurements, subject, seeds):
  return np.array(
    [measurements.per_image(subject, "ssim", NOISE, seed) for seed in seeds]
  )


def test_a_difference_is_paired_by_seed_and_by_image(tmp_path):
  measurements = _world(tmp_path)
  found = estimates_lib.estimate(
    measurements, [_term(1, SR2), _term(-1, FSRCNN)]
  )
  a, b = (_scores(measurements, subject, range(3)) for subject in (SR2, FSRCNN))
  assert found.seeds == (0, 1, 2)
  assert found.value == pytest.approx((a - b).mean())
  for interval, pairs in (
    (found.over_seeds, (a.mean(1), b.mean(1))),
    (found.over_images, (a.mean(0), b.mean(0))),
  ):
    expected = stats.ttest_rel(*pairs).confidence_interval(0.95)
    assert (interval.low, interval.high) == pytest.approx(tuple(expected))
    # Unpaired, what both have in common would drown the difference.
    unpaired = stats.ttest_ind(*pairs).confidence_interval(0.95)
    assert interval.half_width < 0.5 * (unpaired.high - unpaired.low) / 2
  assert found.num_images == 12


def test_only_common_seeds_count(tmp_path):
  measurements = _world(tmp_path, seeds=((0, 1, 2), (1, 2, 3)))
  found = estimates_lib.estimate(
    measurements, [_term(1, SR2), _term(-1, FSRCNN)]
  )
  assert found.seeds == (1, 2)
  a, b = (_scores(measurements, subject, (1, 2)) for subject in (SR2, FSRCNN))
  assert found.value == pytest.approx((a - b).mean())


def test_no_shared_seed_is_not_run(tmp_path):
  measurements = _world(tmp_path, seeds=((0, 1), (2, 3)))
  assert (
    estimates_lib.estimate(measurements, [_term(1, SR2), _term(-1, FSRCNN)])
    is None
  )


def test_what_is_not_trained_counts_for_each_seed(tmp_path):
  measurements = _world(tmp_path)
  found = estimates_lib.estimate(
    measurements, [_term(1, SR2), _term(-1, BICUBIC)]
  )
  a = _scores(measurements, SR2, range(3)) - _scores(
    measurements, BICUBIC, (None,)
  )
  assert found.over_seeds.mean == pytest.approx(a.mean())
  assert found.over_images.half_width == pytest.approx(
    intervals.interval(a.mean(0)).half_width
  )
  alone = estimates_lib.estimate(measurements, [_term(1, BICUBIC)])
  assert (alone.seeds, alone.over_seeds) == ((), None)
  assert alone.over_images.mean == pytest.approx(0.3)


def test_one_seed_has_no_interval_over_seeds(tmp_path):
  measurements = _world(tmp_path, seeds=((0,), (0,)))
  found = estimates_lib.estimate(
    measurements, [_term(1, SR2), _term(-1, FSRCNN)]
  )
  assert found.over_seeds is None
  assert found.over_images is not None


def test_rows_alone_have_no_interval_over_images(tmp_path):
  measurements = _world(tmp_path, arrays=False)
  found = estimates_lib.estimate(
    measurements, [_term(1, SR2), _term(-1, FSRCNN)]
  )
  assert found.over_seeds is not None
  assert (found.over_images, found.num_images) == (None, 0)


def test_weights_of_several_cells(tmp_path):
  measurements = _world(tmp_path)
  terms = [
    _term(2.0, SR2, rows_lib.Condition(1e-2)),
    _term(-2.0, SR2, rows_lib.Condition(0.0)),
  ]
  found = estimates_lib.estimate(measurements, terms)
  assert found.value == pytest.approx(-0.2, abs=1e-6)
  assert found.over_seeds.half_width == pytest.approx(0, abs=1e-6)


def test_a_missing_cell_is_not_run(tmp_path):
  measurements = _world(tmp_path)
  missing = _term(1, SR2, rows_lib.Condition(0.7))
  assert estimates_lib.estimate(measurements, [_term(1, SR2), missing]) is None
  assert estimates_lib.relative(measurements, missing, _term(1, SR2)) is None


def test_means_over_other_images_are_not_compared(tmp_path):
  for method, num_images in (("sr2_fsrcnn", 12), ("fsrcnn", 5)):
    paper_world.write_run(
      tmp_path / method,
      method,
      lambda *_: 0.5,
      num_images=num_images,
    )
  measurements = measurements_lib.read(tmp_path, split="test")
  terms = [_term(1.0, SR2), _term(-1.0, FSRCNN)]
  assert estimates_lib.estimate(measurements, terms[:1]) is not None
  assert estimates_lib.estimate(measurements, terms) is None
  assert estimates_lib.relative(measurements, *terms) is None
  [note] = measurements.notes
  assert "`sr2_fsrcnn` on 12 images, `fsrcnn` on 5 images" in note


def test_relative_gain_of_the_means(tmp_path):
  measurements = _world(tmp_path)
  found = estimates_lib.relative(measurements, _term(1, SR2), _term(1, FSRCNN))
  a, b = (_scores(measurements, x, range(3)) for x in (SR2, FSRCNN))
  assert found.value == pytest.approx(a.mean() / b.mean() - 1)
  assert found.over_seeds.mean == found.value
  # Fieller's interval is the exact one; for so small a spread they agree.
  low, high = _fieller(a.mean(1), b.mean(1))
  assert found.over_seeds.low == pytest.approx(low - 1, abs=2e-3)
  assert found.over_seeds.high == pytest.approx(high - 1, abs=2e-3)
  low, high = _fieller(a.mean(0), b.mean(0))
  assert found.over_images.low == pytest.approx(low - 1, abs=2e-3)
  assert found.over_images.high == pytest.approx(high - 1, abs=2e-3)


def _fieller(a, b):
  """Ratios r for which a - r b may have mean 0, by a t-test at each."""
  ratios = np.linspace(0.9, 1.4, 20001)
  differences = a[:, None] - ratios * b[:, None]
  inside = ratios[stats.ttest_1samp(differences, 0).pvalue > 0.05]
  return inside.min(), inside.max()


def test_relative_to_nothing_has_no_value(tmp_path):
  for method, value in (("sr2_fsrcnn", 0.5), ("fsrcnn", 0.0)):
    paper_world.write_run(
      tmp_path / method, method, lambda *_, value=value: value
    )
  measurements = measurements_lib.read(tmp_path, split="test")
  assert (
    estimates_lib.relative(measurements, _term(1, SR2), _term(1, FSRCNN))
    is None
  )
