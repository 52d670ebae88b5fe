import pytest

from sr2_jax.models import conv_choice, conv_forms

# (map, in, out, kernel, stride): some of the networks.
SHAPES = [
  (7, 1, 56, 5, 1), (14, 56, 12, 1, 1), (7, 12, 12, 3, 1), (14, 12, 12, 3, 1),
  (7, 56, 48, 9, 1), (8, 56, 48, 9, 1), (14, 56, 12, 9, 1), (28, 3, 1, 1, 1),
  (14, 56, 4, 9, 1), (7, 56, 16, 9, 1),
  (14, 32, 32, 3, 1), (14, 32, 12, 5, 1), (7, 56, 64, 3, 1), (7, 64, 64, 3, 1),
  (7, 64, 128, 3, 2), (4, 128, 128, 3, 1), (4, 128, 256, 3, 2),
  (2, 256, 256, 3, 1),
]  # fmt: skip


def case(part, size, channels, features, width, stride=1, *, images=3, **other):
  rows, columns = size if isinstance(size, tuple) else (size, size)
  geometry = conv_forms.geometry_of(
    (images, rows, columns, channels),
    (width, width, channels, features),
    (stride, stride),
    other.get("padding", "SAME"),
  )
  assert geometry is not None
  return conv_choice.Case(part, images, channels, features, geometry)


def both(*shape, **other):
  """The forms of a result and of a kernel gradient, by the rules."""
  return [
    conv_choice.by_rules(case(part, *shape, **other))
    for part in ("result", "kernel gradient")
  ]


def test_the_rules_take_every_form_for_some_shape_of_the_networks():
  results, gradients = zip(*(both(*shape) for shape in SHAPES), strict=True)
  assert set(results) == set(conv_forms.FORMS)
  assert set(gradients) == set(conv_forms.FORMS) - {"rows"}


@pytest.mark.parametrize("part", conv_choice.PARTS)
def test_the_rules_take_a_form_that_can_compute_it(part):
  for shape in SHAPES:
    if part == "input gradient" and shape[4] == 1:
      continue
    asked = case(part, *shape)
    assert conv_choice.by_rules(asked) in asked.forms


def test_the_map_is_for_many_images_and_a_small_operator():
  def chosen(images, size, features=16, **other):
    result, gradient = both(size, 56, features, 9, images=images, **other)
    assert gradient == result
    return result

  assert chosen(511, 7) == "bands"
  assert chosen(512, 7) == "map"
  # It would copy the kernel for each of many rows.
  assert chosen(512, (100, 7)) == "bands"
  # Kernels merged by `vmap`, and the input gradient of a VALID convolution.
  assert chosen(512, 7, features=480) == "bands"
  assert chosen(512, 8, 48, padding=((8, 8), (8, 8))) == "bands"


def test_large_maps_are_left_to_xla():
  for size in (64, 256):
    for channels, features, width in (
      (1, 56, 5), (3, 56, 5), (4, 56, 9), (64, 56, 3), (56, 4, 9)
    ):  # fmt: skip
      assert both(size, channels, features, width, images=1) == ["xla", "xla"]


def test_forms_leave_out_what_cannot_compute_a_case():
  assert set(case("result", 7, 4, 8, 3).forms) == set(conv_forms.FORMS)
  assert "rows" not in case("result", 7, 4, 8, 3, 2).forms
  assert "map" not in case("result", 28, 64, 64, 3, images=64).forms


@pytest.mark.parametrize(
  "asked",
  [
    case("result", 14, 56, 12, 9, images=64),
    case("kernel gradient", (5, 7), 3, 4, 2, padding=((1, 0), (0, 1))),
    case("input gradient", 7, 64, 128, 3, 2),
  ],
)
def test_a_case_as_text(asked):
  assert conv_choice.parse(str(asked)) == asked


def test_the_text_of_a_case():
  assert str(case("kernel gradient", (14, 7), 56, 12, 9, images=64)) == (
    "kernel gradient of 64 x 14x7 x 56, kernel 9x9 x 12, strides 1x1, "
    "padding 4+4 and 4+4"
  )


def test_a_choice_has_its_own_forms_and_otherwise_the_rules():
  mine, other = case("result", 7, 32, 32, 3), case("result", 7, 32, 48, 3)
  choice = conv_choice.Choice(((mine, "rows"),))
  assert choice.form(mine) == "rows"
  assert choice.form(other) == conv_choice.by_rules(other) == "xla"
  assert choice.function(mine) is conv_forms.by_rows
  assert choice != conv_choice.RULES
  texts = choice.as_texts()
  assert texts == {str(mine): "rows"}
  assert conv_choice.Choice.of_texts(texts) == choice


@pytest.mark.parametrize(
  ("text", "form", "message"),
  [
    (str(case("result", 7, 32, 32, 3)), "fft", '"fft" is no form for the'),
    (str(case("result", 7, 32, 32, 3, 2)), "rows", '"rows" is no form for'),
    (str(case("result", 7, 32, 32, 3)), ["rows"], "no form for"),
    ("result of something", "rows", '"result of something" is no conv'),
  ],
)
def test_a_damaged_choice_says_what_is_wrong(text, form, message):
  with pytest.raises(ValueError, match=message):
    conv_choice.Choice.of_texts({text: form})
