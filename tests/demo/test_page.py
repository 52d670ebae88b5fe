"""The page in a browser without a network, and its parts."""

import base64
import html
import json
import re

import numpy as np
import pytest

from sr2_jax.demo import content, layer_list, page
from sr2_jax.imaging import degradation
from sr2_jax.models import sr2
from tests import browser
from tests.demo import numpy_layers, random_network, test_layer_list

in_browser = pytest.mark.skipif(
  browser.PATH is None, reason="needs Chromium on the path"
)
SIZE, SMALL, SCALE = (28, 28), (7, 7), 4


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
  return tmp_path_factory.mktemp("demo")


@pytest.fixture(scope="module")
def file(folder):
  """The page of SR²_FSRCNN x4."""
  random_network.write(folder / "run")
  text, _ = content.page_of(*random_network.load(folder / "run"))
  (folder / "demo.html").write_text(text)
  return folder / "demo.html"


@pytest.fixture(scope="module")
def plain(folder):
  """The page of a network without a classifier, in colors."""
  random_network.write(
    folder / "plain",
    data="svhn_cropped",
    shape=(32, 32, 3),
    scale=2,
    wiring="none",
  )
  text, _ = content.page_of(*random_network.load(folder / "plain"))
  (folder / "plain.html").write_text(text)
  return folder / "plain.html"


@pytest.fixture(scope="module")
def tab(folder):
  with browser.opened(folder / "profile") as opened:
    yield opened


CHECKED = "document.getElementById('check').dataset.pictures !== undefined"
PROMPT = "getComputedStyle(document.getElementById('prompt')).display"


@pytest.fixture
def demo(tab, file):
  """The page, ready and checked by itself, with its first example."""
  tab.resize(1000)
  if tab.run("document.URL") == file.as_uri():
    tab.run("document.querySelectorAll('#examples button')[3].click()")
    set_noise(tab, 0)
  else:
    tab.open(file)
    tab.wait(CHECKED)
  return tab


def text_of(tab, name):
  return tab.run(f"document.getElementById('{name}').textContent")


def bars(tab):
  """Names and percents, once the network has answered."""
  tab.wait("document.getElementById('output').ariaBusy === 'false'")
  found = tab.run(
    "[...document.querySelectorAll('#bars tr')].map("
    "(row) => [row.cells[0].textContent, row.cells[2].textContent])"
  )
  return {name: float(text.removesuffix(" %")) for name, text in found}


def pixels(tab, name):
  """The gray values of a picture, uint8 [H, W]."""
  found = tab.run(
    f"(() => {{ const canvas = document.getElementById('picture-{name}');"
    "const {width, height} = canvas; return [height, width, ...canvas"
    ".getContext('2d').getImageData(0, 0, width, height).data]; })()"
  )
  return np.reshape(found[2:], (*found[:2], 4))[..., 0]


def set_noise(tab, value):
  tab.run(
    f"(() => {{ const slider = document.getElementById('noise'); slider.value ="
    f" {value}; slider.dispatchEvent(new Event('input')); }})()"
  )


def drop(tab, kind, *, draw):
  """Drops a file that the browser makes: `draw` paints on `canvas`."""
  tab.run(f"""(async () => {{
    document.getElementById("hint").textContent = "";
    const canvas = document.createElement("canvas");
    canvas.width = canvas.height = 1;
    const context = canvas.getContext("2d");
    {draw}
    const blob = await new Promise((done) => canvas.toBlob(done, "{kind}", 1));
    const dataTransfer = new DataTransfer();
    dataTransfer.items.add(new File([blob], "mine", {{ type: "{kind}" }}));
    const options = {{ dataTransfer, bubbles: true, cancelable: true }};
    document.body.dispatchEvent(new DragEvent("drop", options));
  }})()""")
  tab.wait("document.getElementById('hint').textContent.includes('mine')")


def stroke(tab, points):
  box = tab.run(
    "(({left, top, width}) => [left, top, width])"
    "(document.getElementById('pad').getBoundingClientRect())"
  )
  kinds = ["mousePressed", *["mouseMoved"] * (len(points) - 2), "mouseReleased"]
  for kind, (x, y) in zip(kinds, points, strict=True):
    tab(
      "Input.dispatchMouseEvent",
      type=kind,
      x=box[0] + x * box[2],
      y=box[1] + y * box[2],
      button="left",
      buttons=int(kind != "mouseReleased"),
      clickCount=1,
    )


@in_browser
def test_it_is_ready_equals_jax_and_asks_for_nothing(demo, file):
  assert text_of(demo, "status").startswith("Ready.")
  check = demo.run("({...document.getElementById('check').dataset})")
  assert float(check["logits"]) < 1e-3
  assert float(check["pictures"]) < 1e-3
  assert text_of(demo, "check").startswith("Self-check passed: on 10 images")
  others = [x for x in demo.requests if not x.startswith("blob:")]
  assert others == [file.as_uri()]
  assert demo.errors == []
  shown = bars(demo)
  assert list(shown) == list("0123456789")
  assert sum(shown.values()) == pytest.approx(100, abs=0.6)


