"""The page that shows the paper against what was measured; no JAX."""

import itertools
import pathlib
from collections.abc import Collection, Iterable, Sequence

from sr2_jax import files, names
from sr2_jax.records import rows as rows_lib
from sr2_jax.report import blocks as blocks_lib
from sr2_jax.report import intervals, tables
from sr2_jax.report.paper import claims as paper_claims
from sr2_jax.report.paper import estimates as estimates_lib
from sr2_jax.report.paper import figures as paper_figures
from sr2_jax.report.paper import measurements as measurements_lib
from sr2_jax.report.paper import runs as runs_lib
from sr2_jax.report.paper import values as paper_values
from sr2_jax.report.paper import verdicts

_TITLE = "SR²: the paper against our measurements"
_NOT_RUN = blocks_lib.Cell("— not run", "missing")
_TONES = {
  verdicts.Verdict.HOLDS: ("✓", "good"),
  verdicts.Verdict.FAILS: ("✗", "bad"),
  verdicts.Verdict.UNDECIDED: ("?", "open"),
  verdicts.Verdict.ONE_SEED: ("?", "open"),
  verdicts.Verdict.NOT_RUN: ("—", "missing"),
}
_MAIN_SSIM = paper_values.SSIMS[0]


def write(
  evidence: measurements_lib.Evidence, folder: pathlib.Path, *, command: str
) -> list[pathlib.Path]:
  """Writes report.md, report.html and the figures into a folder.

  Args:
    evidence: what was measured.
    folder: created where missing.
    command: what the page gives as the way to itself.

  Returns:
    The files, report.html and report.md last.
  """
  blocks = compose(evidence, command=command)
  paths = []
  for block in blocks:
    if isinstance(block, blocks_lib.Figure):
      for picture in block.pictures:
        for suffix, data in (("png", picture.png), ("svg", picture.svg)):
          paths.append(folder / f"{picture.stem}.{suffix}")
          files.write_atomically(paths[-1], data)
  for name, text in (
    ("report.md", blocks_lib.markdown(blocks)),
    ("report.html", blocks_lib.page(blocks, title=_TITLE)),
  ):
    paths.append(folder / name)
    files.write_atomically(paths[-1], text.encode())
  return paths


def compose(
  evidence: measurements_lib.Evidence, *, command: str
) -> list[blocks_lib.Block]:
  """The page's blocks, top to bottom."""
  rulings = {
    ssim: [
      verdicts.judge(evidence, claim) for claim in _all_claims(ssim, evidence)
    ]
    for ssim in paper_values.SSIMS
  }
  body = [
    *_claims(rulings),
    *_table1(evidence),
    *_abstract(evidence),
    *_control(evidence),
    *_figures(evidence),
    *_beyond(evidence),
    *_rules(rulings[_MAIN_SSIM]),
  ]
  # Last, because it names what all others asked for in vain.
  return [*_head(evidence, rulings), *body, *_runs(evidence, command=command)]


def _head(
  evidence: measurements_lib.Evidence,
  rulings: dict[str, list[verdicts.Ruling]],
) -> list[blocks_lib.Block]:
  counts = dict.fromkeys(verdicts.Verdict, 0)
  for ruling in rulings[_MAIN_SSIM]:
    counts[ruling.verdict] += 1
  undecided = (
    counts[verdicts.Verdict.UNDECIDED] + counts[verdicts.Verdict.ONE_SEED]
  )
  missing = counts[verdicts.Verdict.NOT_RUN]
  total = len(rulings[_MAIN_SSIM])
  return [
    blocks_lib.Heading(1, _TITLE),
    blocks_lib.Paragraph(
      "Schirrmacher et al., SR²: Super-Resolution with Structure-Aware "
      f"Reconstruction, ICIP 2020, on the {evidence.split} split. Noise σ² is "
      "the variance of Gaussian noise on low-resolution images in [0, 1]; "
      "networks but SRMD were trained without noise."
    ),
    *(
      blocks_lib.Paragraph(
        f"**Not the paper's data:** there is no run on {name}, and runs on "
        f"{other} stand in its place. No number here compares with the "
        "paper's, and no verdict is one on the paper."
      )
      for name, other in evidence.stood_in.items()
    ),
    *runs_lib.training(evidence.runs()),
    blocks_lib.Paragraph(
      f"Of {total} claims hold: **{counts[verdicts.Verdict.HOLDS]}**; "
      f"do not hold: **{counts[verdicts.Verdict.FAILS]}**; "
      f"undecided: **{undecided}**"
      + (
        f" ({counts[verdicts.Verdict.ONE_SEED]} for want of a second seed)"
        if counts[verdicts.Verdict.ONE_SEED]
        else ""
      )
      + f"; not run in full: **{missing}**."
    ),
  ]


