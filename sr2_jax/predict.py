"""Super-resolves and classifies your images with a trained network.

Usage:
  python -m sr2_jax.predict IMAGE|FOLDER|PATTERN ... --weights=NAME|FOLDER|FILE
                            [--out=FOLDER] [more flags]
Installed with pip, sr2-predict is the same command.

Examples:
  python -m sr2_jax.predict --example --weights=sr2_fsrcnn_x4_mnist
      Four digits and a network that both come with the package.
  python -m sr2_jax.predict digit.png --weights=runs/quickstart
      Write sr2_out/digit_x4.png.
  python -m sr2_jax.predict photos --weights=runs/svhn --table=read.csv
      Every image of a folder, and a table of what was read in each.
  python -m sr2_jax.predict 28x28.png --weights=runs/quickstart --degrade \\
      --side-by-side
      Make the low-resolution image first, as the run did, and a picture that
      shows it beside the result.

Images are the LOW-resolution ones, of any size from 1x1: PNG, JPEG, WebP, TIFF,
BMP, GIF, PGM or AVIF. An output has the scale of the network and its name.

Weights:
  --weights=NAME|FOLDER|FILE  Released weights such as fsrcnn_x4_mnist, a run
                            folder, a folder of weights in it, or one
                            .safetensors file. Folders and files may be in a
                            bucket: gs://bucket/run or s3://bucket/run.
  --method=NAME             Which network of a run folder; the last by default.
  --checkpoint=last|best    Of a folder; "last" by default.
  --seeds=all|first|0,2     Members to use; the picture is the mean of all.
  --member=K                Which L2 strength and loss weight, if there are
                            several; leave it out for a list.

Outputs:
  --out=FOLDER              Where files go; sr2_out by default. Folders in a
                            given folder are kept.
  --suffix=TEXT             After the name; _x4 for a network x4. {ext} stands
                            for the image's own suffix.
  --format=png|webp|tiff|npy  png by default. npy is float32, not clipped.
  --bits=auto|8|16          auto: 16 for a 16-bit gray image.
  --color=luma|chroma       For a gray network: gray output, or colors that are
                            enlarged by bicubic interpolation.
  --force                   Replace files that exist.
  --skip-existing           Leave them, and do the rest.

What is predicted:
  --classify=auto|yes|no    auto: images of about the training's size get a
                            label. Images that are cut into tiles never do.
  --table=FILE              One row for each image, as .jsonl or .csv.
  --uncertainty             Where the seeds disagree: a map on a fixed scale
                            (_std.png) and its values (_std.npy).
  --side-by-side            Input, bicubic and result in one picture.
  --degrade[=VARIANCE]      Take the images for high-resolution ones: first blur
                            and shrink them as the run did, and add noise.
  --invert                  Exchange black and white. MNIST is white on black.

How:
  --example                 Take the four digits that come with the package.
  --recursive               Go into the folders in a folder.
  --tile=auto|0|N           Cut images into tiles of N pixels; 0: never; auto:
                            large ones. The result is the same.
  --batch=auto|N            Most images in a call.
  --max-pixels=N            Most pixels of an output.
  --quiet                   Only failures.
  --json                    The rows, and counts at the end, on standard output.
  --help                    This text.

Exit codes:
  0    all images are done
  1    done, but some images failed; each is named in one line
  2    something to fix: a flag, the weights, a file; one or two lines say what
  130  stopped by Ctrl-C, 143 by SIGTERM; finished files stay, and the same
       command with --skip-existing goes on

Where seeds agree they can agree on something that is not there: low
disagreement is no evidence.
Super-resolution draws what is likely, not what was there. Not evidence.
"""

import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from sr2_jax import errors, program
from sr2_jax.prediction import choice as choice_lib
from sr2_jax.prediction import command_line

if TYPE_CHECKING:  # It loads JAX.
  from sr2_jax.prediction import predictor as predictor_lib


def load(
  weights: str | os.PathLike[str],
  *,
  method: str | None = None,
  checkpoint: str | None = None,
  seeds: choice_lib.Seeds = "all",
  member: int | None = None,
) -> "predictor_lib.Predictor":
  """A trained network, to be called with images: `load(weights)(images)`.

  Call it before anything else uses JAX: it makes settings that are fast on the
  CPU. Later it works as well.

  Args:
    weights: a released name, a run folder, a folder of weights in it, or one
      .safetensors file.
    method: which network of a run folder; None: the last that was trained.
    checkpoint: "last" or "best"; None: "last".
    seeds: members to use; the result is their mean.
    member: which L2 strength and loss weight, if there are several.

  Raises:
    UserError: if there are no such weights, or they are damaged.
  """
  chosen = choice_lib.find(
    os.fspath(weights),
    method=method,
    checkpoint=checkpoint,
    seeds=seeds,
    member=member,
  )
  return _predictor(chosen)


def _predictor(chosen: choice_lib.Choice) -> "predictor_lib.Predictor":
  """Loads JAX and the network."""
  from sr2_jax import cpu_tuning

  cpu_tuning.prepare()
  from sr2_jax import compilation
  from sr2_jax.prediction import predictor
  from sr2_jax.training import network

  compilation.use_cache()
  members = [origin.member for origin in chosen.origins]
  return predictor.Predictor(network.from_files(chosen.paths, members=members))


@program.entry(
  stopped="stopped by {}; finished files stay, and the same command with "
  "--skip-existing goes on."
)
def main(argv: Sequence[str] | None = None) -> int:
  """Runs a command line, program name first, and returns its exit code."""
  argv = sys.argv if argv is None else argv
  if program.asks_for_help(argv[1:]):
    print((__doc__ or "").strip())
    return errors.DONE
  return run(command_line.parse(argv[1:]))


def run(command: command_line.Command) -> int:
  """Does what a command asks for; returns the exit code."""
  from sr2_jax.prediction import plan as plan_lib

  plan = plan_lib.prepare(command)
  network = _predictor(plan.chosen)
  try:
    network.tile_for(1, 1, command.tile)
  except ValueError as error:
    raise errors.UserError(f"--tile={command.tile}: {error}") from error
  degradation = None
  if command.degrade is not None:
    from sr2_jax.prediction import degraded

    degradation = degraded.Degradation(
      plan.chosen.origins[0],
      channels=network.channels,
      noise_variance=command.degrade,
    )
  from sr2_jax.prediction import session

  return session.Session(plan, network, degradation).work()


if __name__ == "__main__":
  sys.exit(main())
