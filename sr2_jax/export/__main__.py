"""Exports a trained network to files that run without sr2_jax.

Usage:
  python -m sr2_jax.export FOLDER|FILE [--out=FOLDER] [--to=FORM,FORM]
                           [more flags]
Installed with pip, sr2-export is the same command. ONNX and StableHLO need the
extra `export`: pip install ".[export]" in a clone.

Examples:
  python -m sr2_jax.export runs/quickstart --out=exported
      All three forms of every seed, such as
      exported/sr2_fsrcnn_x4_seed_0.onnx.
  python -m sr2_jax.export runs/quickstart --to=onnx --seeds=first \\
      --dtype=float16
      One ONNX file of half the size.

A program takes images of any size and number. It is compared with JAX at eight
sizes or more before anything is written.

Weights:
  FOLDER|FILE               A run folder, a folder of weights in it, or one
                            .safetensors file; --weights=... means the same.
  --method=NAME             Which network of a run folder; the last by default.
  --checkpoint=last|best    Of a folder; "last" by default.
  --seeds=all|first|0,2     Members to export, each to files of its own.
  --member=K                Which L2 strength and loss weight, if there are
                            several; leave it out for a list.

Files:
  --to=FORM,FORM            Any of these; all by default.
      safetensors           The weights, for sr2_jax or your own code.
      onnx                  A program with its weights, for onnxruntime.
      stablehlo             A program with its weights, for JAX on CPU, GPU or
                            TPU.
  --dtype=float32|float16   What the weights are stored in; they are computed
                            with in float32. float16 halves a file, and the
                            command says what that costs.
  --out=FOLDER              Where files go; sr2_exported by default.
  --force                   Replace files that exist.
  --quiet                   Only errors.
  --help                    This text.

Exit codes:
  0    all files are written
  2    something to fix: a flag, the weights, a package; one or two lines say
       what
  130  stopped by Ctrl-C, 143 by SIGTERM; files that were written are complete

Super-resolution draws what is likely, not what was there. Not evidence.
"""

import os
import sys
from collections.abc import Sequence

from sr2_jax import errors, program
from sr2_jax.export import command_line, plan


@program.entry(stopped="stopped by {}; files that were written are complete.")
def main(arguments: Sequence[str] | None = None) -> int:
  """Runs the command; returns its exit code."""
  arguments = sys.argv[1:] if arguments is None else arguments
  if program.asks_for_help(arguments):
    print((__doc__ or "").strip())
    return errors.DONE
  run(command_line.parse(arguments))
  return errors.DONE


def run(command: command_line.Command) -> None:
  """Does what a command asks for."""
  planned = plan.prepare(command)
  # Programs are for all platforms, and compared on this one.
  os.environ["JAX_PLATFORMS"] = "cpu"
  from sr2_jax import cpu_tuning

  cpu_tuning.prepare()
  from sr2_jax.export import work
  from sr2_jax.training import network

  members = [origin.member for origin in planned.chosen.origins]
  trained = network.from_files(planned.chosen.paths, members=members)
  work.Work(planned, trained).do()


if __name__ == "__main__":
  sys.exit(main())