@in_browser
def test_drawing_changes_pictures_and_bars(demo):
  before, picture = bars(demo), pixels(demo, "super")
  stroke(demo, [(0.3, 0.2), (0.6, 0.2), (0.6, 0.5), (0.4, 0.9), (0.4, 0.9)])
  demo.wait(f"{PROMPT} === 'none'")
  drawn = bars(demo)
  assert drawn != before
  assert (pixels(demo, "super") != picture).any()
  # As MNIST has it: 20 px long, the center of mass in the middle.
  original = pixels(demo, "original").astype(float)
  rows, columns = np.nonzero(original > 12)
  assert 19 <= max(np.ptp(rows), np.ptp(columns)) + 1 <= 22
  places = np.indices(original.shape).reshape(2, -1)
  center = (places * original.ravel()).sum(1) / original.sum()
  np.testing.assert_allclose(center, 13.5, atol=0.15)
  assert demo.errors == []


@in_browser
def test_an_empty_pad_has_finite_numbers(demo):
  stroke(demo, [(0.3, 0.2), (0.6, 0.2), (0.6, 0.2)])
  demo.wait(f"{PROMPT} === 'none'")
  demo.run("document.getElementById('clear').click()")
  shown = bars(demo)
  assert not pixels(demo, "original").any()
  assert np.isfinite(list(shown.values())).all()
  assert sum(shown.values()) == pytest.approx(100, abs=0.6)
  assert "empty" in text_of(demo, "hint")


@in_browser
def test_keys_draw_and_clear(demo):
  demo.run("document.getElementById('pad').focus()")
  for _ in range(5):
    # 8: with Shift.
    demo("Input.dispatchKeyEvent", type="keyDown", key="ArrowDown", modifiers=8)
  demo.wait(f"{PROMPT} === 'none'")
  bars(demo)
  assert pixels(demo, "original").any()
  demo("Input.dispatchKeyEvent", type="keyDown", key="Delete")
  demo.wait(f"{PROMPT} !== 'none'")
  bars(demo)
  assert not pixels(demo, "original").any()


@in_browser
def test_noise_changes_the_bars_and_goes_away(demo):
  clean, small = bars(demo), pixels(demo, "low")
  assert text_of(demo, "noise-value") == "none"
  set_noise(demo, 40)
  noisy, first = bars(demo), pixels(demo, "low")
  assert text_of(demo, "noise-value") == "σ² = 0.04"
  assert noisy != clean
  demo.run("document.getElementById('again').click()")
  assert bars(demo) != noisy
  assert (pixels(demo, "low") != first).any()
  set_noise(demo, 0)
  assert bars(demo) == clean
  np.testing.assert_array_equal(pixels(demo, "low"), small)


@in_browser
def test_noise_has_its_variance(demo):
  mean, variance = demo.run("""(() => {
    const x = { ...emptyMap(100, 100, 1), data: Array(10000).fill(0.5) };
    const noisy = withNoise(x, 0.1, 5).data;
    const mean = noisy.reduce((a, b) => a + b) / 10000;
    const squares = noisy.map((y) => (y - mean) ** 2);
    return [mean, squares.reduce((a, b) => a + b) / 10000];
  })()""")
  # Four standard errors.
  assert mean == pytest.approx(0.5, abs=4e-3)
  assert variance == pytest.approx(0.01, abs=6e-4)


@in_browser
def test_a_file_is_shrunk_as_the_run_did_it(demo):
  """An image of the right size goes through unchanged; a JPEG nearly so."""
  draw = """canvas.width = canvas.height = 28;
    context.fillRect(0, 0, 28, 28);
    context.fillStyle = "#fff"; context.fillRect(6, 4, 9, 20);"""
  before = bars(demo)
  drop(demo, "image/png", draw=draw)
  shown = bars(demo)
  assert shown != before
  expected = np.zeros(SIZE)
  expected[4:24, 6:15] = 1
  np.testing.assert_array_equal(pixels(demo, "original"), 255 * expected)
  operator = degradation.operator(28, 4, blur_sigma=2, anti_aliasing=True)
  small = operator.astype(float) @ expected @ operator.T
  np.testing.assert_allclose(pixels(demo, "low"), 255 * small, atol=0.51)
  drop(demo, "image/jpeg", draw=draw.replace("9, 20", "9, 19"))
  jpeg = bars(demo)
  assert jpeg != shown
  expected[23] = 0
  np.testing.assert_allclose(pixels(demo, "original"), 255 * expected, atol=8)


