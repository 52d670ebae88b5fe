"""A run of seconds, for tests: SR2_FSRCNN at x4 on a handful of digits."""

import ml_collections

from experiments import default


def get_config() -> ml_collections.ConfigDict:
  """Two seeds, both phases, 20 and 8 steps."""
  config = default.get_config()
  config.experiment = "tiny"
  config.num_seeds = 2
  config.batch_size = 8
  config.data.name = "mnist5k"
  config.data.max_train_images = 32
  config.degradation.scale = 4
  config.loss.l2 = (1e-5,)
  config.pretrain.num_epochs = 5
  config.joint.num_epochs = 2
  config.eval.noise_variances = (0.0, 1e-3)
  config.eval.batch_size = 16
  config.eval.max_images = 24
  config.eval.every_epochs = 1
  config.eval.validation_noise_variances = (0.0, 1e-3)
  config.eval.batch_norm_batches = 12
  config.eval.epochs = (1,)
  config.eval.splits = ("test",)
  config.checkpoint.every_steps = 3
  config.log.every_steps = 1
  config.log.tensorboard = False
  return config
