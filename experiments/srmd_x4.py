"""SRMD retrained at x4 on MNIST, to compare with the SRMD of Table 1.

  python -m sr2_jax.main --config=experiments/srmd_x4.py

Method `srmd_retrained`: the network and recipe of Zhang et al. (CVPR 2018; what
they leave out is from cszn/KAIR), trained on the same digits as the other
methods. Each image has its own blur and noise; L1, Adam at 1e-4, no L2. Images
are downsampled as for the other methods, not by bicubic interpolation. The
paper has the released network, which was trained on photographs; its mean SSIM
at noise variance 1e-4, of one run:
  SRMD 0.803
To evaluate the released network as well (method `srmd`):
  --config.eval.srmd.weights=package --config.eval.srmd.pca=srmd_pca_matlab.mat
On the first 2,000 test digits it has `ssim_uniform7` 0.805 with eval.clip;
its eight noise variances took 40 seconds on two busy cores.
"""

import ml_collections

from experiments import default


def get_config() -> ml_collections.ConfigDict:
  """SRMD's network and recipe, x4."""
  config = default.get_config()
  config.experiment = "srmd_x4"
  config.model.trunk = "srmd"
  config.model.wiring = "none"
  config.degradation.scale = 4

  config.loss.super_resolution = "l1"
  config.loss.l2 = (0.0,)
  config.pretrain.learning_rate.shared = 1e-4
  config.pretrain.learning_rate.sr = 1e-4
  config.joint.num_epochs = 0
  return config