@in_browser
def test_the_middle_of_a_large_picture_is_taken(demo):
  draw = """canvas.width = 300; canvas.height = 200;
    context.fillStyle = "#fff"; context.fillRect(0, 0, 300, 200);
    context.fillStyle = "#000"; context.fillRect(50, 0, 100, 200);"""
  drop(demo, "image/jpeg", draw=draw)
  bars(demo)
  expected = np.zeros(SIZE)
  expected[:, 14:] = 255
  np.testing.assert_allclose(pixels(demo, "original"), expected, atol=8)
  assert text_of(demo, "hint") == "mine: its middle, as 28×28 pixels."
  demo.run("document.getElementById('invert').click()")
  bars(demo)
  np.testing.assert_allclose(pixels(demo, "original"), 255 - expected, atol=8)


@in_browser
def test_paper_is_noticed(demo):
  draw = """canvas.width = canvas.height = 64;
    context.fillStyle = "#fff"; context.fillRect(0, 0, 64, 64);
    context.fillStyle = "#000"; context.fillRect(20, 20, 9, 9);"""
  drop(demo, "image/jpeg", draw=draw)
  assert "dark on light" in text_of(demo, "hint")
  demo.run("document.getElementById('invert').click()")
  bars(demo)
  assert "dark on light" not in text_of(demo, "hint")


@in_browser
def test_a_small_image_goes_to_the_network_as_it_is(demo):
  draw = """canvas.width = canvas.height = 7;
    context.fillRect(0, 0, 7, 7);
    context.fillStyle = "#fff"; context.fillRect(2, 1, 2, 5);"""
  drop(demo, "image/png", draw=draw)
  bars(demo)
  expected = np.zeros(SMALL)
  expected[1:6, 2:4] = 255
  np.testing.assert_array_equal(pixels(demo, "low"), expected)
  assert "as it is" in text_of(demo, "hint")
  is_hidden = "document.getElementById('picture-original').parentNode.hidden"
  assert demo.run(is_hidden)
  demo.run("document.querySelector('#examples button').click()")
  bars(demo)
  assert not demo.run(is_hidden)


@in_browser
def test_what_is_no_image_is_named_and_changes_nothing(demo):
  before = bars(demo)
  demo.run("takeFile(new File(['text'], 'notes.txt'))")
  assert text_of(demo, "hint") == "notes.txt cannot be read as an image."
  assert bars(demo) == before
  assert demo.errors == []


@in_browser
@pytest.mark.parametrize("width", [400, 800, 1400])
def test_it_fits_every_screen_light_and_dark(demo, width):
  grounds = []
  for dark in (False, True):
    demo.resize(width, dark=dark)
    assert demo.run("document.documentElement.scrollWidth") <= width
    ground = demo.run("getComputedStyle(document.body).backgroundColor")
    grounds.append(int(re.findall(r"\d+", ground)[0]))
  light, dark = grounds
  assert light > 200 > 50 > dark


@in_browser
def test_everything_has_a_name_and_can_be_reached_by_keys(demo):
  nodes = demo("Accessibility.getFullAXTree")["nodes"]
  seen = [
    (node["role"]["value"], node.get("name", {}).get("value", ""))
    for node in nodes
    if not node["ignored"]
  ]
  roles = ("button", "slider", "checkbox", "application", "image", "canvas")
  unnamed = [role for role, name in seen if role in roles and not name]
  assert unnamed == []
  assert ("slider", "Noise on the small image") in seen
  assert ("button", "Example: 3") in seen
  assert ("application", "Drawing pad") in seen
  focused = demo.run("""[...document.querySelectorAll(
    "button, input, canvas[tabindex], summary")].every((node) => {
      node.focus();
      return document.activeElement === node;
    })""")
  assert focused


@in_browser
@pytest.mark.parametrize(
  "worker",
  [
    "window.Worker = undefined;",
    "window.Worker = class { constructor() { throw new Error('no'); } };",
    # As browsers do that refuse it late.
    "window.Worker = class { postMessage() { setTimeout(() => this.onerror("
    "{ preventDefault() {} })); } terminate() {} };",
  ],
)
def test_without_a_worker_it_works_in_the_page(tab, file, worker):
  changed = file.with_name("changed.html")
  changed.write_text(
    file.read_text().replace("<head>", f"<head><script>{worker}</script>", 1)
  )
  tab.open(changed)
  tab.wait(CHECKED)
  assert text_of(tab, "check").startswith("Self-check passed")
  assert tab.errors == []