def _all_claims(
  ssim: str, evidence: measurements_lib.Evidence
) -> list[verdicts.Claim]:
  corruptions = evidence.shared_corruptions(paper_claims.BEYOND, "accuracy")
  return paper_claims.all_claims(ssim, corruptions=corruptions)


def _claims(
  rulings: dict[str, list[verdicts.Ruling]],
) -> list[blocks_lib.Block]:
  rows = []
  for by_ssim in zip(*rulings.values(), strict=True):
    ruling = by_ssim[0]
    claim = ruling.claim
    quote = f"“{claim.quote}”" if claim.is_verbatim else claim.quote
    rows.append(
      (
        f"{quote}\n{claim.where}",
        claim.criterion,
        _numbers(ruling),
        _verdict(dict(zip(rulings, by_ssim, strict=True))),
      )
    )
  return [
    blocks_lib.Heading(2, "Claims"),
    blocks_lib.Paragraph(
      "SSIM in this table is that of the authors' released code "
      f"(`{_MAIN_SSIM}`), since the paper names no settings; where another "
      "definition comes to another verdict, it is named. “Operational” "
      "marks a reading of ours, where the paper gives no measure. ± is half a "
      "95 % interval, over seeds or over test images. Each line of numbers is "
      "a part of the claim, and “Rules” below says how they are weighed."
    ),
    blocks_lib.Table(
      ("The paper says", "Held to", "We measured", "Verdict"),
      rows,
      is_prose=True,
    ),
    blocks_lib.Paragraph("Sentences that no number here tests:"),
    blocks_lib.Bullets(paper_claims.NOT_TESTED),
  ]


def _numbers(ruling: verdicts.Ruling) -> str:
  """A line for each part."""
  lines = []
  for finding in ruling.findings:
    part = finding.part
    mark = _TONES[finding.verdict][0]
    line = f"{mark} {part.text}: {_estimate(finding.estimate, part)}"
    if part.paper is not None and not ruling.claim.any_part:
      line += f" (paper {_minus_sign(f'{part.paper:+.3f}')})"
    lines.append(line)
  counts = [x.estimate for x in ruling.findings if x.estimate is not None]
  if counts:
    seeds = sorted({len(x.seeds) for x in counts})
    images = sorted({x.num_images for x in counts if x.num_images})
    text = f"{'–'.join(map(str, dict.fromkeys((seeds[0], seeds[-1]))))} "
    text += "seed" if seeds == [1] else "seeds"
    if images:
      text += f", {images[-1]:,} images"
    else:
      text += ", no scores of single images"
    lines.append(f"({text})")
  return "\n".join(lines)


def _estimate(
  estimate: estimates_lib.Estimate | None, part: verdicts.Part
) -> str:
  if estimate is None:
    return "not run"
  metric = part.terms[0].metric

  def form(value: float, sign: str = "") -> str:
    if part.relative:
      return f"{100 * value:{sign}.1f} %"
    if metric == measurements_lib.MSE:
      return f"{1e4 * value:{sign}.2f}·10⁻⁴"
    return f"{value:{sign}.4f}"

  is_level = len(part.terms) == 1
  text = form(estimate.value, "" if is_level else "+")
  for interval, over in (
    (estimate.over_seeds, "seeds"),
    (estimate.over_images, "images"),
  ):
    if interval is not None:
      text += f" ± {form(interval.half_width)} {over}"
  return _minus_sign(text)


def _minus_sign(text: str) -> str:
  """Numbers as typeset, with a minus as wide as their plus."""
  return text.replace("-", "−")


