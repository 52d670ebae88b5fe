"""What a run gets of a cluster: a slice of TPU chips, or GPUs of one node.

Names and sizes are from the manuals of Google Cloud and Ray.
"""

import dataclasses
import difflib
import math
from collections.abc import Sequence

from sr2_jax import errors


@dataclasses.dataclass(frozen=True)
class Tpu:
  """A generation of TPU.

  Attributes:
    gce: its name in types of Compute Engine, as in v5litepod-16.
    gke: its name in Kubernetes' node labels.
    topologies: that slices have.
    on_one_host: most chips of a slice that is one host.
    cores_per_chip: as types count; 0 where they count chips.
  """

  gce: str
  gke: str
  topologies: tuple[str, ...]
  on_one_host: int
  cores_per_chip: int = 0

  @property
  def ray(self) -> str:
    """Its name as Ray's `accelerator_type`."""
    return f"TPU-{self.gce.upper()}"


_FLAT = ("1x1", "2x2", "2x4", "4x4", "4x8", "8x8", "8x16", "16x16")
_CUBES = (
  "2x2x1", "2x2x2", "2x2x4", "2x4x4", "4x4x4", "4x4x8", "4x8x8", "8x8x8",
  "8x8x16", "8x16x16",
)  # fmt: skip
TPUS: dict[str, Tpu] = {
  "v4": Tpu("v4", "tpu-v4-podslice", _CUBES, 4, 2),
  "v5e": Tpu(
    "v5litepod",
    "tpu-v5-lite-podslice",
    (*_FLAT[:3], "2x8", *_FLAT[3:]),
    8,
  ),
  "v5p": Tpu("v5p", "tpu-v5p-slice", _CUBES, 4, 2),
  "v6e": Tpu("v6e", "tpu-v6e-slice", _FLAT, 8),
}
# A host of a slice of several hosts has so many.
CHIPS_PER_HOST = 4

# Names as people type them -> Kubernetes' (cloud.google.com/gke-accelerator).
GPUS: dict[str, str] = {
  "a100": "nvidia-tesla-a100",
  "b200": "nvidia-b200",
  "h100": "nvidia-h100-80gb",
  "h200": "nvidia-h200-141gb",
  "l4": "nvidia-l4",
}
_MOST_GPUS = 16
EMULATED, EMULATED_GPU = "emulated", "emulated-gpu"
# Other names of the same.
_ALIASES = {tpu.gce: name for name, tpu in TPUS.items()}
# Parts of a host that a run can take: the chips of each, and how libtpu says
# their shape.
CUTS: dict[str, tuple[int, str]] = {"1x1": (1, "1,1,1"), "2x2": (4, "2,2,1")}
_FIRST_PORT = 8476  # libtpu's usual one; parts of a host need different ones


@dataclasses.dataclass(frozen=True)
class Slice:
  """What one run gets, whichever it is of those that are there.

  Attributes:
    accelerator: a key of TPUS or GPUS.
    topology: of a TPU slice, as in "2x4"; "" of GPUs.
    hosts: machines, each with a process.
    chips_per_host: TPU chips or GPUs.
    cut: the part of a host that a run takes, as in "2x2"; "" is all of it.
  """

  accelerator: str
  topology: str
  hosts: int
  chips_per_host: int
  cut: str = ""

  @property
  def platform(self) -> str:
    """JAX's name: "tpu" or "gpu", and "cpu" where it is emulated."""
    if self.accelerator in (EMULATED, EMULATED_GPU):
      return "cpu"
    return "tpu" if self.accelerator in TPUS else "gpu"

  @property
  def is_of_gpus(self) -> bool:
    """Whether it is GPUs of a node, emulated ones as well."""
    return not self.topology

  @property
  def chips(self) -> int:
    """Of a run."""
    return CUTS[self.cut][0] if self.cut else self.hosts * self.chips_per_host

  @property
  def num_parts(self) -> int:
    """Runs that share the slice."""
    return self.chips_per_host // self.chips if self.cut else 1

  @property
  def name(self) -> str:
    """As in "v5e-2x4", "v5e-2x4/2x2" or "h100x8"."""
    if self.is_of_gpus:
      return f"{self.accelerator}x{self.chips_per_host}"
    cut = f"/{self.cut}" if self.cut else ""
    return f"{self.accelerator}-{self.topology}{cut}"

  @property
  def gce_type(self) -> str:
    """Compute Engine's name of a TPU slice, as in "v5litepod-8"."""
    tpu = TPUS[self.accelerator]
    chips = self.hosts * self.chips_per_host
    return f"{tpu.gce}-{chips * (tpu.cores_per_chip or 1)}"

  def variables(self, chips: Sequence[int]) -> dict[str, str]:
    """Variables that keep libtpu to one part of a host.

    Args:
      chips: of a run, as numbered on the host.

    Returns:
      {name: value}; {} if these chips are not such a part.
    """
    size, bounds = CUTS[self.cut]
    part = min(chips, default=0) // size
    ids = range(part * size, (part + 1) * size)
    if sorted(chips) != [*ids]:
      return {}
    port = str(_FIRST_PORT + part)
    return {
      # As JAX's own tests of several processes on a host have it.
      "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",
      "CLOUD_TPU_TASK_ID": "0",
      "TPU_PROCESS_ADDRESSES": f"localhost:{port}",
      "TPU_PROCESS_PORT": port,
      "TPU_VISIBLE_CHIPS": ",".join(map(str, ids)),
      "TPU_CHIPS_PER_PROCESS_BOUNDS": bounds,
      "TPU_PROCESS_BOUNDS": "1,1,1",
    }


