"use strict";
// A pad to draw on, by pointer or by keys.

// Of the pad: the width of a line, and how far a key moves the pen.
const LINE = 0.085;
const KEY_STEP = 0.035;
const ARROWS = {
  ArrowLeft: [-1, 0],
  ArrowRight: [1, 0],
  ArrowUp: [0, -1],
  ArrowDown: [0, 1],
};

/** Makes a canvas a pad, and gives what erases it.
 *
 * `marker` is where keys draw; `changed` is called after parts of strokes.
 */
function padOf(canvas, marker, [height, width], changed) {
  const side = Math.max(1, Math.round(280 / Math.max(height, width)));
  canvas.width = width * side;
  canvas.height = height * side;
  const context = canvas.getContext("2d", { willReadFrequently: true });
  let pen = null;

  function moveTo(point) {
    pen = point;
    marker.style.left = `${(100 * point[0]) / canvas.width}%`;
    marker.style.top = `${(100 * point[1]) / canvas.height}%`;
  }

  function erase() {
    context.fillStyle = "#000";
    context.fillRect(0, 0, canvas.width, canvas.height);
  }

  function lineTo(point) {
    context.strokeStyle = "#fff";
    context.lineCap = context.lineJoin = "round";
    context.lineWidth = LINE * Math.max(canvas.width, canvas.height);
    context.beginPath();
    context.moveTo(...pen);
    context.lineTo(...point);
    context.stroke();
    moveTo(point);
  }

  moveTo([canvas.width / 2, canvas.height / 2]);
  byPointer(canvas, (point, draws) => {
    if (!draws) moveTo(point);
    lineTo(point);
    changed();
  });
  byKeys(canvas, {
    clear: () => {
      erase();
      changed();
    },
    move: ([dx, dy], draws) => {
      const step = KEY_STEP * Math.max(canvas.width, canvas.height);
      const inside = (value, most) => Math.min(Math.max(value, 0), most);
      const point = [
        inside(pen[0] + dx * step, canvas.width),
        inside(pen[1] + dy * step, canvas.height),
      ];
      if (!draws) return moveTo(point);
      lineTo(point);
      changed();
    },
  });
  erase();
  return erase;
}

/** Calls `at` with each point of a stroke, and whether a line leads there. */
function byPointer(canvas, at) {
  let drawing = null;
  const pointOf = (event) => {
    const box = canvas.getBoundingClientRect();
    return [
      ((event.clientX - box.left) * canvas.width) / box.width,
      ((event.clientY - box.top) * canvas.height) / box.height,
    ];
  };
  canvas.addEventListener("pointerdown", (event) => {
    if (event.button !== 0 || drawing !== null) return;
    drawing = event.pointerId;
    canvas.setPointerCapture(event.pointerId);
    at(pointOf(event), false);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (event.pointerId !== drawing) return;
    const parts = event.getCoalescedEvents ? event.getCoalescedEvents() : [];
    for (const part of parts.length ? parts : [event]) at(pointOf(part), true);
  });
  const end = (event) => {
    if (event.pointerId === drawing) drawing = null;
  };
  canvas.addEventListener("pointerup", end);
  canvas.addEventListener("pointercancel", end);
}

function byKeys(canvas, { move, clear }) {
  canvas.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key in ARROWS) move(ARROWS[event.key], event.shiftKey);
    else if (["Delete", "Backspace"].includes(event.key)) clear();
    else return;
    event.preventDefault();
  });
}
