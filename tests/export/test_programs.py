"""Portable programs, and the comparison that stands before every file."""

import jax
import numpy as np
import pytest

from sr2_jax import errors
from sr2_jax.export import programs
from tests import random_network


@pytest.fixture(scope="module")
def trained():
  return random_network.make(seeds=(0, 1))


def test_a_portable_program_is_the_network(trained):
  images = np.random.default_rng(0).random((2, 5, 13, 1), np.float32)
  expected = trained.apply(images)["super_res"]
  for member in (0, 1):
    variables = programs.variables_of(trained, member)
    program = programs.portable(trained.network.model, variables)
    found = jax.jit(program)(images)
    assert found.keys() == {"super_res"}
    assert found["super_res"].dtype == np.float32
    np.testing.assert_allclose(found["super_res"], expected[member], atol=1e-5)


def test_rounded():
  found = programs.rounded({"a": np.float32([1 / 3, -65504])})
  assert found["a"].dtype == np.float16
  np.testing.assert_array_equal(found["a"], np.float16([1 / 3, -65504]))
  with pytest.raises(errors.UserError, match=r"--dtype=float16: a weight is"):
    programs.rounded({"a": np.float32([7e4])})


def test_the_reference_has_the_sizes_of_training_too(trained):
  assert programs.Reference(trained).sizes == programs.SIZES
  wide = random_network.make("wdsr", scale=4, channels=3)
  other = type(wide.network)(wide.network.model, (9, 6, 3))
  reference = programs.Reference(type(wide)(other, wide.variables, ()))
  assert reference.sizes == (*programs.SIZES, (9, 6))


def cases(*sizes):
  random = np.random.default_rng(0)
  made = []
  for side in sizes:
    low_res = random.random((3, side, side, 1), np.float32)
    made.append((low_res, {"super_res": low_res * 4, "logits": low_res[:, 0]}))
  return made


def exact(low_res):
  return {"super_res": low_res * 4, "logits": low_res[:, 0]}


def test_the_largest_difference_is_a_part_of_the_range():
  [case] = cases(5)
  _, expected = case

  def program(images):
    outputs = exact(images)
    outputs["super_res"] = outputs["super_res"] + np.float32(8e-6)
    return outputs

  found = programs.check("a.onnx", program, [case])
  # The batch of one has another largest value than the batch of three.
  scales = [expected["super_res"][:n].max() for n in (1, 3)]
  assert found == pytest.approx(8e-6 / min(scales), rel=0.1)
  assert programs.check("a.onnx", exact, cases(1, 7)) == 0


def test_compiled_programs_see_one_batch_of_each_size():
  shapes = []

  def program(low_res):
    shapes.append(low_res.shape[:2])
    return exact(low_res)

  programs.check("a", program, cases(2, 7, 8), compiles=True)
  assert shapes == [(3, 2), (1, 7), (3, 8)]
  shapes.clear()
  programs.check("a", program, cases(2, 7))
  assert shapes == [(3, 2), (1, 2), (3, 7), (1, 7)]


def _wrong_at_7(low_res):
  outputs = exact(low_res)
  outputs["logits"] = outputs["logits"] + (low_res.shape[1] == 7) * 1e-3
  return outputs


def _wrong_alone(low_res):
  return exact(low_res + (len(low_res) == 1) * np.float32(1e-3))


def _not_a_number(low_res):
  return {**exact(low_res), "logits": low_res[:, 0] * np.nan}


def _without_logits(low_res):
  return {"super_res": low_res * 4}


def _of_another_shape(low_res):
  return {**exact(low_res), "super_res": low_res[..., 0] * 4}


@pytest.mark.parametrize(
  ("program", "problem"),
  [
    (_wrong_at_7, "a.onnx is wrong at 7x7: logits differs by 1.0e-03"),
    (_wrong_alone, "a.onnx is wrong at 2x2: super_res differs by"),
    (_not_a_number, "a.onnx is wrong at 2x2: logits differs by nan"),
    (_without_logits, "a.onnx is wrong at 2x2: logits differs by nan"),
    (_of_another_shape, "a.onnx is wrong at 2x2: super_res differs by nan"),
  ],
)
def test_a_difference_is_refused(program, problem):
  with pytest.raises(errors.UserError) as raised:
    programs.check("a.onnx", program, cases(2, 7))
  assert str(raised.value).startswith(problem)
  assert "Nothing was written." in str(raised.value)
  assert len(str(raised.value).splitlines()) == 2
