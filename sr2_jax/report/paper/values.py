"""The numbers of Schirrmacher et al., ICIP 2020, and its networks; no JAX.

Noise variances are those of images in [0, 1].
"""

from collections.abc import Iterable

from sr2_jax import names
from sr2_jax.report.paper import subjects as subjects_lib

MNIST, SVHN = "mnist", "svhn_cropped"
# A tenth of MNIST, for a first look where there are no runs on all of it.
STAND_INS = {MNIST: "mnist5k"}
# What the page against the paper is about.
DATA_SETS = frozenset((MNIST, SVHN, *STAND_INS.values()))
SCALES = (2, 4)

# Loss weights (lambda) that the paper chose on its validation data.
LOSS_WEIGHTS = {"sr2": 9.0, "sequential": 0.11, "sr_continued": 0.0}

# Strength of L2 regularization (section 3).
L2 = 0.01
# Epochs of each phase in the authors' script; the paper names none.
AUTHORS_EPOCHS = 120

# Table 1: mean SSIM on MNIST's test digits.
TABLE1_NOISE = 1e-4
TABLE1 = {
  ("srmd", 2): 0.917,
  ("srmd", 4): 0.803,
  ("fsrcnn", 2): 0.944,
  ("fsrcnn", 4): 0.796,
  ("wdsr", 2): 0.950,
  ("wdsr", 4): 0.768,
  ("sr2_fsrcnn", 2): 0.942,
  ("sr2_fsrcnn", 4): 0.828,
  ("sr2_wdsr", 2): 0.959,
  ("sr2_wdsr", 4): 0.801,
}

# Abstract: SR2 over the sequential network at x4, as a fraction of its value.
ABSTRACT_SSIM, ABSTRACT_ACCURACY = 0.10, 0.69

# Figures 5 and 9, the strongest noise that the paper names; figure 7.
STRONG_NOISE, FIGURE7_NOISE = 1e-3, 3.2e-4
# The lowest of the authors' evaluation script, whose levels end at 1e-3.
LOW_NOISE = 1e-5
AUTHORS_RANGE = (1e-5, 3.2e-5, 1e-4, 3.2e-4, 1e-3)
# What this project evaluates at.
LEVELS = (0.0, *AUTHORS_RANGE, 3.2e-3, 1e-2)

# SSIM's definitions. The paper cites Wang et al. and names no settings; the
# authors' released code computes the first, so that one decides on claims.
SSIMS = ("ssim_uniform7_range2", "ssim_uniform7", "ssim")


def subject(
  method: str,
  scale: int,
  *,
  dataset: str = MNIST,
  shared_layers: int = 1,
  loss_weight: float | None = None,
) -> subjects_lib.Subject:
  """A method as the paper trains it, unless another loss weight is given."""
  if loss_weight is None:
    loss_weight = LOSS_WEIGHTS.get(names.method(method).family)
  return subjects_lib.Subject(
    method,
    dataset,
    scale,
    # SRMD and interpolation share nothing.
    None
    if names.method(method).family in ("bicubic", "other")
    else shared_layers,
    loss_weight,
  )


def full_name(of: subjects_lib.Subject) -> str:
  """A title, with what differs from the paper's usual training."""
  text = names.method(of.method).title
  usual = LOSS_WEIGHTS.get(names.method(of.method).family)
  if of.loss_weight != usual:
    text += f", λ = {of.loss_weight:g}"
  # One shared layer is named only where the paper compares it with four.
  is_compared = of.dataset == SVHN and of.method == "sr2_wdsr"
  if is_compared or of.shared_layers not in (None, 1):
    layers = of.shared_layers
    text += f", {layers} shared layer{'s' if layers != 1 else ''}"
  return text


def name_among(
  of: subjects_lib.Subject, shown: Iterable[subjects_lib.Subject]
) -> str:
  """The full name, with the loss weight if its method is shown with several."""
  text = full_name(of)
  weights = {x.loss_weight for x in shown if x.method == of.method}
  if len(weights) > 1 and "λ" not in text:
    text += f", λ = {of.loss_weight:g}"
  return text
