"""Our networks in PyTorch, for comparison.

Layers have the names of our parameters, so that weights can be copied by path.
Images are float32 [B, C, H, W] here. PyTorch is in no requirements file:
`pip install torch==2.13.0`.
"""

import collections
from collections.abc import Iterator, Mapping

# The comments let a type checker check the rest without PyTorch.
import torch  # pyright: ignore[reportMissingImports]
from torch import nn  # pyright: ignore[reportMissingImports]

# Layers whose kernels L2 leaves out. This repeats `sr2_jax.models.sr2`, whose
# import would load JAX; a test compares the two.
L2_EXEMPT = frozenset(
  ("head", "upsample", "skip_upsample", "output", "skip_output", "logits")
)


def conv(channels: int, features: int, size: int) -> nn.Conv2d:
  """Convolution that keeps the size of the image."""
  return nn.Conv2d(channels, features, size, padding=size // 2)


def norm(features: int) -> nn.BatchNorm2d:
  """BatchNorm with Keras's defaults."""
  return nn.BatchNorm2d(features, eps=1e-3, momentum=0.01)


def norm_prelu(
  name: str, features: int, batch_norm: bool = True
) -> dict[str, nn.Module]:
  """PReLU, behind BatchNorm unless switched off."""
  layers: dict[str, nn.Module] = {}
  if batch_norm:
    layers[f"{name}_norm"] = norm(features)
  return {**layers, f"{name}_prelu": nn.PReLU(features)}


def sequential(layers: Mapping[str, nn.Module]) -> nn.Sequential:
  """Named layers in sequence."""
  return nn.Sequential(collections.OrderedDict(layers))


class SameStride2(nn.Conv2d):
  """3x3 convolution of stride 2, with TensorFlow's "same" padding."""

  def __init__(self, channels: int, features: int) -> None:
    super().__init__(channels, features, 3, stride=2)

  def forward(self, input: torch.Tensor) -> torch.Tensor:
    """Halves the image, rounding up."""
    height, width = input.shape[-2:]
    padding = (width % 2, 1, height % 2, 1)
    return super().forward(nn.functional.pad(input, padding))


def same_conv(channels: int, features: int, stride: int) -> nn.Conv2d:
  """3x3 convolution of stride 1 or 2, with TensorFlow's "same" padding."""
  if stride == 2:
    return SameStride2(channels, features)
  return conv(channels, features, 3)


class IdentityMapping(nn.Module):
  """Two convolutions behind BatchNorm and PReLU, added to their input."""

  def __init__(self, width: int, expansion: int = 1) -> None:
    super().__init__()
    hidden = expansion * width
    self.conv_0_norm = norm(width)
    self.conv_0_prelu = nn.PReLU(width)
    self.conv_0 = conv(width, hidden, 3)
    self.conv_1_norm = norm(hidden)
    self.conv_1_prelu = nn.PReLU(hidden)
    self.conv_1 = conv(hidden, width, 3)

  def forward(self, x: torch.Tensor) -> torch.Tensor:
    """Features of the input's shape, [B, width, H, W]."""
    y = self.conv_0(self.conv_0_prelu(self.conv_0_norm(x)))
    return x + self.conv_1(self.conv_1_prelu(self.conv_1_norm(y)))


class DownMapping(nn.Module):
  """An identity mapping that halves the image and widens the features."""

  def __init__(self, channels: int, features: int, stride: int) -> None:
    super().__init__()
    self.conv_0_norm = norm(channels)
    self.conv_0_prelu = nn.PReLU(channels)
    self.conv_0 = same_conv(channels, features, stride)
    self.conv_1_norm = norm(features)
    self.conv_1_prelu = nn.PReLU(features)
    self.conv_1 = conv(features, features, 3)
    self.shortcut_norm = norm(channels)
    self.shortcut_prelu = nn.PReLU(channels)
    self.shortcut = same_conv(channels, features, stride)

  def forward(self, x: torch.Tensor) -> torch.Tensor:
    """Maps [B, channels, H, W] to [B, features, H / 2, W / 2]."""
    y = self.conv_0(self.conv_0_prelu(self.conv_0_norm(x)))
    y = self.conv_1(self.conv_1_prelu(self.conv_1_norm(y)))
    return y + self.shortcut(self.shortcut_prelu(self.shortcut_norm(x)))


def fsrcnn_trunk(channels: int, batch_norm: bool = True) -> nn.Sequential:
  """FSRCNN's shared layers."""
  return sequential(
    {"feature": conv(channels, 56, 5), **norm_prelu("feature", 56, batch_norm)}
  )


def fsrcnn_head(
  scale: int,
  channels: int,
  batch_norm: bool = True,
  transposed: bool = False,
) -> nn.Sequential:
  """FSRCNN's layers from features to the image."""
  layers: dict[str, nn.Module] = {"shrink": conv(56, 12, 1)}
  layers |= norm_prelu("shrink", 12, batch_norm)
  for i in range(4):
    layers[f"map_{i}"] = conv(12, 12, 3)
    layers |= norm_prelu(f"map_{i}", 12, batch_norm)
  layers["expand"] = conv(12, 56, 1)
  layers |= norm_prelu("expand", 56, batch_norm)
  if transposed:
    layers["upsample"] = nn.ConvTranspose2d(
      56, channels, 9, stride=scale, padding=4, output_padding=scale - 1
    )
    return sequential(layers)
  layers["upsample"] = conv(56, 3 * scale**2, 9)
  layers["shuffle"] = nn.PixelShuffle(scale)
  if channels != 3:
    layers["output"] = conv(3, channels, 1)
  return sequential(layers)


def wdsr_trunk(
  channels: int, shared_layers: int = 1, expansion: int = 1
) -> nn.Sequential:
  """WDSR's shared layers."""
  layers: dict[str, nn.Module] = {"head": conv(channels, 32, 3)}
  for i in range(shared_layers):
    layers[f"mapping_{i}"] = IdentityMapping(32, expansion)
  return sequential(layers)


class WdsrHead(nn.Module):
  """WDSR's layers from features to the image."""

  def __init__(
    self, scale: int, channels: int, shared_layers: int = 1, expansion: int = 1
  ) -> None:
    super().__init__()
    self.head = conv(channels=32, features=32, size=3)
    self.mappings = range(shared_layers, 16)
    for i in self.mappings:
      self.add_module(f"mapping_{i}", IdentityMapping(32, expansion))
    for prefix, size in (("", 3), ("skip_", 5)):
      features = 3 * scale**2
      self.add_module(f"{prefix}upsample", conv(32, features, size))
      self.add_module(f"{prefix}upsample_norm", norm(features))
      self.add_module(f"{prefix}upsample_prelu", nn.PReLU(features))
      output = conv(3, channels, 1) if channels != 3 else nn.Identity()
      self.add_module(f"{prefix}output", output)
    self.shuffle = nn.PixelShuffle(scale)

  def forward(self, x: torch.Tensor) -> torch.Tensor:
    """Maps [B, 32, H, W] to [B, channels, scale H, scale W]."""
    skip = main = self.head(x)
    for i in self.mappings:
      main = self.get_submodule(f"mapping_{i}")(main)
    return self._upsample(main, "") + self._upsample(skip, "skip_")

  def _upsample(self, x: torch.Tensor, prefix: str) -> torch.Tensor:
    for layer in ("upsample", "upsample_norm", "upsample_prelu"):
      x = self.get_submodule(f"{prefix}{layer}")(x)
    return self.get_submodule(f"{prefix}output")(self.shuffle(x))


class SrmdTrunk(nn.Module):
  """SRMD's first convolution, of the image and the maps of its degradation."""

  def __init__(self) -> None:
    super().__init__()
    self.conv_0 = conv(3 + 16, 128, 3)

  def forward(
    self, low_res: torch.Tensor, description: torch.Tensor
  ) -> torch.Tensor:
    """Maps [B, 1 or 3, H, W] and [B, 16] to [B, 128, H, W]."""
    batch, _, *size = low_res.shape
    image = low_res.expand(batch, 3, *size)
    maps = description[:, :, None, None].expand(-1, -1, *size)
    return self.conv_0(torch.cat((image, maps), 1)).relu()


class SrmdHead(nn.Module):
  """SRMD's layers from features to the image."""

  def __init__(self, scale: int, channels: int) -> None:
    super().__init__()
    for i in range(1, 11):
      self.add_module(f"conv_{i}", conv(128, 128, 3))
    self.upsample = conv(128, 3 * scale**2, 3)
    self.shuffle = nn.PixelShuffle(scale)
    self.is_gray = channels == 1

  def forward(self, x: torch.Tensor) -> torch.Tensor:
    """Maps [B, 128, H, W] to [B, channels, scale H, scale W]."""
    for i in range(1, 11):
      x = self.get_submodule(f"conv_{i}")(x).relu()
    x = self.shuffle(self.upsample(x))
    return x.mean(1, keepdim=True) if self.is_gray else x


def classifier(
  channels: int,
  num_classes: int = 10,
  strides: tuple[int, ...] = (1, 2, 2),
) -> nn.Sequential:
  """The reduced ResNet-18."""
  first, second, third = strides
  return sequential(
    {
      "pool_norm": norm(channels),
      "pool": nn.MaxPool2d(3, stride=1, padding=1),
      "pool_prelu": nn.PReLU(channels),
      "stem": same_conv(channels, 64, first),
      **norm_prelu("stem", 64),
      "mapping_0": IdentityMapping(64),
      "mapping_1": IdentityMapping(64),
      "mapping_2": DownMapping(64, 128, second),
      "mapping_3": IdentityMapping(128),
      "mapping_4": DownMapping(128, 256, third),
      "mapping_5": IdentityMapping(256),
      "mean": nn.AdaptiveAvgPool2d(1),
      "flatten": nn.Flatten(),
      "dense": nn.Linear(256, 1000),
      "dense_norm": nn.BatchNorm1d(1000, eps=1e-3, momentum=0.01),
      "dense_prelu": nn.PReLU(1000),
      "logits": nn.Linear(1000, num_classes),
    }
  )


class SR2(nn.Module):
  """Super-resolution network, with or without a classifier."""

  def __init__(
    self,
    shared: nn.Module,
    sr: nn.Module,
    classifier: nn.Module | None = None,
    wiring: str = "none",
  ) -> None:
    super().__init__()
    self.shared, self.sr, self.classifier = shared, sr, classifier
    self.wiring = wiring

  def forward(
    self, low_res: torch.Tensor, *description: torch.Tensor
  ) -> dict[str, torch.Tensor]:
    """Maps [B, C, h, w] to "super_res" and, with a classifier, "logits"."""
    features = self.shared(low_res, *description)
    super_res = self.sr(features)
    if self.classifier is None:
      return {"super_res": super_res}
    seen = features if self.wiring == "parallel" else super_res
    return {"super_res": super_res, "logits": self.classifier(seen)}


def create(trunk: str, wiring: str, *, scale: int, channels: int) -> SR2:
  """Network with the architecture of our `SR2` of the same arguments."""
  shared, sr, width = {
    "fsrcnn": (fsrcnn_trunk, fsrcnn_head, 56),
    "wdsr": (wdsr_trunk, WdsrHead, 32),
  }[trunk]
  seen = {"none": None, "parallel": width, "sequential": channels}[wiring]
  return SR2(
    shared(channels),
    sr(scale, channels),
    classifier(seen) if seen else None,
    wiring,
  )


def regularized(network: nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
  """Names and values of the kernels that L2 shrinks (scope "authors")."""
  for name, module in network.named_modules():
    is_kernel = isinstance(module, nn.Conv2d | nn.Linear)
    if is_kernel and name.rpartition(".")[2] not in L2_EXEMPT:
      yield f"{name}.weight", module.weight
