"""SR2: super-resolution and classification in one network (paper, Fig. 1)."""

import functools

import flax.linen as nn
import jax

from sr2_jax import names
from sr2_jax.models import classifier, conv_choice, fsrcnn, layers, srmd, wdsr
from sr2_jax.models import placement as placement_lib

# A trunk turns the low-resolution image into the features that both tasks may
# share; its head turns features into the super-resolved image. SRMD's trunk
# also takes a description of the degradation.
TRUNKS = {
  "fsrcnn": (fsrcnn.Trunk, fsrcnn.Head),
  "wdsr": (wdsr.Trunk, wdsr.Head),
  "srmd": (srmd.Trunk, srmd.Head),
}

# How many pixels away the image still matters to a super-resolved pixel, by
# trunk, in pixels of the image.
RADIUS = {
  "fsrcnn": fsrcnn.RADIUS,
  "wdsr": wdsr.RADIUS,
  "srmd": srmd.RADIUS,
}

# The top-level subtrees of params and batch_stats.
SUBTREES = ("shared", "sr", "classifier")

# Layers whose kernels the authors leave out of L2 regularization, by name: the
# parent of `kernel` in its path.
L2_EXEMPT = frozenset(
  ("head", "upsample", "skip_upsample", "output", "skip_output", "logits")
)


class SR2(nn.Module):
  """A super-resolution network with or without a classifier.

  The initial values of `shared` and `sr` depend only on the key, not on the
  wiring. Without BatchNorm, `batch_stats` lacks `shared` and `sr`.

  Attributes:
    trunk: a key of TRUNKS.
    wiring: a key of `names.WIRINGS`.
    scale: super-resolution factor.
    channels: channels of the image, 1 or 3.
    num_classes: length of the logits.
    shared_layers: 1 to 16 identity mappings with wdsr, else 1.
    expansion: hidden width of wdsr's identity mappings over their outer width.
    batch_norm: False leaves BatchNorm out of fsrcnn (not of the classifier).
    batch_norm_momentum: momentum of the running statistics.
    transposed_convolution: up-sample as in the original FSRCNN; only fsrcnn.
    classifier_strides: of the classifier's stem and both down mappings.
    frozen: subtrees that run in inference mode even when training.
    axis_name: mapped axis (of devices) that BatchNorm averages over.
    dtype: of the layers' arithmetic, "float32" or "bfloat16"; None: that of
      the images. Outputs always have the type of the images; parameters and
      BatchNorm's statistics are float32.
    convolution: a key of `conv.CONVOLUTIONS`, such as "portable", or "cpu" for
      the forms that are fast on the CPU; the results are equal within rounding.
    choice: forms of convolutions, with "cpu".
  """

  trunk: str
  wiring: str
  scale: int
  channels: int
  num_classes: int = 10
  shared_layers: int = 1
  expansion: int = 1
  batch_norm: bool = True
  batch_norm_momentum: float = 0.99
  transposed_convolution: bool = False
  classifier_strides: tuple[int, ...] = classifier.STRIDES
  frozen: tuple[str, ...] = ()
  axis_name: str | None = None
  dtype: str | None = None
  convolution: str = "portable"
  choice: conv_choice.Choice = conv_choice.RULES

  @nn.compact
  def __call__(
    self,
    low_res: jax.Array,
    description: jax.Array | None = None,
    *,
    start: jax.Array | None = None,
    train: bool,
  ) -> dict[str, jax.Array]:
    """Super-resolves and classifies images of any size.

    Args:
      low_res: [B, H, W, channels] in [0, 1].
      description: of each image's degradation, [B, 16]; only for srmd, which
        needs it.
      start: int [B, 2], first row and column of images that are smaller than
        `low_res` and in its bottom right corner; see `models.placement`.
      train: BatchNorm uses the batch's statistics, except in `frozen`, and
        updates `batch_stats`, which has to be mutable.

    Returns:
      "super_res": [B, scale H, scale W, channels], not clipped; "logits":
      [B, num_classes], except with wiring "none".

    Raises:
      ValueError: for an unknown name, or an option that the trunk lacks.
      TypeError: for a description that the trunk does not take, or a missing
        one with srmd.
    """
    self._check_names()
    trunk_class, head_class = TRUNKS[self.trunk]
    inputs = (low_res,) if description is None else (low_res, description)
    where = placement_lib.of(start, low_res, self.classifier_strides)
    layers_of = functools.partial(self._layers, train=train, placement=where)

    features = trunk_class(
      layers_of("shared"),
      shared_layers=self.shared_layers,
      expansion=self.expansion,
      name="shared",
    )(*inputs)

    super_res = head_class(
      layers_of("sr"),
      scale=self.scale,
      channels=self.channels,
      shared_layers=self.shared_layers,
      expansion=self.expansion,
      transposed_convolution=self.transposed_convolution,
      name="sr",
    )(features)

    outputs = {"super_res": super_res.astype(low_res.dtype)}
    if self.wiring == "none":
      return outputs
    num_classes, strides = self.num_classes, self.classifier_strides
    logits = classifier.ResNet(
      layers_of("classifier"), num_classes, strides, name="classifier"
    )(features if self.wiring == "parallel" else super_res)
    return {**outputs, "logits": logits.astype(low_res.dtype)}

  def _layers(
    self,
    subtree: str,
    *,
    train: bool,
    placement: placement_lib.Placement | None,
  ) -> layers.Layers:
    return layers.Layers(
      train=train and subtree not in self.frozen,
      batch_norm=self.batch_norm or subtree == "classifier",
      momentum=self.batch_norm_momentum,
      axis_name=self.axis_name,
      dtype=self.dtype,
      convolution=self.convolution,
      choice=self.choice,
      placement=placement,
    )

  def _check_names(self) -> None:
    if self.trunk not in TRUNKS:
      raise ValueError(f"trunk {self.trunk!r} is not one of {tuple(TRUNKS)}.")
    if self.wiring not in names.WIRINGS:
      raise ValueError(
        f"wiring {self.wiring!r} is not one of {tuple(names.WIRINGS)}."
      )
    unknown = set(self.frozen) - set(SUBTREES)
    if unknown:
      raise ValueError(f"frozen {sorted(unknown)} is not one of {SUBTREES}.")
