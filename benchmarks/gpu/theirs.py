"""PyTorch's side on a GPU: the networks of `benchmarks.theirs`, at their best.

channels_last, TF32 as ours, cuDNN's own search, fused Adam. The step runs as it
is, and captured in a CUDA graph; `torch.compile` is another row, because it
takes long to compile.
"""

import functools
import time
from collections.abc import Callable
from typing import Any

import torch  # pyright: ignore[reportMissingImports]

from benchmarks import goals, prepared, theirs

_WARM_UP = 5
_TRIALS = 20


def training_step(case: dict[str, Any]) -> prepared.Prepared:
  """Training steps on a prepared batch, in the faster of the ways.

  Args:
    case: "network", "scale", "batch_size", "device" ("cuda" or "cpu"), and
      "compiles": whether to use `torch.compile`.
  """
  device = case["device"]
  torch.backends.cuda.matmul.allow_tf32 = True
  torch.backends.cudnn.allow_tf32 = True
  torch.backends.cudnn.benchmark = True
  ways = {"plain": functools.partial(_plain, case, compiles=False)}
  if case["compiles"]:
    ways = {"compiled": functools.partial(_plain, case, compiles=True)}
  elif device == "cuda":
    ways["graph"] = functools.partial(_graph, case)
  steps, seconds, failed = {}, {}, {}
  for name, make in ways.items():
    try:
      steps[name] = make()
      seconds[name] = _seconds(steps[name], device)
    except Exception as error:
      failed[name] = " ".join(f"{type(error).__name__}: {error}".split())[:300]
  if not seconds:
    raise RuntimeError("; ".join(failed.values()))
  fastest = min(seconds, key=lambda name: seconds[name])

  def work(count: int) -> None:
    for _ in range(count):
      steps[fastest]()
    _wait(device)

  return prepared.Prepared(
    work, {"way": fastest, "trial_step_s": seconds, "failed": failed}
  )


def _wait(device: str) -> None:
  if device == "cuda":
    torch.cuda.synchronize()


def _seconds(step: Callable[[], None], device: str) -> float:
  """Seconds of a step."""
  step()
  _wait(device)
  begin = time.perf_counter()
  for _ in range(_TRIALS):
    step()
  _wait(device)
  return (time.perf_counter() - begin) / _TRIALS


def _parts(case: dict[str, Any]) -> tuple[Any, theirs.Batch, str]:
  device = case["device"]
  network = theirs.network_of(case).to(device).train()
  low_res, high_res, label = theirs.batch_of(case["scale"], case["batch_size"])
  batch = low_res.to(device), high_res.to(device), label.to(device)
  return network, batch, goals.NETWORKS[case["network"]].wiring


def _plain(case: dict[str, Any], *, compiles: bool) -> Callable[[], None]:
  network, batch, wiring = _parts(case)
  loss_of: Callable[..., torch.Tensor] = theirs.loss_of
  if compiles:
    # "reduce-overhead" captures CUDA graphs. A CPU only shows that it works.
    if case["device"] == "cuda":
      loss_of = torch.compile(loss_of, mode="reduce-overhead")
    else:
      loss_of = torch.compile(loss_of, backend="aot_eager")
  optimizer = theirs.adam(network, wiring, fused=True)

  def step() -> None:
    optimizer.zero_grad(set_to_none=True)
    loss_of(network, batch, wiring).backward()
    optimizer.step()

  for _ in range(_WARM_UP):
    step()
  return step


def _graph(case: dict[str, Any]) -> Callable[[], None]:
  """The whole step as one CUDA graph."""
  network, batch, wiring = _parts(case)
  optimizer = theirs.adam(network, wiring, fused=True, capturable=True)

  def step() -> None:
    optimizer.zero_grad(set_to_none=True)
    theirs.loss_of(network, batch, wiring).backward()
    optimizer.step()

  side = torch.cuda.Stream()
  side.wait_stream(torch.cuda.current_stream())
  with torch.cuda.stream(side):
    for _ in range(_WARM_UP):
      step()
  torch.cuda.current_stream().wait_stream(side)
  graph = torch.cuda.CUDAGraph()
  with torch.cuda.graph(graph):
    step()
  return graph.replay


KINDS = {"training_step": training_step}