def _verdict(
  by_ssim: dict[str, verdicts.Ruling],
) -> blocks_lib.Cell:
  ruling = by_ssim[_MAIN_SSIM]
  mark, tone = _TONES[ruling.verdict]
  text = f"{mark} {ruling.verdict.value}"
  if ruling.claim.any_part and ruling.verdict is verdicts.Verdict.HOLDS:
    where = [
      finding.part.text.removeprefix("σ² = ")
      for finding in ruling.findings
      if finding.verdict is verdicts.Verdict.HOLDS
    ]
    text += f" at σ² = {', '.join(where)}"
  if paper_claims.uses_ssim(ruling.claim):
    others = [
      f"by `{ssim}`: {other.verdict.value}"
      for ssim, other in by_ssim.items()
      if other.verdict != ruling.verdict
    ]
    text = "\n".join([text, *others])
  return blocks_lib.Cell(text, tone)


def _table1(evidence: measurements_lib.Evidence) -> list[blocks_lib.Block]:
  level = paper_values.TABLE1_NOISE
  blocks: list[blocks_lib.Block] = [
    blocks_lib.Heading(2, "Table 1"),
    blocks_lib.Paragraph(
      f"Mean SSIM on MNIST at σ² = {tables.display_number(level)}, ± half the "
      "95 % interval over seeds. The paper names no settings of SSIM. "
      "`ssim_uniform7_range2` is what the authors' code computes (uniform "
      "window of 7 px, range 2), `ssim_uniform7` the same with range 1, `ssim` "
      "that of Wang et al. (Gaussian window of 11 px), not to be compared with "
      "the paper's column. “Continued” is the control: the second phase "
      "without classification. λ is 9 for SR² and 0.11 for the sequential "
      "networks."
    ),
  ]
  for scale in paper_values.SCALES:
    rows = []
    for method in names.METHODS:
      subject = paper_values.subject(method, scale)
      known = paper_values.TABLE1.get((method, scale))
      rows.append(
        (
          names.method(method).title,
          "—" if known is None else f"{known:.3f}",
          *(
            _mean(evidence, subject, ssim, level) for ssim in paper_values.SSIMS
          ),
          _seeds(evidence, subject, _MAIN_SSIM, level),
        )
      )
    blocks += [
      blocks_lib.Heading(3, f"Table 1, x{scale}"),
      blocks_lib.Table(
        (
          f"x{scale}",
          "Paper",
          *(f"`{ssim}`" for ssim in paper_values.SSIMS),
          "Seeds",
        ),
        rows,
      ),
    ]
  return blocks


def _abstract(evidence: measurements_lib.Evidence) -> list[blocks_lib.Block]:
  sr2 = paper_values.subject("sr2_fsrcnn", 4)
  sequential = paper_values.subject("sequential_fsrcnn", 4)
  rows, seeds = [], set[int]()
  for level in paper_values.LEVELS:
    cells: list[str | blocks_lib.Cell] = [tables.display_number(level)]
    for metric in (*paper_values.SSIMS, "accuracy"):
      terms = [
        estimates_lib.Term(1.0, subject, metric, rows_lib.Condition(level))
        for subject in (sr2, sequential)
      ]
      gain = estimates_lib.relative(evidence, *terms)
      if gain is not None:
        seeds.update(gain.seeds)
      if metric in (_MAIN_SSIM, "accuracy"):
        # Of other seeds the means would not be those behind the gain.
        cells += [
          _mean(evidence, subject, metric, level, of=gain and gain.seeds)
          for subject in (sequential, sr2)
        ]
      cells.append(_percent(gain))
    rows.append(cells)
  of_seeds = f" (here {', '.join(map(str, sorted(seeds)))})" if seeds else ""
  return [
    blocks_lib.Heading(2, "The abstract's two numbers"),
    blocks_lib.Paragraph(
      "“On upsampling by factor 4, we outperform sequential approaches in "
      "terms of SSIM by 10% and improve classification by 69%”, at a noise "
      "level that the paper does not name. SR² FSRCNN (λ = 9) over Sequential "
      "FSRCNN (λ = 0.11) on MNIST at x4: the gain of the mean over seeds, ± "
      "half its 95 % interval over paired seeds. All means are over the seeds "
      f"that both have{of_seeds}."
    ),
    blocks_lib.Table(
      (
        "σ²",
        f"Sequential\n`{_MAIN_SSIM}`",
        f"SR²\n`{_MAIN_SSIM}`",
        f"Gain\n`{_MAIN_SSIM}`",
        *(f"Gain\n`{ssim}`" for ssim in paper_values.SSIMS[1:]),
        "Sequential\naccuracy",
        "SR²\naccuracy",
        "Gain\naccuracy",
      ),
      rows,
    ),
  ]


