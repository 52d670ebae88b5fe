"""The machine and the time of a measurement."""

import datetime
import importlib.metadata
import os
import pathlib
import platform
import re
from typing import Any

from sr2_jax.records import provenance

ROOT = pathlib.Path(__file__).parents[1]

_PACKAGES = ("jax", "jaxlib", "flax", "optax", "numpy", "torch", "scikit-image")


def describe() -> dict[str, Any]:
  """Processor, packages, load and date, without names of hosts or people."""
  packages = {}
  for name in _PACKAGES:
    try:
      packages[name] = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
      packages[name] = "missing"
  return {
    "date": datetime.datetime.now().astimezone().isoformat(timespec="minutes"),
    "processor": _processor(),
    "cores": provenance.cpu_cores(),
    "memory_gb": _memory_gb(),
    "load_average": os.getloadavg() if hasattr(os, "getloadavg") else None,
    "system": f"{platform.system()} {platform.machine()}",
    "python": platform.python_version(),
    "packages": packages,
    "git_revision": provenance.git_revision(),
  }


def file_name(description: dict[str, Any], *, quick: bool) -> str:
  """Name of a result file, such as 2026-01-31-1405-2-cores-x86_64.json."""
  date = description["date"][:16].replace("T", "-").replace(":", "")
  kind = description["system"].split()[-1]
  end = "-quick" if quick else ""
  return f"{date}-{description['cores']}-cores-{kind}{end}.json"


def _processor() -> str:
  try:
    text = pathlib.Path("/proc/cpuinfo").read_text()
  except OSError:
    return platform.processor() or platform.machine()
  model = re.search(r"^model name\s*: (.*)$", text, re.MULTILINE)
  return model[1] if model else platform.machine()


def _memory_gb() -> float | None:
  try:
    size = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
  except (AttributeError, ValueError, OSError):
    return None
  return round(size / 1e9, 1)
