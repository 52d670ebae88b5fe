"""What is wrong with a folder of images, all at once, before a run is started.

  python -m sr2_jax.data.check photos --scale=4 --sheet=photos.png
  python -m sr2_jax.data.check --config=experiments/plates.py

The program is `sr2_jax.training.check`, which says what it does.
"""

import sys

from sr2_jax.training import check

if __name__ == "__main__":
  sys.exit(check.main())
