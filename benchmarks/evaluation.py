"""A full evaluation against PyTorch and scikit-image."""

import dataclasses

from benchmarks import effort as effort_lib
from benchmarks import records, sides

# The row is for all test images of MNIST.
_NUM_IMAGES = 10_000
_NOTE = (
  "SR2_FSRCNN x4 in inference mode on {images}; compilation is not counted. "
  "Ours: degradation, noise, network, three SSIMs, PSNR, both losses, accuracy "
  "and F1, over {ours:,} images{ours_scaled}. PyTorch's: prepared "
  "low-resolution images, noise, network and accuracy, then scikit-image's "
  "structural_similarity with the same three settings and "
  "peak_signal_noise_ratio, image by image in {processes} processes, over "
  "{theirs:,} images, scaled up linearly"
)


def measure(
  both: sides.Sides, effort: effort_lib.Effort
) -> records.Measurement:
  """Seconds for 10,000 images at 8 noise levels on both sides."""
  num_ours, num_theirs = effort.evaluation_images, effort.peer_images
  facts = both.theirs.prepare("all", "evaluation", num_images=num_theirs)
  our_facts = both.ours.prepare("all", "evaluation", num_images=num_ours)
  samples: dict[str, list[float]] = {"ours": [], "theirs": []}
  for _ in range(effort.evaluation_rounds):
    samples["ours"].append(both.ours.run("all") * _NUM_IMAGES / num_ours)
    samples["theirs"].append(both.theirs.run("all") * _NUM_IMAGES / num_theirs)
  return dataclasses.replace(
    records.versus(samples["ours"], samples["theirs"]),
    note=_NOTE.format(
      images=our_facts["images"],
      ours=num_ours,
      ours_scaled="" if num_ours == _NUM_IMAGES else ", scaled up linearly",
      theirs=num_theirs,
      processes=facts["processes"],
    ),
  )
