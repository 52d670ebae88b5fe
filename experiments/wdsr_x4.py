"""SR2_WDSR with one shared layer at x4 on MNIST: Table 1.

  python -m sr2_jax.main --config=experiments/wdsr_x4.py --config.num_seeds=3

The evaluation after `pretrain` is the baseline WDSR. The paper's mean SSIM on
the test digits at noise variance 1e-4, over three trainings:
  WDSR 0.768, SR2_WDSR 0.801
by an SSIM that it does not name (authors' code: `ssim_uniform7_range2`).
Lambda is 9 as in the authors' scripts; the paper gives it only for FSRCNN.
"""

import ml_collections

from experiments import default


def get_config() -> ml_collections.ConfigDict:
  """WDSR trunk, 1 shared layer, x4, lambda 9."""
  config = default.get_config()
  config.experiment = "wdsr_x4"
  config.model.trunk = "wdsr"
  config.degradation.scale = 4
  return config
