"""The paper's figures 4 to 10, and what each shows; no JAX."""

from collections.abc import Sequence

from sr2_jax.report import blocks as blocks_lib
from sr2_jax.report.paper import curve_figure, image_figure
from sr2_jax.report.paper import measurements as measurements_lib
from sr2_jax.report.paper import subjects as subjects_lib
from sr2_jax.report.paper import values as paper_values

_MAIN_SSIM = paper_values.SSIMS[0]
_SSIM_NAME = "SSIM (authors' code)"


def section(
  measurements: measurements_lib.Measurements,
) -> list[blocks_lib.Block]:
  """Each figure with its heading and caption; once, what the others need."""
  figures = {
    "4": _figure4(measurements),
    "5": _figure5(measurements),
    "6": _figure6(measurements),
    "7": _figure7(measurements),
    "8": _figure8(measurements),
    "9": _figure9(measurements),
    "10": _figure10(measurements),
  }
  blocks: list[blocks_lib.Block] = [
    blocks_lib.Heading(2, "The paper's figures")
  ]
  for shown in figures.values():
    blocks += shown
  missing = [number for number, shown in figures.items() if not shown]
  if missing:
    blocks.append(
      blocks_lib.Paragraph(
        f"Not shown: Fig. {', '.join(missing)}. Their images are in the "
        "`examples/` of the run folders: make a sweep, such as `python -m "
        "launch.sweep --sweep=experiments/paper.py:cpu --workdir=runs/paper`, "
        "and give its folder instead of files of rows."
      )
    )
  return blocks


def _figure4(
  measurements: measurements_lib.Measurements,
) -> list[blocks_lib.Block]:
  return _curves(
    measurements,
    "Fig. 4: accuracy on MNIST",
    "Accuracy of SR² FSRCNN (λ = 9) and Sequential FSRCNN (λ = 0.11).",
    [
      curve_figure.Spec(
        f"fig4_x{scale}",
        f"MNIST, x{scale}",
        "accuracy",
        "Accuracy",
        tuple(
          paper_values.subject(method, scale)
          for method in ("sequential_fsrcnn", "sr2_fsrcnn")
        ),
      )
      for scale in paper_values.SCALES
    ],
  )


def _figure5(
  measurements: measurements_lib.Measurements,
) -> list[blocks_lib.Block]:
  return _images(
    measurements,
    "Fig. 5: a 0 at x4",
    "MNIST, σ² = 10⁻³, the first 0 of the test images; below, what the "
    "classifiers read.",
    image_figure.Spec(
      "fig5",
      1e-3,
      0,
      paper_values.subject("bicubic", 4),
      (
        "truth",
        "input",
        paper_values.subject("sequential_fsrcnn", 4),
        paper_values.subject("sr2_fsrcnn", 4),
      ),
    ),
  )


def _figure6(
  measurements: measurements_lib.Measurements,
) -> list[blocks_lib.Block]:
  methods = ("fsrcnn", "sequential_fsrcnn", "sr2_fsrcnn")
  return _curves(
    measurements,
    "Fig. 6: SSIM on MNIST",
    f"`{_MAIN_SSIM}` of FSRCNN, Sequential FSRCNN and SR² FSRCNN. The control, "
    "which the paper does not have, is in the differences above.",
    [
      curve_figure.Spec(
        f"fig6_x{scale}",
        f"MNIST, x{scale}",
        _MAIN_SSIM,
        _SSIM_NAME,
        tuple(paper_values.subject(method, scale) for method in methods),
      )
      for scale in paper_values.SCALES
    ],
  )


