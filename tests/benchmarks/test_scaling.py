"""Arithmetic of benchmarks/scaling.py, and its counts in a program."""

import dataclasses

import jax
import jax.numpy as jnp
import pytest
from jax import lax

from benchmarks import scaling

COST = scaling.Cost(
  flops=8e9,
  products=((8e9, 32, 96),),
  bytes=7e8,
  ops=100,
  collectives=10,
  collective_bytes=1_000_000,
)
DEVICE = scaling.Device(
  "test", 8, 1e13, 1e12, (64, 96), 1e-6, 1e10, collective_seconds=1e-5
)


def test_products_are_rounded_up_to_tiles():
  """32 output features fill half of a tile of 64."""
  assert scaling.padded_flops(COST, DEVICE) == 2 * 8e9


def test_a_step_is_work_launches_and_communication():
  work = 16e9 / (0.5 * 1e13)  # more than 7e8 / (0.7 * 1e12) for memory
  launches, latency = 100e-6, 100e-6

  def seconds(layout, members, devices):
    return scaling.seconds(
      COST, DEVICE, layout=layout, members=members, devices=devices
    )

  assert seconds("members", 8, 8) == pytest.approx(work + launches)
  assert seconds("data", 8, 1) == pytest.approx(8 * work + launches)
  moved = 2 * 7 / 8 * 8e6 / 1e10
  assert seconds("data", 8, 8) == pytest.approx(
    work + launches + latency + moved
  )


def test_work_is_limited_by_memory_if_that_takes_longer():
  cost = dataclasses.replace(COST, bytes=7e10)
  assert scaling.seconds(
    cost, DEVICE, layout="members", members=1, devices=1
  ) == pytest.approx(0.1 + 100e-6)


def test_products_of_convolutions_and_matrices():
  """Zeros in the gradient of a stride do not count."""

  def program(image, kernel, matrix):
    y = lax.conv_general_dilated(
      image, kernel, (2, 2), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    return jax.jit(jnp.matmul)(y, matrix).sum()

  inputs = jnp.ones((2, 8, 8, 3)), jnp.ones((3, 3, 3, 5)), jnp.ones((5, 7))
  forward = 2.0 * 2 * 4 * 4 * 5 * 27
  assert list(scaling._products(jax.make_jaxpr(program)(*inputs).jaxpr)) == [
    (forward, 5, 27),
    (2.0 * 2 * 4 * 4 * 7 * 5, 7, 5),
  ]
  gradient = jax.make_jaxpr(jax.grad(program))(*inputs).jaxpr
  input_gradient = [
    (flops, inner)
    for flops, features, inner in scaling._products(gradient)
    if features == 3
  ]
  assert input_gradient == [(forward, 45)]


def test_only_ops_that_run_a_kernel_count():
  hlo = """HloModule m
%fused (p: f32[2]) -> f32[2] {
  %p = f32[2]{0} parameter(0)
  ROOT %a = f32[2]{0} add(%p, %p)
}

ENTRY %main (x: f32[2]) -> f32[2] {
  %x = f32[2]{0} parameter(0)
  %f = f32[2]{0} fusion(%x), kind=kLoop, calls=%fused
  %c = f32[2]{0} copy(%f)
  ROOT %t = (f32[2]{0}) tuple(%c)
}
"""
  assert scaling._num_ops(hlo) == 2
