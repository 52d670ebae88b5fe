"""SR2_FSRCNN at x2 on MNIST: Table 1, and figures 4 and 6.

  python -m sr2_jax.main --config=experiments/fsrcnn_x2.py --config.num_seeds=3

The evaluation after `pretrain` is the baseline FSRCNN. The paper's mean SSIM
on the test digits at noise variance 1e-4, over three trainings:
  FSRCNN 0.944, SR2_FSRCNN 0.942
by an SSIM that it does not name (authors' code: `ssim_uniform7_range2`).
The sequential pipeline of the same figures, from the same pretraining:
  --config.experiment=sequential_fsrcnn_x2 --config.init_from=runs/fsrcnn_x2
  --config.model.wiring=sequential --config.joint.loss_weight=0.11
"""

import ml_collections

from experiments import default


def get_config() -> ml_collections.ConfigDict:
  """FSRCNN trunk, x2, lambda 9."""
  config = default.get_config()
  config.experiment = "fsrcnn_x2"
  config.model.trunk = "fsrcnn"
  config.degradation.scale = 2
  return config