def _figure7(
  measurements: measurements_lib.Measurements,
) -> list[blocks_lib.Block]:
  return _images(
    measurements,
    "Fig. 7: the weight of classification",
    "MNIST, x4, σ² = 3.2·10⁻⁴. The paper does not name its digit; this is the "
    "first 0 of the test images. The control has λ = 0.",
    image_figure.Spec(
      "fig7",
      3.2e-4,
      0,
      paper_values.subject("bicubic", 4),
      (
        "truth",
        paper_values.subject("bicubic", 4),
        paper_values.subject("fsrcnn", 4),
        paper_values.subject("sr_continued_fsrcnn", 4),
        paper_values.subject("sr2_fsrcnn", 4, loss_weight=0.11),
        paper_values.subject("sr2_fsrcnn", 4),
      ),
    ),
  )


def _figure8(
  measurements: measurements_lib.Measurements,
) -> list[blocks_lib.Block]:
  return _images(
    measurements,
    "Fig. 8: shared layers at x2",
    "SVHN, σ² = 10⁻⁴, the first 3 of the test images.",
    image_figure.Spec(
      "fig8",
      1e-4,
      3,
      _on_svhn("bicubic", 2),
      (
        "truth",
        _on_svhn("bicubic", 2),
        _on_svhn("wdsr", 2),
        _on_svhn("sr2_wdsr", 2),
        _on_svhn("sr2_wdsr", 2, shared_layers=4),
      ),
    ),
  )


def _figure9(
  measurements: measurements_lib.Measurements,
) -> list[blocks_lib.Block]:
  return _images(
    measurements,
    "Fig. 9: shared layers at x4",
    "SVHN, σ² = 10⁻³, the first 4 of the test images.",
    image_figure.Spec(
      "fig9",
      1e-3,
      4,
      _on_svhn("bicubic", 4),
      (
        "truth",
        "input",
        _on_svhn("wdsr", 4),
        _on_svhn("sr2_wdsr", 4, shared_layers=4),
      ),
    ),
  )


def _figure10(
  measurements: measurements_lib.Measurements,
) -> list[blocks_lib.Block]:
  return _curves(
    measurements,
    "Fig. 10: SSIM on SVHN",
    f"`{_MAIN_SSIM}` of WDSR and of SR² WDSR with 1 and 4 shared layers; "
    "the paper does not say at which scale.",
    [
      curve_figure.Spec(
        f"fig10_x{scale}",
        f"SVHN, x{scale}",
        _MAIN_SSIM,
        _SSIM_NAME,
        (
          _on_svhn("wdsr", scale),
          _on_svhn("sr2_wdsr", scale),
          _on_svhn("sr2_wdsr", scale, shared_layers=4),
        ),
      )
      for scale in paper_values.SCALES
    ],
  )


def _on_svhn(
  method: str, scale: int, *, shared_layers: int = 1
) -> subjects_lib.Subject:
  return paper_values.subject(
    method, scale, dataset=paper_values.SVHN, shared_layers=shared_layers
  )


def _curves(
  measurements: measurements_lib.Measurements,
  title: str,
  caption: str,
  specs: Sequence[curve_figure.Spec],
) -> list[blocks_lib.Block]:
  pictures = [curve_figure.draw(measurements, spec) for spec in specs]
  missing = [
    f"{paper_values.full_name(subject)} at x{subject.scale}"
    for spec in specs
    for subject in spec.subjects
    if subject not in measurements
  ]
  caption += (
    " A panel is of the seeds that all its curves have. Bands are 95 % "
    "intervals over seeds, as far as values can be; zero noise is left of the "
    "break."
  )
  if missing:
    caption += f" Not run: {', '.join(missing)}."
  return [
    blocks_lib.Heading(3, title),
    blocks_lib.Figure([x for x in pictures if x is not None], caption),
  ]


def _images(
  measurements: measurements_lib.Measurements,
  title: str,
  caption: str,
  spec: image_figure.Spec,
) -> list[blocks_lib.Block]:
  """Nothing without example images."""
  picture = image_figure.draw(measurements, spec)
  if picture is None:
    return []
  return [
    blocks_lib.Heading(3, title),
    blocks_lib.Figure(
      [picture], f"{caption} Networks are those of the first seed."
    ),
  ]