def find(
  accelerator: str,
  topology: str = "",
  *,
  gpus: int = 0,
  chips_per_host: int = 0,
  cut: str = "",
) -> Slice:
  """The slice that flags mean.

  Args:
    accelerator: TPU or GPU, in any case; "v5litepod" is "v5e".
    topology: of a TPU slice.
    gpus: of a node that a run gets.
    chips_per_host: where a topology comes in two forms; 0 is the usual one.
    cut: the part of a host that a run gets.

  Raises:
    UserError: says what there is.
  """
  name = accelerator.lower()
  name = _ALIASES.get(name, name)
  if name in GPUS:
    for flag, value in (
      ("topology", topology), ("chips_per_host", chips_per_host), ("cut", cut)
    ):  # fmt: skip
      if value:
        raise errors.UserError(f"--{flag} goes with TPUs, not with {name}.")
    if not 1 <= gpus <= _MOST_GPUS:
      raise errors.UserError(
        f"--gpus has to be from 1 to {_MOST_GPUS} (those of a node that a run "
        f"takes), not {gpus}."
      )
    return Slice(name, "", 1, gpus)
  if name not in TPUS:
    known = [*TPUS, *GPUS]
    nearest = sorted(difflib.get_close_matches(name, known, 2))
    hint = f" Did you mean {' or '.join(nearest)}?" if nearest else ""
    raise errors.UserError(
      f"There is no accelerator {accelerator}; there are {', '.join(known)}."
      f"{hint}"
    )
  if gpus:
    raise errors.UserError(f"--gpus goes with GPUs, not with {name}.")
  tpu = TPUS[name]
  if topology not in tpu.topologies:
    raise errors.UserError(
      f"{name} has no topology {topology or '(--topology is missing)'}; it has "
      f"{', '.join(tpu.topologies)}."
    )
  return _tpu_slice(name, tpu, topology, chips_per_host, cut)


def emulated(hosts: int, chips_per_host: int, cut: str = "") -> Slice:
  """A slice whose hosts are of this machine.

  Raises:
    UserError: if there is no such part of its host.
  """
  topology = f"{hosts}x{chips_per_host}"
  if cut:
    _check_cut(cut, "emulated", topology, hosts, chips_per_host)
  return Slice(EMULATED, topology, hosts, chips_per_host, cut)


def emulated_gpus(count: int) -> Slice:
  """GPUs of a node that is of this machine."""
  return Slice(EMULATED_GPU, "", 1, count)


def is_emulated(name: str) -> bool:
  """Whether a slice of this name is of this machine."""
  return name.startswith(EMULATED)


def ray_type(accelerator: str) -> str:
  """Ray's name of a TPU, in the labels of its nodes."""
  return EMULATED if accelerator == EMULATED else TPUS[accelerator].ray


def smallest(accelerator: str, chips: int) -> str:
  """The smallest topology of a TPU that has so many chips."""
  return min(
    (t for t in TPUS[accelerator].topologies if _chips(t) >= chips),
    key=_chips,
  )


def _chips(topology: str) -> int:
  return math.prod(map(int, topology.split("x")))


def _tpu_slice(
  name: str, tpu: Tpu, topology: str, chips_per_host: int, cut: str
) -> Slice:
  chips = _chips(topology)
  usual = chips if chips <= tpu.on_one_host else CHIPS_PER_HOST
  on_host = chips_per_host or usual
  if on_host not in {usual, min(chips, CHIPS_PER_HOST)}:
    raise errors.UserError(
      f"--chips_per_host={chips_per_host}: hosts of {name} {topology} have "
      f"{usual}" + (f" or {CHIPS_PER_HOST}." if usual > CHIPS_PER_HOST else ".")
    )
  if cut:
    _check_cut(cut, name, topology, chips // on_host, on_host)
  return Slice(name, topology, chips // on_host, on_host, cut)


def _check_cut(
  cut: str, name: str, topology: str, hosts: int, on_host: int
) -> None:
  """Refuses parts that a host does not have."""
  if cut not in CUTS or CUTS[cut][0] >= on_host:
    smaller = [name for name, (size, _) in CUTS.items() if size < on_host]
    raise errors.UserError(
      f"--cut={cut}: a host of {on_host} chips can be cut into "
      f"{' or '.join(smaller) or 'no parts'}."
    )
  if hosts > 1:
    raise errors.UserError(
      f"--cut goes with a slice of one host; {name} {topology} has {hosts}."
    )