def _control(evidence: measurements_lib.Evidence) -> list[blocks_lib.Block]:
  blocks: list[blocks_lib.Block] = [
    blocks_lib.Heading(2, "Control: is it the classification?"),
    blocks_lib.Paragraph(
      "The second phase changes three things at once: the classifier's "
      "gradient, a learning rate 100 times smaller, and more epochs. The "
      "control, “continued”, runs the same phase with λ = 0. A gain of SR² "
      "over its baseline is credited to classification only where SR² lies "
      "above the control as well, with the interval over seeds. Differences of "
      f"`{_MAIN_SSIM}` and `ssim`, ± half the 95 % interval over paired seeds; "
      "on MNIST unless it says SVHN, with the number of shared layers (sl.). "
      "The baseline has as many as SR² has: it is SR²'s own pretraining."
    ),
  ]
  mnist, svhn = paper_values.MNIST, paper_values.SVHN
  settings = [
    *itertools.product([mnist], ("fsrcnn", "wdsr"), paper_values.SCALES, [1]),
    *itertools.product([svhn], ["wdsr"], paper_values.SCALES, (1, 4)),
  ]
  for dataset, trunk, scale, shared_layers in settings:
    sr2, baseline, control = (
      paper_values.subject(
        method, scale, dataset=dataset, shared_layers=shared_layers
      )
      for method in (f"sr2_{trunk}", trunk, f"sr_continued_{trunk}")
    )
    rows = []
    for level in paper_values.LEVELS:
      cells: list[str | blocks_lib.Cell] = [tables.display_number(level)]
      for ssim in (_MAIN_SSIM, "ssim"):
        estimates = [
          estimates_lib.estimate(evidence, _minus(sr2, other, ssim, level))
          for other in (baseline, control)
        ]
        cells += [_signed(estimate) for estimate in estimates]
        cells.append(_credit(*estimates))
      rows.append(cells)
    title = f"{names.method(trunk).title} at x{scale}"
    if dataset == svhn:
      title += f", SVHN, {shared_layers} sl."
    short = ("SR² − baseline", "SR² − continued", "Credited")
    blocks += [
      blocks_lib.Heading(3, title),
      blocks_lib.Table(
        (
          "σ²",
          *(f"{text}\n`{_MAIN_SSIM}`" for text in short),
          *(f"{text}\n`ssim`" for text in short),
        ),
        rows,
      )
      if any(cell is not _NOT_RUN for row in rows for cell in row[1:3])
      else blocks_lib.Paragraph("Not run."),
    ]
  return blocks


def _minus(
  above: measurements_lib.Subject,
  below: measurements_lib.Subject,
  metric: str,
  level: float,
) -> list[estimates_lib.Term]:
  condition = rows_lib.Condition(level)
  return [
    estimates_lib.Term(1.0, above, metric, condition),
    estimates_lib.Term(-1.0, below, metric, condition),
  ]


def _credit(
  over_baseline: estimates_lib.Estimate | None,
  over_control: estimates_lib.Estimate | None,
) -> blocks_lib.Cell:
  """Whether a gain over the baseline exceeds the control's."""
  if over_baseline is None or over_control is None:
    return _NOT_RUN
  gain, credit = over_baseline.over_seeds, over_control.over_seeds
  if gain is None or credit is None:
    return blocks_lib.Cell("? one seed", "open")
  if gain.low > 0 and credit.low > 0:
    return blocks_lib.Cell("✓ yes", "good")
  if gain.high < 0 or credit.high < 0:
    return blocks_lib.Cell("✗ no", "bad")
  return blocks_lib.Cell("? undecided", "open")


