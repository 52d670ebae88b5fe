"use strict";
// Asks the network: in a worker, so that drawing never stutters, or in the page
// where a browser refuses a worker to a file on disk.

const IN_WORKER = `
const serve = server((found) => postMessage(found));
onmessage = (event) => serve(event.data);
`;

/** A function that sends messages to a new worker.
 *
 * `refused` is called if it cannot start, which some browsers say late.
 */
function toWorker(source, receive, refused) {
  const type = "text/javascript";
  const blob = new Blob([source, IN_WORKER], { type });
  const worker = new Worker(URL.createObjectURL(blob));
  let answered = false;
  worker.onmessage = (event) => {
    answered = true;
    receive(event.data);
  };
  worker.onerror = (event) => {
    event.preventDefault();
    worker.terminate();
    if (answered) fail(event.message);
    else refused();
  };
  return (message) => worker.postMessage(message);
}

/** Loads a network; gives a function from an image to a promise of a result. */
function loaded(source, list, weights) {
  return new Promise((resolve) => {
    const waiting = new Map();
    let send = null;
    let count = 0;
    const run = (image) =>
      new Promise((done) => {
        count += 1;
        waiting.set(count, done);
        send({ kind: "run", number: count, image });
      });
    const receive = (found) => {
      if (found.kind === "failed") fail(found.text);
      else if (found.kind === "loaded") resolve(run);
      else {
        waiting.get(found.number)(found);
        waiting.delete(found.number);
      }
    };
    const begin = (sender) => {
      send = sender;
      send({ kind: "load", list, weights });
    };
    const inPage = () => {
      const serve = server(receive);
      // Later, so that the page is drawn first.
      begin((message) => setTimeout(serve, 0, message));
    };
    let sender = null;
    try {
      sender = toWorker(source, receive, inPage);
    } catch {
      return inPage();
    }
    begin(sender);
  });
}
