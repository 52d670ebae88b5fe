"""What classification adds: SR² less its control, as pictures; no JAX."""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
from matplotlib import axes

from sr2_jax import names
from sr2_jax.records import rows as rows_lib
from sr2_jax.report import blocks as blocks_lib
from sr2_jax.report import curves as curves_lib
from sr2_jax.report import tables
from sr2_jax.report.paper import budgets, rendering, verdicts
from sr2_jax.report.paper import estimates as estimates_lib
from sr2_jax.report.paper import measurements as measurements_lib
from sr2_jax.report.paper import subjects as subjects_lib
from sr2_jax.report.paper import values as paper_values

SSIM = paper_values.SSIMS[0]
_LOOK = curves_lib.Look(2, 1.3, 5.5, 11, gap=0.13, indent=0.06, margin=0.02)
_SERIES = (
  (curves_lib.COLORS["sr2"][0], "o"),
  (curves_lib.COLORS["sr2"][1], "s"),
)
_PAPER = "#D55E00"


@dataclasses.dataclass(frozen=True)
class Pair:
  """SR² and its control.

  Attributes:
    name: theirs in a picture.
    proposed: SR².
    control: the same without a classifier.
    metric: what is compared.
  """

  name: str
  proposed: subjects_lib.Subject
  control: subjects_lib.Subject
  metric: str = SSIM

  @property
  def paper(self) -> float | None:
    """SR² less its baseline in Table 1, at its noise level."""
    method, scale = self.proposed.method, self.proposed.scale
    table = paper_values.TABLE1
    if self.proposed.dataset != paper_values.MNIST:
      return None
    return table[method, scale] - table[names.method(method).trunk or "", scale]

  def estimate(
    self,
    measurements: measurements_lib.Measurements,
    variance: float,
    *,
    budget: subjects_lib.Budget | None = None,
  ) -> estimates_lib.Estimate | None:
    """The difference at a noise level; after other epochs if a budget asks."""
    condition = rows_lib.Condition(variance)
    return estimates_lib.estimate(
      measurements,
      [
        estimates_lib.Term(
          weight,
          dataclasses.replace(subject, budget=budget),
          self.metric,
          condition,
        )
        for weight, subject in ((1.0, self.proposed), (-1.0, self.control))
      ],
    )


def pair(
  trunk: str,
  scale: int,
  *,
  dataset: str = paper_values.MNIST,
  shared_layers: int = 1,
) -> Pair:
  """SR² of a trunk and its control."""
  proposed, control = (
    paper_values.subject(
      f"{family}_{trunk}", scale, dataset=dataset, shared_layers=shared_layers
    )
    for family in ("sr2", "sr_continued")
  )
  name = names.TRUNKS[trunk].title
  if dataset == paper_values.SVHN:
    name = f"{shared_layers} shared"
  return Pair(name, proposed, control)


@dataclasses.dataclass(frozen=True)
class _Points:
  """Differences along an axis."""

  places: Sequence[float]
  estimates: Sequence[estimates_lib.Estimate]


def over_noise(
  measurements: measurements_lib.Measurements,
  pairs: Sequence[Pair],
  *,
  stem: str,
  title: str,
  levels: Sequence[float] = paper_values.LEVELS,
) -> blocks_lib.Picture | None:
  """SR² − control over the noise variance; None if nothing was run."""
  found = {}
  for each in pairs:
    points = {
      level: estimate
      for level in levels
      if (estimate := each.estimate(measurements, level)) is not None
    }
    if points:
      found[each] = _Points([*points], [*points.values()])
  return _draw(found, stem=stem, title=title, along="noise")


def over_epochs(
  measurements: measurements_lib.Measurements, of: Pair, *, stem: str
) -> blocks_lib.Picture | None:
  """SR² − control over the epochs of `joint`; None without such rows."""
  found = budgets.shared(measurements, [of.proposed, of.control])
  known = [x for x in found if None not in x]
  # All are of one run of `pretrain`: of the one that most rows are of.
  starts = [start for start, _ in known]
  start = max(starts, key=lambda x: (starts.count(x), x or 0), default=None)
  points = {
    float(budget[1] or 0): estimate
    for budget in sorted(known, key=lambda x: x[1] or 0)
    if budget[0] == start
    and (
      estimate := of.estimate(
        measurements, paper_values.TABLE1_NOISE, budget=budget
      )
    )
    is not None
  }
  if not points:
    return None
  return _draw(
    {of: _Points([*points], [*points.values()])},
    stem=stem,
    title=f"at σ² = {tables.display_number(paper_values.TABLE1_NOISE)}",
    along="epochs",
  )


