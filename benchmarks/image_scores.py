"""Image metrics for a user of PyTorch: scikit-image, one image at a time."""

from typing import Any

import numpy as np
from skimage import metrics

# Wang et al.'s SSIM, then the two readings of the authors' code.
_SSIM: tuple[dict[str, Any], ...] = (
  {
    "gaussian_weights": True,
    "sigma": 1.5,
    "use_sample_covariance": False,
    "data_range": 1.0,
  },
  {"data_range": 1.0},
  {"data_range": 2.0},
)


def sums(images: tuple[np.ndarray, ...]) -> np.ndarray:
  """Sums of three SSIMs and of PSNR in dB over pairs of images.

  Args:
    images: super-resolved and high-resolution images, float32 [N, H, W] each.

  Returns:
    float64 [4].
  """
  total = np.zeros(4)
  for super_res, high_res in zip(*images, strict=True):
    total += [
      *(
        metrics.structural_similarity(high_res, super_res, **settings)
        for settings in _SSIM
      ),
      metrics.peak_signal_noise_ratio(high_res, super_res, data_range=1.0),
    ]
  return total