def _figures(evidence: measurements_lib.Evidence) -> list[blocks_lib.Block]:
  subject = paper_values.subject
  ssim_name = "SSIM (authors' code)"
  blocks: list[blocks_lib.Block] = [blocks_lib.Heading(2, "Figures")]

  def add_curves(
    title: str, text: str, specs: Sequence[paper_figures.CurvesSpec]
  ) -> None:
    pictures = [paper_figures.curves(evidence, spec) for spec in specs]
    blocks.append(blocks_lib.Heading(3, title))
    wanted = [of for spec in specs for of in spec.subjects]
    text = (
      f"{text} A panel is of the seeds that all its curves have. Bands are "
      "95 % intervals over seeds; zero noise stands left of the break."
      f"{_missing(evidence, wanted)}"
    )
    blocks.append(
      blocks_lib.Figure([x for x in pictures if x is not None], text)
    )

  def add_panels(title: str, text: str, spec: paper_figures.PanelsSpec) -> None:
    picture = paper_figures.panels(evidence, spec)
    blocks.append(blocks_lib.Heading(3, title))
    text += (
      " Not run, or without example images."
      if picture is None
      else " Networks are those of the first seed."
    )
    blocks.append(blocks_lib.Figure([picture] if picture else [], text))

  add_curves(
    "Fig. 4: accuracy on MNIST",
    "Accuracy of SR² FSRCNN (λ = 9) and Sequential FSRCNN (λ = 0.11).",
    [
      paper_figures.CurvesSpec(
        f"fig4_x{scale}",
        f"MNIST, x{scale}",
        "accuracy",
        "Accuracy",
        tuple(subject(x, scale) for x in ("sequential_fsrcnn", "sr2_fsrcnn")),
      )
      for scale in paper_values.SCALES
    ],
  )
  add_panels(
    "Fig. 5: a 0 at x4",
    "MNIST, σ² = 10⁻³, the first 0 of the test images; what the classifiers "
    "read stands below.",
    paper_figures.PanelsSpec(
      "fig5",
      1e-3,
      0,
      subject("bicubic", 4),
      (
        "truth",
        "input",
        subject("sequential_fsrcnn", 4),
        subject("sr2_fsrcnn", 4),
      ),
    ),
  )
  add_curves(
    "Fig. 6: SSIM on MNIST",
    f"`{_MAIN_SSIM}` of FSRCNN, Sequential FSRCNN and SR² FSRCNN, and of the "
    "control that the paper does not have.",
    [
      paper_figures.CurvesSpec(
        f"fig6_x{scale}",
        f"MNIST, x{scale}",
        _MAIN_SSIM,
        ssim_name,
        tuple(
          subject(x, scale)
          for x in (
            "fsrcnn",
            "sr_continued_fsrcnn",
            "sequential_fsrcnn",
            "sr2_fsrcnn",
          )
        ),
      )
      for scale in paper_values.SCALES
    ],
  )
  add_panels(
    "Fig. 7: the weight of classification",
    "MNIST, x4, σ² = 3.2·10⁻⁴. The paper does not name its digit: the first 0 "
    "of the test images. The control has λ = 0.",
    paper_figures.PanelsSpec(
      "fig7",
      3.2e-4,
      0,
      subject("bicubic", 4),
      (
        "truth",
        subject("bicubic", 4),
        subject("fsrcnn", 4),
        subject("sr_continued_fsrcnn", 4),
        subject("sr2_fsrcnn", 4, loss_weight=0.11),
        subject("sr2_fsrcnn", 4),
      ),
    ),
  )

  def svhn(
    method: str, scale: int, shared: int = 1
  ) -> measurements_lib.Subject:
    return subject(
      method, scale, dataset=paper_values.SVHN, shared_layers=shared
    )

  add_panels(
    "Fig. 8: shared layers at x2",
    "SVHN, σ² = 10⁻⁴, the first 3 of the test images; sl. is the number of "
    "shared layers.",
    paper_figures.PanelsSpec(
      "fig8",
      1e-4,
      3,
      svhn("bicubic", 2),
      (
        "truth",
        svhn("bicubic", 2),
        svhn("wdsr", 2),
        svhn("sr2_wdsr", 2),
        svhn("sr2_wdsr", 2, 4),
      ),
    ),
  )
  add_panels(
    "Fig. 9: shared layers at x4",
    "SVHN, σ² = 10⁻³, the first 4 of the test images.",
    paper_figures.PanelsSpec(
      "fig9",
      1e-3,
      4,
      svhn("bicubic", 4),
      ("truth", "input", svhn("wdsr", 4), svhn("sr2_wdsr", 4, 4)),
    ),
  )
  add_curves(
    "Fig. 10: SSIM on SVHN",
    f"`{_MAIN_SSIM}` of WDSR and of SR² WDSR with 1 and 4 shared layers (sl.); "
    "the paper does not say at which scale.",
    [
      paper_figures.CurvesSpec(
        f"fig10_x{scale}",
        f"SVHN, x{scale}",
        _MAIN_SSIM,
        ssim_name,
        (
          svhn("wdsr", scale),
          svhn("sr2_wdsr", scale),
          svhn("sr2_wdsr", scale, 4),
        ),
      )
      for scale in paper_values.SCALES
    ],
  )
  return blocks


