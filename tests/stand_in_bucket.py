"""As `stand_in`, but its run folder is in a bucket: one process.

Each host has a scratch folder of its own, as if it were another machine. What
`orders.json` would say is in the file that $ORDERS names.
"""

import os
import shutil
import sys

from sr2_jax.buckets import address as address_lib
from sr2_jax.buckets import fetch, owner, sending
from tests import clusters, stand_in

# Sooner than runs have it, so that the tests need not wait.
owner.BEAT, owner.STALE, owner.LOOK = 0.3, 4.0, 0.1
_FLAG = "--workdir="


def main(arguments):
  [url] = [x.removeprefix(_FLAG) for x in arguments if x.startswith(_FLAG)]
  # Of the actor, and of the raylet that is the host.
  host = clusters.parent(os.getppid())
  os.environ["SR2_JAX_SCRATCH_DIR"] += f"/host_{host}"
  address = address_lib.parse(url, "--workdir")
  folder = address_lib.scratch(address)
  store = fetch.connected(address)
  folder.mkdir(parents=True, exist_ok=True)
  with sending.sending(store, folder, url, every=0.2):
    shutil.copy(os.environ["ORDERS"], folder / "orders.json")
    return stand_in.main([f"{_FLAG}{folder}"])


if __name__ == "__main__":
  sys.exit(main(sys.argv[1:]))
