"""A full evaluation against PyTorch and scikit-image."""

import dataclasses
import statistics
from collections.abc import Mapping

from benchmarks import effort as effort_lib
from benchmarks import records, sides

# The row is for all test images of MNIST.
_NUM_IMAGES = 10_000
_SIDE, _PRODUCTS = 2_048, 10
_NOTE = (
  "SR2_FSRCNN x4 in inference mode on {images}; compilation is not counted. "
  "Ours: degradation, noise, network, three SSIMs, PSNR, both losses, accuracy "
  "and F1, over {ours:,} images{ours_scaled}. PyTorch's: prepared "
  "low-resolution images, noise, network and accuracy, then scikit-image's "
  "structural_similarity with the same three settings and "
  "peak_signal_noise_ratio, image by image in {processes} processes, over "
  "{theirs:,} images, scaled up linearly"
)
_RATE_NOTE = (
  "operations of the network alone, {megaflop:.1f} MFLOP for an image at one "
  "noise level by XLA's plain convolutions as they are lowered, over the time "
  "of the whole evaluation: {ours:.1f} GFLOP/s; products in float32, timed in "
  "turn with it: {product:.1f} GFLOP/s. Median of the rounds"
)


def measure(
  both: sides.Sides, effort: effort_lib.Effort
) -> records.Measurement:
  """Seconds for 10,000 images at 8 noise levels on both sides."""
  num_ours, num_theirs = effort.evaluation_images, effort.peer_images
  facts = both.theirs.prepare("all", "evaluation", num_images=num_theirs)
  our_facts = both.ours.prepare("all", "evaluation", num_images=num_ours)
  product = both.ours.prepare("product", "matrix_product", side=_SIDE)
  samples: dict[str, list[float]] = {"ours": [], "theirs": [], "product": []}
  for _ in range(effort.evaluation_rounds):
    samples["ours"].append(both.ours.run("all") * _NUM_IMAGES / num_ours)
    seconds = both.ours.run("product", _PRODUCTS) / _PRODUCTS
    samples["product"].append(seconds)
    samples["theirs"].append(both.theirs.run("all") * _NUM_IMAGES / num_theirs)
  compared = records.versus(samples["ours"], samples["theirs"])
  return dataclasses.replace(
    compared,
    samples={
      **compared.samples,
      "product_s": samples["product"],
      "flop_per_image": our_facts["flop_per_image"],
      "levels": our_facts["levels"],
      "product_flop": product["flop"],
    },
    note=_NOTE.format(
      images=our_facts["images"],
      ours=num_ours,
      ours_scaled="" if num_ours == _NUM_IMAGES else ", scaled up linearly",
      theirs=num_theirs,
      processes=facts["processes"],
    ),
  )


def rate(
  measured: Mapping[str, records.Measurement],
) -> records.Measurement:
  """Percent of the FLOP/s of a matrix product that the evaluation reaches.

  Raises:
    ValueError: if the evaluation was not measured.
  """
  samples = measured["evaluation"].samples if "evaluation" in measured else {}
  if "product_s" not in samples:
    raise ValueError("the evaluation was not measured")
  flop = _NUM_IMAGES * samples["flop_per_image"]
  ours = [flop / seconds for seconds in samples["ours_s"]]
  product = [samples["product_flop"] / s for s in samples["product_s"]]
  shares = [a / b for a, b in zip(ours, product, strict=True)]
  return records.Measurement(
    ours=100 * statistics.median(shares),
    note=_RATE_NOTE.format(
      megaflop=samples["flop_per_image"] / samples["levels"] / 1e6,
      ours=statistics.median(ours) / 1e9,
      product=statistics.median(product) / 1e9,
    ),
  )