def _draw(
  found: dict[Pair, _Points], *, stem: str, title: str, along: str
) -> blocks_lib.Picture | None:
  if not found:
    return None
  with rendering.panel(title, "SSIM, SR² − control") as (figure, panel):
    places = sorted({x for points in found.values() for x in points.places})
    if along == "noise":
      curves_lib.draw_axis(panel, places)
    else:
      _draw_epochs_axis(panel, places)
    _draw_ground(panel)
    limit = _limit(found)
    ends = []
    for (each, points), (color, marker) in zip(
      found.items(), _SERIES, strict=False
    ):
      _draw_series(panel, points, color=color, marker=marker, limit=limit)
      if each.paper is not None:
        _draw_paper(
          panel,
          each.paper,
          color=_PAPER if len(found) == 1 else color,
          along=along,
          is_alone=len(found) == 1,
        )
      ends.append((each.name, points.estimates[-1].value, color))
    panel.set_ylim(-limit, limit)
    if len(ends) > 1:
      curves_lib.write_names(panel, ends, _LOOK)
    png, svg = rendering.render(figure)
  seeds = sorted({len(x.seeds) for p in found.values() for x in p.estimates})
  count = "–".join(map(str, dict.fromkeys((seeds[0], seeds[-1]))))
  alt = (
    f"SSIM of SR² less that of its control, {title}, {count} seeds: "
    f"{', '.join(x.name for x in found)}"
  )
  return blocks_lib.Picture(stem, alt, png, svg, width=rendering.PANEL_WIDTH)


def _draw_epochs_axis(panel: axes.Axes, places: Sequence[float]) -> None:
  panel.set_xscale("log")
  panel.set_xticks(places, [f"{x:g}" for x in places])
  panel.set_xticks([], minor=True)
  panel.set_xlim(places[0] / 1.4, places[-1] * 1.4)
  panel.set_xlabel("Epochs of the second phase", color=curves_lib.INK)
  panel.grid(axis="y", color="#DDDDDD", linewidth=0.8)
  panel.set_axisbelow(True)
  panel.spines[["top", "right"]].set_visible(False)


def _draw_ground(panel: axes.Axes) -> None:
  """Zero, and the margin around it."""
  panel.axhspan(
    -verdicts.MARGIN, verdicts.MARGIN, color="#E4E4E4", linewidth=0, zorder=0
  )
  panel.axhline(0, color=curves_lib.INK, linewidth=1)


def _draw_paper(
  panel: axes.Axes, paper: float, *, color: str, along: str, is_alone: bool
) -> None:
  """The paper's number: a star at its noise level, and a line if alone."""
  if along == "noise":
    star = {"color": color, "markersize": 14, "markeredgecolor": "white"}
    panel.plot(paper_values.TABLE1_NOISE, paper, "*", zorder=4, **star)
  if is_alone:
    panel.axhline(paper, color=color, linewidth=1, linestyle=(0, (4, 3)))
    panel.annotate(
      f"the paper's {paper:+.3f}".replace("-", "−"), (0.02, paper),
      xycoords=("axes fraction", "data"), xytext=(0, 5),
      textcoords="offset points", color=color, fontsize=11, fontweight="bold",
    )  # fmt: skip


def _draw_series(
  panel: axes.Axes, points: _Points, *, color: str, marker: str, limit: float
) -> None:
  """Means with their intervals, and a dot for each seed."""
  x = np.array(points.places)
  means = np.array([estimate.value for estimate in points.estimates])
  halves = np.array(
    [
      math.nan if x.over_seeds is None else x.over_seeds.half_width
      for x in points.estimates
    ]
  )
  low = np.clip(means - halves, -limit, limit)
  high = np.clip(means + halves, -limit, limit)
  panel.fill_between(x, low, high, color=color, alpha=0.18, linewidth=0)
  if len(x) == 1:  # A band of one place has no width.
    panel.vlines(x, low, high, color=color, alpha=0.18, linewidth=14)
  panel.plot(x, means, color=color, marker=marker, linewidth=2, markersize=6)
  for place, estimate in zip(points.places, points.estimates, strict=True):
    panel.plot(
      [place] * len(estimate.by_seed), estimate.by_seed, ".", color=color,
      alpha=0.6, markersize=4,
    )  # fmt: skip


def _limit(found: dict[Pair, _Points]) -> float:
  """The end of the value axis: all means, seeds and the paper's number fit.

  Intervals may be wider, and are cut.
  """
  shown = [4 * verdicts.MARGIN, *(each.paper or 0 for each in found)]
  for points in found.values():
    for estimate in points.estimates:
      shown += [estimate.value, *estimate.by_seed]
  return 1.15 * max(abs(x) for x in shown if math.isfinite(x))
