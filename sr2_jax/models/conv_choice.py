"""Which form of a convolution is computed on the CPU, shape by shape.

The rules come from `python -m benchmarks.convolutions`, which times all forms
and marks what the rules choose. Where a processor has other preferences, a run
can time its own shapes and record what differs from the rules.
"""

import dataclasses
import re
import typing
from collections.abc import Callable, Mapping

from sr2_jax.models import conv_forms

# From a form to what computes a part of a convolution by it. At stride 1 an
# input gradient is the result of another convolution. Where both are by "map",
# they share the operator.
PARTS: dict[str, Callable[[conv_forms.Form], conv_forms.Form]] = {
  "result": lambda form: form,
  "kernel gradient": conv_forms.kernel_gradient_by,
  "input gradient": conv_forms.input_gradient_by,
}
_AS_TEXT = re.compile(
  rf"(?P<part>{'|'.join(PARTS)}) of "
  r"(?P<images>\d+) x (?P<size>\d+x\d+) x (?P<channels>\d+), "
  r"kernel (?P<kernel>\d+x\d+) x (?P<features>\d+), "
  r"strides (?P<strides>\d+x\d+), "
  r"padding (?P<rows>\d+\+\d+) and (?P<columns>\d+\+\d+)"
)


class Case(typing.NamedTuple):
  """A part of a convolution of a shape, which has a form of its own.

  Attributes:
    part: a key of PARTS.
    images: B, those of a batch.
    channels: I, those of the images.
    features: O, those of the result.
    geometry: of the convolution.
  """

  part: str
  images: int
  channels: int
  features: int
  geometry: conv_forms.Geometry

  def __str__(self) -> str:
    """The case as config.json has it; `parse` reads it."""
    size, kernel, strides, padding = self.geometry
    sizes = ("x".join(map(str, pair)) for pair in (size, kernel, strides))
    size, kernel, strides = sizes
    rows, columns = ("+".join(map(str, pair)) for pair in padding)
    return (
      f"{self.part} of {self.images} x {size} x {self.channels}, "
      f"kernel {kernel} x {self.features}, strides {strides}, "
      f"padding {rows} and {columns}"
    )

  @property
  def forms(self) -> tuple[str, ...]:
    """Forms that can compute it and are not too large for it, by name."""
    without = set()
    if self.geometry.strides != (1, 1):
      without.add("rows")
    operator = conv_forms.map_operator_size(
      self.channels, self.features, self.geometry
    )
    if operator > conv_forms.LARGEST_OPERATOR:
      without.add("map")
    return tuple(name for name in conv_forms.FORMS if name not in without)

  def by(self, form: str) -> conv_forms.Form:
    """What computes it by a form, a key of `conv_forms.FORMS`."""
    return PARTS[self.part](conv_forms.FORMS[form])


def parse(text: str) -> Case:
  """The case that a text of `Case.__str__` is about.

  Raises:
    ValueError: for another text.
  """
  found = _AS_TEXT.fullmatch(text)
  if found is None:
    raise ValueError(f'"{text}" is no convolution')

  def pair(name: str) -> tuple[int, int]:
    first, second = re.split(r"[x+]", found[name])
    return int(first), int(second)

  geometry = conv_forms.Geometry(
    pair("size"),
    pair("kernel"),
    pair("strides"),
    (pair("rows"), pair("columns")),
  )
  return Case(
    found["part"],
    int(found["images"]),
    int(found["channels"]),
    int(found["features"]),
    geometry,
  )


def by_rules(case: Case) -> str:
  """The form of a case, by the rules."""
  geometry = case.geometry
  if geometry.kernel == (1, 1) or case.part == "input gradient":
    return "patches"
  is_result = case.part == "result"
  if is_result and geometry.strides != (1, 1):
    return "xla"
  if geometry.kernel[1] > geometry.size[1]:
    return _for_wide_kernel(case)
  if not is_result:
    few = geometry.strides == (1, 1) and case.features <= 4
    return "bands" if few and _is_wide(geometry) else "xla"
  # This copies an image KH * KW times; only small ones have been timed.
  if case.channels == 1 and geometry.size[1] <= 32:
    return "patches"
  fewest, most = sorted((case.channels, case.features))
  # RGB, and FSRCNN's up-sampling to gray at x2.
  if fewest in (3, 4) and _is_wide(geometry):
    return "bands"
  return "rows" if fewest > 4 and most <= 16 else "xla"


def _for_wide_kernel(case: Case) -> str:
  """The form for a kernel wider than the map.

  "map" if its operator is small and worth its cost: for a 3x3 kernel always,
  for a larger one with many images.
  """
  rows, columns = case.geometry.kernel
  pays = max(rows, columns) <= 3 or case.images >= 512
  is_taller = rows > case.geometry.size[0]
  return "map" if is_taller and pays and "map" in case.forms else "bands"


def _is_wide(geometry: conv_forms.Geometry) -> bool:
  """Whether the kernel is at least half as wide as the map, and not 3x3."""
  return geometry.kernel[1] > 3 and geometry.size[1] <= 2 * geometry.kernel[1]


@dataclasses.dataclass(frozen=True)
class Choice:
  """Forms of some cases, by name; the rules have those of all others."""

  of_cases: tuple[tuple[Case, str], ...] = ()

  def form(self, case: Case) -> str:
    """The form of a case, a key of `conv_forms.FORMS`."""
    return dict(self.of_cases).get(case) or by_rules(case)

  def function(self, case: Case) -> conv_forms.Form:
    """What computes a case."""
    return case.by(self.form(case))

  def as_texts(self) -> dict[str, str]:
    """The choice for JSON."""
    return {str(case): form for case, form in self.of_cases}

  @classmethod
  def of_texts(cls, texts: Mapping[str, str]) -> "Choice":
    """The choice that `as_texts` wrote.

    Raises:
      ValueError: if it is damaged, or of another version.
    """
    of_cases = [(parse(text), form) for text, form in texts.items()]
    for case, form in of_cases:
      if form not in case.forms:
        raise ValueError(f'"{form}" is no form for the {case}')
    return cls(tuple(of_cases))


RULES = Choice()
