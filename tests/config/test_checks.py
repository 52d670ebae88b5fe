import pytest

from experiments import default
from sr2_jax import errors
from sr2_jax.config import checks, derived


def _config(**changes):
  """The default config with some fields changed, by dotted name."""
  config = default.get_config()
  config.update_from_flattened_dict(changes)
  return config


# What SRMD needs beside its trunk.
SRMD = {"model.trunk": "srmd", "model.wiring": "none", "joint.num_epochs": 0}


def _message(config):
  with pytest.raises(errors.UserError) as caught:
    checks.validate(config)
  message = str(caught.value)
  assert len(message.splitlines()) <= 2
  return message


def test_srmd_is_valid():
  config = _config(**SRMD)
  checks.validate(config)
  assert derived.phases(config) == ("pretrain",)
  assert derived.method(config, "pretrain").key == "srmd_retrained"


def test_default_is_valid():
  checks.validate(default.get_config())


def test_value_that_its_field_does_not_accept():
  message = _message(_config(**{"joint.loss_weight": (0.1, -9.0)}))
  assert message.startswith("config.joint.loss_weight has to be one or more")
  assert message.endswith("not (0.1, -9.0).")


def test_unknown_field_names_the_nearest():
  config = default.get_config()
  config.joint.los_weight = (1.0,)
  assert "did you mean config.joint.loss_weight?" in _message(config)


def test_missing_field():
  config = default.get_config()
  del config.adam["eps"]
  assert "config.adam.eps is missing" in _message(config)


def test_a_corruption_may_be_left_out():
  config = default.get_config()
  del config.eval["corruptions"]
  checks.validate(config)


@pytest.mark.parametrize(
  ("changes", "expected"),
  [
    ({"seed": 2**32 - 1, "num_seeds": 2}, "config.num_seeds"),
    ({"model.shared_layers": 2}, "config.model.shared_layers"),
    ({"model.expansion": 4}, "config.model.expansion"),
    (
      {"model.trunk": "wdsr", "model.batch_norm": False},
      "config.model.batch_norm",
    ),
    (
      {"model.trunk": "wdsr", "model.transposed_convolution": True},
      "config.model.transposed_convolution",
    ),
    ({"model.trunk": "srmd"}, 'config.model.wiring has to be "none"'),
    ({**SRMD, "joint.num_epochs": 1}, "config.joint.num_epochs has to be 0"),
    ({**SRMD, "init_from": "runs/other"}, "config.init_from"),
    ({**SRMD, "model.shared_layers": 2}, "config.model.shared_layers"),
    ({**SRMD, "model.expansion": 2}, 'trunk "srmd"'),
    ({**SRMD, "model.batch_norm": False}, "config.model.batch_norm"),
    (
      {**SRMD, "model.transposed_convolution": True},
      "config.model.transposed_convolution",
    ),
    # At x2 the degradation's blur has a variance of 1.25 px².
    ({**SRMD, "srmd.min_blur_variance": 1.3}, "degradation's blur, 1.25 px²"),
    ({**SRMD, "srmd.max_blur_variance": 1.2}, "config.srmd.min_blur_variance"),
    (
      {
        **SRMD,
        "srmd.max_blur_variance": 1.2,
        "degradation.anti_aliasing": False,
        "degradation.blur_sigma_per_scale": 0.2,
        "srmd.min_blur_variance": 0.2,
      },
      "0.16 px²",
    ),
    ({"eval.srmd.weights": "package"}, "config.eval.srmd.pca"),
    ({"degradation.scale": 3}, "28x28"),
    ({"degradation.scale": 7, "data.name": "svhn_cropped"}, "32x32"),
    ({"augmentation.max_shift": 28}, "config.augmentation.max_shift"),
    ({"data.name": "folder"}, "config.data.path"),
    ({"data.name": "folder", "data.path": "no/such"}, "no/such"),
    ({"data.path": "somewhere"}, "config.data.path"),
    ({"data.labels": "labels.csv"}, "config.data.labels is only for"),
    ({"data.fit": "crop"}, "config.data.fit is only for"),
    ({"augmentation.crop": 29}, "crop=29 does not fit into images of 28x28"),
    ({"augmentation.crop": 13}, "divide the crop size of 13x13 px; 13 does; "),
    (
      {"augmentation.crop": 14, "augmentation.max_shift": 14},
      "moves crops of 14x14 px out of sight",
    ),
    ({"data.max_train_images": 63}, "config.batch_size"),
    (
      {
        "degradation.blur_sigma_per_scale": 0.0,
        "eval.corruptions.blur": (2.0,),
      },
      "config.eval.corruptions.blur",
    ),
    ({"pretrain.num_epochs": 0, "joint.num_epochs": 0}, "nothing to train"),
    (
      {
        "joint.learning_rate.shared": 0.0,
        "joint.learning_rate.sr": 0.0,
        "joint.learning_rate.classifier": 0.0,
      },
      "config.joint.learning_rate",
    ),
    (
      {
        "model.wiring": "none",
        "joint.learning_rate.shared": 0.0,
        "joint.learning_rate.sr": 0.0,
      },
      "config.joint.learning_rate",
    ),
  ],
)
def test_wrong_combination(changes, expected):
  assert expected in _message(_config(**changes))