def _missing(
  evidence: measurements_lib.Evidence,
  subjects: Iterable[measurements_lib.Subject],
) -> str:
  missing = [
    f"{paper_values.full_name(subject)} at x{subject.scale}"
    for subject in subjects
    if subject not in evidence
  ]
  return f" Not run: {', '.join(missing)}." if missing else ""


def _beyond(evidence: measurements_lib.Evidence) -> list[blocks_lib.Block]:
  blocks: list[blocks_lib.Block] = [
    blocks_lib.Heading(2, "Beyond Gaussian noise"),
    blocks_lib.Paragraph(
      "The paper's claim is about unseen degradations; it tests Gaussian "
      "noise. Here others stand in its place, with the same networks. SSIM is "
      f"`{_MAIN_SSIM}`; means over seeds, ± half the 95 % interval."
    ),
  ]
  settings = itertools.product(
    (paper_values.MNIST, paper_values.SVHN), paper_values.SCALES
  )
  for dataset, scale in settings:
    known = evidence.corruptions(dataset, scale)
    if known:
      blocks += _beyond_tables(evidence, known, dataset=dataset, scale=scale)
    elif dataset == paper_values.MNIST:
      blocks.append(blocks_lib.Paragraph(f"Not run on {dataset} at x{scale}."))
  return blocks


def _beyond_tables(
  evidence: measurements_lib.Evidence,
  corruptions: dict[str, tuple[float, ...]],
  *,
  dataset: str,
  scale: int,
) -> list[blocks_lib.Block]:
  """SSIM and accuracy of every method that was run, a row a degradation."""
  strong = paper_values.STRONG_NOISE
  conditions = [
    (
      f"Gaussian noise, σ² = {tables.display_number(strong)}",
      rows_lib.Condition(strong),
    ),
    *(
      (
        f"{corruption.title} {level:g}",
        rows_lib.Condition(0.0, kind, level),
      )
      for kind, corruption in names.CORRUPTIONS.items()
      for level in corruptions.get(kind, ())
    ),
  ]
  on_svhn = dataset == paper_values.SVHN
  subjects = dict.fromkeys(
    paper_values.subject(
      method, scale, dataset=dataset, shared_layers=shared_layers
    )
    for method in names.METHODS
    for shared_layers in ((1, 4) if on_svhn else (1,))
  )
  blocks: list[blocks_lib.Block] = []
  for metric, name in ((_MAIN_SSIM, "SSIM"), ("accuracy", "Accuracy")):
    # Of methods that nobody ran, or that do not classify, no column.
    columns = [
      subject
      for subject in subjects
      if any(evidence.by_seed(subject, metric, c) for _, c in conditions[1:])
    ]
    if not columns:
      continue
    blocks += [
      blocks_lib.Heading(3, f"{name}{', SVHN' if on_svhn else ''}, x{scale}"),
      blocks_lib.Table(
        (
          "Degradation",
          *(_name_and_seeds(evidence, subject, metric) for subject in columns),
        ),
        [
          (
            text,
            *(
              _mean_at(evidence, subject, metric, condition)
              for subject in columns
            ),
          )
          for text, condition in conditions
        ],
      ),
    ]
  absent = [
    corruption.title.partition(",")[0]
    for kind, corruption in names.CORRUPTIONS.items()
    if kind not in corruptions
  ]
  if absent:
    blocks.append(blocks_lib.Paragraph(f"Not run: {', '.join(absent)}."))
  return blocks