@in_browser
@pytest.mark.parametrize(
  ("old", "new", "problem"),
  [
    ("function networkOf(", "function networkOf((", "SyntaxError"),
    ('"kind": "max_pool"', '"kind": "min_pool"', "is not a function"),
    ("const state =", "const state = nothing +", "nothing is not defined"),
    ('id="weights">', 'id="weights">!', "not correctly encoded"),
    ('id="facts">', 'id="facts">[', "JSON"),
  ],
)
def test_a_fault_is_told_as_text(tab, file, old, new, problem):
  text = file.read_text()
  assert old in text
  changed = file.with_name("changed.html")
  changed.write_text(text.replace(old, new, 1))
  tab.open(changed)
  tab.wait("document.getElementById('status').className === 'bad'")
  assert "This page does not work: " in text_of(tab, "status")
  assert problem in text_of(tab, "status")


@in_browser
def test_weights_that_were_cut_are_told_as_text(tab, file):
  changed = file.with_name("changed.html")
  text = file.read_text()
  changed.write_text(re.sub(r'(id="weights">.{400}).*?<', r"\1<", text))
  tab.open(changed)
  tab.wait("document.getElementById('status').className === 'bad'")
  assert "weights in this page are incomplete" in text_of(tab, "status")


@in_browser
def test_another_network_is_noticed(tab, file):
  """The check can fail."""
  text = file.read_text()
  start = text.index('id="weights">') + 13
  changed = file.with_name("changed.html")
  # Float32 offsets and gains come first.
  changed.write_text(f"{text[:start]}AACA{text[start + 4 :]}")
  tab.open(changed)
  tab.wait(CHECKED)
  assert text_of(tab, "check").startswith("Self-check FAILED")


@in_browser
def test_without_a_classifier_it_says_so(tab, plain):
  tab.open(plain)
  tab.wait(CHECKED)
  assert text_of(tab, "reading").startswith("No label: this network has no cl")
  assert tab.run("document.getElementById('bars').hidden")
  assert float(tab.run("document.getElementById('check').dataset.pictures")) < (
    1e-3
  )
  assert "logits" not in text_of(tab, "check")
  assert tab.errors == []


@in_browser
@pytest.mark.parametrize("name", test_layer_list.NETWORKS)
def test_layers_in_javascript_are_those_of_numpy(demo, name):
  model = sr2.SR2(**{"channels": 1, **test_layer_list.NETWORKS[name]})
  arrays = layer_list.rounded(random_network.arrays_of(model))
  made = layer_list.of(model, arrays)
  facts, data = page.network(made)
  height, width = test_layer_list.SIZE
  shape = (height, width, model.channels)
  image = np.random.default_rng(1).random(shape, np.float32)
  found = demo.run(f"""(() => {{
    const bytes = bytesOf("{base64.b64encode(data).decode()}");
    const image = emptyMap({height}, {width}, {model.channels});
    image.data.set({image.ravel().tolist()});
    const found = networkOf({json.dumps(facts)}, bytes)(image);
    const {{ height, width, channels, data }} = found.superRes;
    return {{
      shape: [height, width, channels],
      super_res: [...data],
      logits: found.logits && [...found.logits],
    }};
  }})()""")
  expected = numpy_layers.run(made, image)
  assert tuple(found["shape"]) == expected["super_res"].shape
  for output, value in expected.items():
    error = np.abs(np.ravel(value) - found[output]).max()
    assert error < 1e-5 * np.abs(value).max()


@in_browser
def test_float16_is_that_of_numpy(demo):
  bits = np.arange(2**16, dtype=np.uint16)
  expected = bits.view(np.float16).astype(float)
  finite = np.isfinite(expected)
  found = demo.run("[...float16Values()].map((x) => isFinite(x) ? x : null)")
  assert [x is not None for x in found] == finite.tolist()
  np.testing.assert_array_equal(
    np.array(found, float)[finite], expected[finite]
  )


def test_texts_cannot_end_what_they_are_in():
  texts = dict.fromkeys(
    ("title", "lead", "examples_note", "noise_note", "caution"), "<b>&</b>"
  )
  facts = {"classes": ["</script><!--", "{{weights}}", "\u2028"]}
  text = page.compose(facts, b"\1\2\3", texts)
  assert html.escape("<b>&</b>") in text
  assert "<b>" not in text
  assert text.count("</script>") == text.count("<script")
  [inside] = re.findall(r'id="facts">(.*?)</script>', text)
  assert json.loads(inside) == facts
  assert 'id="weights">AQID<' in text
  assert not re.search(r"\{\{(?!weights)\w+\}\}", text)


@pytest.mark.parametrize(
  ("evaluated", "highest", "said"),
  [((0.0, 0.01), 0.2, "up to 0.01"), ((), 0.2, "without noise"),
   ((0.09,), 0.3, "up to 0.09")],
)  # fmt: skip
def test_the_slider_reaches_what_was_evaluated(evaluated, highest, said):
  facts, sentence = page.noise(evaluated)
  assert facts["steps"] * facts["step"] == pytest.approx(highest)
  assert said in sentence
