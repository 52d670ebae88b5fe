"""Makes tests/old_weights/weights.tar.xz, which test_old_weights reads.

The archive was made once, with version 0.1.0. It is not made again, because it
shows that later versions load what that one wrote. It holds

released  a folder of released weights, float16: SR2_FSRCNN x4, one seed
run       the weights/ of a run folder, float32: FSRCNN x2, one seed
expected.npz  images, and what that version made of them

The weights follow a short pattern, or the archive would have 14 MB.
"""

import io
import pathlib
import sys
import tarfile
import tempfile

import jax
import numpy as np

from experiments import default
from sr2_jax import predict
from sr2_jax.config import derived
from sr2_jax.records import released, weights
from sr2_jax.records import rows as rows_lib
from sr2_jax.release import folders
from sr2_jax.training import network as network_lib

ARCHIVE = pathlib.Path(__file__).parent / "old_weights" / "weights.tar.xz"


def patterned(leaf):
  """Values whose outputs neither vanish nor explode."""
  count = int(np.prod(leaf.shape))
  period = np.array([0, 3, -2, 5, -4, 1, -1, 2, -5, 4, -3], np.float32)
  values = np.resize(period, count).reshape(leaf.shape)
  if len(leaf.shape) == 1:
    return np.float32(0.5) + values / 32
  return values / np.float32(4 * np.prod(leaf.shape[:-1]) ** 0.5)


def make(scale, phase, dtype):
  """A network's arrays and origin."""
  config = default.get_config()
  config.degradation.scale = scale
  config = derived.resolve(config)
  network = network_lib.build(config, (28, 28, 1), 10, phase=phase)
  shapes = jax.eval_shape(network.init, np.uint32(0))
  arrays = network_lib.flatten(jax.tree.map(patterned, shapes))
  loss_weight = 9.0 if phase == "joint" else None
  origin = weights.Origin(
    config=config.to_dict(),
    image_shape=(28, 28, 1),
    class_names=tuple("0123456789"),
    phase=phase,
    method="sr2_fsrcnn" if phase == "joint" else "fsrcnn",
    member=rows_lib.Member(seed=0, l2=0.01, loss_weight=loss_weight),
    step=8,
    batch_norm="reestimated",
  )
  return {name: x.astype(dtype) for name, x in arrays.items()}, origin


def main():
  with tempfile.TemporaryDirectory() as name:
    folder = pathlib.Path(name)
    model = {released.MODEL: weights.encode(*make(4, "joint", np.float16))}
    folders.write(
      folder / "released", {**model, released.SUMS: folders.sums(model)}
    )
    weights.write(
      folder / "run/weights/pretrain_fsrcnn/seed_0/last.safetensors",
      *make(2, "pretrain", np.float32),
    )
    images = np.random.default_rng(0).random((2, 7, 7, 1), np.float32)
    expected = {"images": images}
    for part in ("released", "run"):
      found = predict.load(folder / part)(images)
      expected[f"{part}_super_res"] = found.super_res
      if found.probabilities is not None:
        expected[f"{part}_probabilities"] = found.probabilities
    data = io.BytesIO()
    np.savez(data, **expected)
    (folder / "expected.npz").write_bytes(data.getvalue())
    ARCHIVE.parent.mkdir(exist_ok=True)
    with tarfile.open(ARCHIVE, "w:xz") as archive:
      for path in sorted(folder.iterdir()):
        archive.add(path, path.name, filter=without_owner)


def without_owner(info):
  info.uid = info.gid = info.mtime = 0
  info.uname = info.gname = ""
  return info


if __name__ == "__main__":
  sys.exit(main())