def _name_and_seeds(
  evidence: measurements_lib.Evidence,
  subject: measurements_lib.Subject,
  metric: str,
) -> str:
  """A column's heading: seeds differ between methods, and so do their means."""
  name = paper_values.full_name(subject)
  seeds = evidence.seeds(subject, metric)
  if not seeds:
    return name
  return f"{name}\n{tables.number_of_seeds(len(seeds))}"


def _rules(rulings: Sequence[verdicts.Ruling]) -> list[blocks_lib.Block]:
  tested = [
    ruling
    for ruling in rulings
    if ruling.verdict is not verdicts.Verdict.NOT_RUN
  ]
  parts = sum(
    finding.estimate is not None
    for ruling in rulings
    for finding in ruling.findings
  )
  return [
    blocks_lib.Heading(2, "Rules"),
    blocks_lib.Bullets(verdicts.RULES),
    blocks_lib.Paragraph(
      f"Tested here: {len(tested)} of {len(rulings)} claims, {parts} parts "
      "with numbers."
    ),
  ]


def _runs(
  evidence: measurements_lib.Evidence, *, command: str
) -> list[blocks_lib.Block]:
  claims = _all_claims(_MAIN_SSIM, evidence)
  wanted = [
    paper_values.subject(method, scale)
    for scale in paper_values.SCALES
    for method in names.METHODS
  ]
  wanted += paper_claims.required_subjects(claims)
  absent = [
    f"{paper_values.full_name(subject)}, {subject.dataset}, x{subject.scale}"
    for subject in dict.fromkeys(wanted)
    if subject not in evidence
  ]
  blocks: list[blocks_lib.Block] = [
    blocks_lib.Heading(2, "Where the numbers come from"),
    blocks_lib.Paragraph("This page was written by"),
    blocks_lib.Code(command),
    blocks_lib.Paragraph(
      "from these runs, by their `results.jsonl`, `config.json`, `per_image/` "
      "and `examples/`. Epochs are those of `pretrain` + `joint`."
    ),
    runs_lib.table(evidence.runs()),
  ]
  if absent:
    blocks += [
      blocks_lib.Paragraph("Missing, and shown as not run above:"),
      blocks_lib.Bullets(absent),
    ]
  if evidence.notes:
    blocks += [
      blocks_lib.Paragraph("Choices and faults in the files:"),
      blocks_lib.Bullets(evidence.notes),
    ]
  return blocks


def _mean(
  evidence: measurements_lib.Evidence,
  subject: measurements_lib.Subject,
  metric: str,
  level: float,
  *,
  of: Collection[int] | None = None,
) -> str | blocks_lib.Cell:
  condition = rows_lib.Condition(level)
  return _mean_at(evidence, subject, metric, condition, of=of)


def _mean_at(
  evidence: measurements_lib.Evidence,
  subject: measurements_lib.Subject,
  metric: str,
  condition: rows_lib.Condition,
  *,
  of: Collection[int] | None = None,
) -> str | blocks_lib.Cell:
  """Of some seeds, or of all."""
  values = [
    value
    for seed, value in evidence.by_seed(subject, metric, condition).items()
    if of is None or seed in of
  ]
  if not values:
    return _NOT_RUN
  interval = intervals.interval(values)
  if interval is None:
    return f"{values[0]:.3f}"
  return f"{interval.mean:.3f} ± {interval.half_width:.3f}"


def _seeds(
  evidence: measurements_lib.Evidence,
  subject: measurements_lib.Subject,
  metric: str,
  level: float,
) -> str:
  values = evidence.by_seed(subject, metric, rows_lib.Condition(level))
  if not values:
    return "—"
  if set(values) == {None}:
    return "no training" if subject.method == "bicubic" else "released"
  return str(len(values))


def _signed(estimate: estimates_lib.Estimate | None) -> str | blocks_lib.Cell:
  if estimate is None:
    return _NOT_RUN
  text = f"{estimate.value:+.4f}"
  if estimate.over_seeds is not None:
    text += f" ± {estimate.over_seeds.half_width:.4f}"
  return _minus_sign(text)


def _percent(estimate: estimates_lib.Estimate | None) -> str | blocks_lib.Cell:
  if estimate is None:
    return _NOT_RUN
  text = f"{100 * estimate.value:+.1f}"
  if estimate.over_seeds is not None:
    text += f" ± {100 * estimate.over_seeds.half_width:.1f}"
  return _minus_sign(f"{text} %")
