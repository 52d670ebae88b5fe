"""Flags, and a line for each mistake."""

import pathlib

import pytest

from sr2_jax import errors
from sr2_jax.export import command_line


def parse(text):
  return command_line.parse(text.split())


def test_defaults():
  command = parse("run")
  assert command.weights == "run"
  assert command.out == pathlib.Path("sr2_exported")
  assert command.to == ("safetensors", "onnx", "stablehlo")
  assert (command.seeds, command.dtype) == ("all", "float32")
  assert not command.force


def test_values():
  command = parse(
    "--to=stablehlo,onnx --seeds=0,2 run --dtype=float16 --out=~/x --force "
    "--method=fsrcnn --checkpoint=best --member=1"
  )
  assert command.weights == "run"
  assert command.to == ("onnx", "stablehlo")
  assert command.seeds == (0, 2)
  assert command.out == pathlib.Path("~/x").expanduser()
  assert (command.dtype, command.force) == ("float16", True)
  assert (command.method, command.checkpoint) == ("fsrcnn", "best")
  assert command.member == 1


def test_the_flag_of_predict_means_the_same():
  assert parse("--weights=run --to=onnx").weights == "run"


@pytest.mark.parametrize(
  ("text", "problem"),
  [
    ("", "Give the weights of one network.\n"),
    ("a b", "Give the weights of one network, not 2: a, b."),
    ("a --weights=b", "not 2: a, b."),
    ("a --dtpye=float16", "no flag --dtpye; did you mean --dtype?"),
    ("a --to=onx", "--to=onx: 'onx' is none of safetensors, onnx, stablehlo."),
    ("a --to=", "--to=: '' is none of"),
    ("a --dtype=int8", "--dtype: invalid choice: 'int8'"),
    ("a --seeds=x", "--seeds=x: give all, first"),
    ("a --out=s3://x", "--out=s3://x: is a URL"),
    ("a --force=1", "--force"),
  ],
)
def test_mistakes(text, problem):
  with pytest.raises(errors.UserError) as raised:
    parse(text)
  assert problem in str(raised.value)
  assert len(str(raised.value).splitlines()) <= 2
