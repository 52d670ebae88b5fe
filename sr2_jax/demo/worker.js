"use strict";
// The network behind messages, so that it can work beside the page or in it.
//
// {kind: "load", list, weights} is answered by {kind: "loaded"}, and
// {kind: "run", number, image} by {kind: "done", number, superRes, logits,
// milliseconds}. What goes wrong is answered by {kind: "failed", text}.

/** A function that takes a message; `answer` is called with its answer. */
function server(answer) {
  let network = null;
  const serve = (message) => {
    if (message.kind === "load") {
      network = networkOf(message.list, bytesOf(message.weights));
      return { kind: "loaded" };
    }
    const start = performance.now();
    const result = network(message.image);
    const milliseconds = performance.now() - start;
    return { kind: "done", number: message.number, ...result, milliseconds };
  };
  return (message) => {
    let found;
    try {
      found = serve(message);
    } catch (error) {
      found = { kind: "failed", text: `${error.message || error}` };
    }
    answer(found);
  };
}