@pytest.mark.parametrize(
  "changes",
  [
    {"model.trunk": "wdsr", "model.shared_layers": 16, "model.expansion": 4},
    {"model.batch_norm": False, "model.transposed_convolution": True},
    {"model.wiring": "none"},
    {"degradation.scale": 7, "data.name": "mnist5k"},
    {"joint.learning_rate.shared": 0.0, "joint.learning_rate.sr": 0.0},
    {"data.max_train_images": 64},
  ],
)
def test_right_combination(changes):
  checks.validate(_config(**changes))


def test_a_folder_that_may_not_be_looked_into(tmp_path, monkeypatch):
  def refused(path, **_):
    raise PermissionError(13, "Permission denied", path)

  path = {"data.name": "folder", "data.path": str(tmp_path / "photos")}
  with monkeypatch.context() as patch:
    patch.setattr("os.stat", refused)
    message = _message(_config(**path))
  assert "photos" in message
  assert "which is not a folder" in message


def test_folder_that_exists(tmp_path):
  changes = {"data.name": "folder", "data.path": str(tmp_path)}
  checks.validate(_config(**changes))
  checks.validate(_config(**changes, **{"data.fit": "crop"}))


@pytest.mark.parametrize(
  ("changes", "expected"),
  [
    ({"data.labels": "no.csv"}, 'config.data.labels is "no.csv", which is not'),
    ({"data.fit": "pad"}, 'config.data.fit="pad" needs config.data.size'),
    ({"data.fit": "resize"}, "needs config.data.size, as in 32x16"),
    ({"data.size": "32x15"}, "size of 32x15 px; config.data.size=32x14 fits"),
    ({"data.size": "32x10"}, "at least 11 px"),
  ],
)
def test_own_images_that_cannot_be(changes, expected, tmp_path):
  folder = {"data.name": "folder", "data.path": str(tmp_path)}
  assert expected in _message(_config(**folder, **changes))


@pytest.mark.parametrize(
  ("size", "expected"),
  [
    ((10, 28), "at least 11 px"),
    ((28, 10), "at least 11 px"),
    ((12, 15), "does not divide the image size of 12x15 px; 3 does"),
    ((13, 17), "does not divide the image size of 13x17 px."),
  ],
)
def test_image_size_that_does_not_fit(size, expected):
  with pytest.raises(errors.UserError, match=expected):
    checks.validate_image_size(default.get_config(), *size)


def test_images_of_a_folder_can_be_cropped():
  config = _config(**{"data.name": "folder", "degradation.scale": 4})
  with pytest.raises(
    errors.UserError, match=r"; 5 does; config\.data\.fit=crop .* 12x32 px"
  ):
    checks.validate_image_size(config, 15, 35)
  with pytest.raises(errors.UserError, match=r"size of 11x35 px\.$"):
    checks.validate_image_size(config, 11, 35)


def test_image_size_that_fits():
  checks.validate_image_size(default.get_config(), 12, 40)


@pytest.mark.parametrize(
  ("changes", "expected"),
  [
    ({"data.low_res_path": "none"}, 'low_res_path is "none", which is not a'),
    ({"data.fit": "pad", "data.size": "32x32"}, 'fit="pad" is not for pairs'),
    ({"data.fit": "resize", "data.size": "32x32"}, 'resize" is not for pairs'),
    (
      {"data.size": "33x32", "augmentation.crop": 32},
      "size=33x32 has to be a multiple of config.degradation.scale=2",
    ),
    (SRMD, "config.model.trunk=srmd is not for config.data.low_res_path: SRMD"),
    (
      {"eval.srmd.weights": "package", "eval.srmd.pca": "x"},
      "config.eval.srmd.weights is not for config.data.low_res_path",
    ),
    ({"eval.corruptions.blur": (2.0,)}, "blur has to be empty with"),
  ],
)
def test_pairs_that_cannot_be(changes, expected, tmp_path):
  of_pairs = {"data.name": "folder", "data.path": str(tmp_path)}
  of_pairs["data.low_res_path"] = str(tmp_path)
  checks.validate(_config(**of_pairs))
  assert expected in _message(_config(**{**of_pairs, **changes}))


def test_pairs_are_for_folders_alone(tmp_path):
  message = _message(_config(**{"data.low_res_path": str(tmp_path)}))
  assert 'config.data.low_res_path is only for config.data.name="folder"' in (
    message
  )
