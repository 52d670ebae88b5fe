from benchmarks.accelerators import gpu_cost
from tests.benchmarks.accelerators import snippets


def test_kernels_and_what_libraries_are_asked_for():
  found = gpu_cost.summary(snippets.GPU)
  assert found["step"] == {}
  call = found["call"]
  assert call["kernels"] == 6
  assert call["by_kind"] == {"custom-call": 3, "fusion": 2, "copy": 1}
  assert (call["cudnn"], call["grouped"], call["cublas"]) == (2, 1, 1)
  assert call["copies"] == [1, 128]
  assert call["transposes"] == [1, 128]
  assert call["by_region"]["L2 and Adam"] == 1


def test_a_step_is_apart_from_its_call():
  found = gpu_cost.summary(snippets.TPU)
  assert found["call"]["kernels"] == 1
  assert found["step"]["kernels"] == 53  # 50 of them in a loop
