"""SR2_FSRCNN at x4 on MNIST: Table 1, and figures 4, 5, 6 and 7.

  python -m sr2_jax.main --config=experiments/fsrcnn_x4.py --config.num_seeds=3

The evaluation after `pretrain` is the baseline FSRCNN. The paper's mean SSIM
on the test digits at noise variance 1e-4, over three trainings:
  FSRCNN 0.796, SR2_FSRCNN 0.828
by an SSIM that it does not name (authors' code: `ssim_uniform7_range2`).
Figure 7 needs lambda 0.11 as well: --config.joint.loss_weight=0.11,9
The sequential pipeline of figures 4 to 6, from the same pretraining:
  --config.experiment=sequential_fsrcnn_x4 --config.init_from=runs/fsrcnn_x4
  --config.model.wiring=sequential --config.joint.loss_weight=0.11
"""

import ml_collections

from experiments import default


def get_config() -> ml_collections.ConfigDict:
  """FSRCNN trunk, x4, lambda 9."""
  config = default.get_config()
  config.experiment = "fsrcnn_x4"
  config.model.trunk = "fsrcnn"
  config.degradation.scale = 4
  return config
