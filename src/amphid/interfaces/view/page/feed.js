// Where pictures come from: a socket that is opened again when it breaks, or a tape in the file.

const MAGIC = 0x31464d41;
const FLAG = { playing: 1, recording: 2, crawling: 4, full: 8 };
const MARK = { fired: 1, dead: 2, driven: 4 };
const KEEPING = 0.9; // of the speed that is asked for: less is told beside the clock

/** Half precision by hand where the browser has no type for it: a table of all 65,536 values. */
const halves = (() => {
  if (typeof Float16Array !== "undefined") return (buffer, at, size) => new Float16Array(buffer, at, size);
  const table = new Float32Array(65536);
  for (let code = 0; code < 65536; code++) {
    const [sign, power, part] = [code >> 15 ? -1 : 1, (code >> 10) & 31, code & 1023];
    table[code] = power === 31 ? (part ? NaN : sign * Infinity) : sign * (power ? 2 ** (power - 15) * (1 + part / 1024) : 2 ** -14 * (part / 1024));
  }
  return (buffer, at, size) => Float32Array.from(new Uint16Array(buffer, at, size), (code) => table[code]);
})();

/** A picture out of its bytes; the layout is told in wire.py. */
function readFrame(buffer) {
  const view = new DataView(buffer);
  if (view.getUint32(0, true) !== MAGIC) throw new Error("not a picture");
  const frame = {
    number: view.getUint32(4, true),
    time: view.getFloat64(8, true),
    speed: view.getFloat32(16, true),
    food: view.getFloat32(20, true),
    flags: view.getUint16(24, true),
    actions: view.getUint32(36, true),
  };
  const [watched, samples, cells] = [view.getUint16(26, true), view.getUint32(28, true), view.getUint32(32, true)];
  let at = 40;
  frame.change = halves(buffer, at, cells);
  frame.codes = new Uint16Array(buffer, at, cells); // the same, as its bits
  frame.marks = new Uint8Array(buffer, at + 2 * cells, cells);
  at += 3 * cells;
  at += (4 - (at % 4)) % 4;
  frame.watched = new Uint32Array(buffer, at, watched);
  frame.samples = new Float32Array(buffer, at + 4 * watched, watched * samples);
  frame.body = new Float32Array(buffer, at + 4 * watched * (1 + samples));
  frame.steps = samples;
  return frame;
}

/** What to do with an answer: whoever asked gets it, the rest is for the page. */
function sort(feed, message, heard) {
  const answered = feed.waiting.get(message.id);
  feed.waiting.delete(message.id);
  if (message.op === "ack") return answered?.(message);
  return heard(message, null);
}

const SILENCE = 4000; // ms after which whoever was asked does not answer

/** A page in a notebook: messages go through the window around it, which tells of itself, too. */
function openHost(heard, stood) {
  const feed = { waiting: new Map(), next: 1, asked: null, last: performance.now() };
  const post = (words) => {
    feed.asked ??= setTimeout(() => stood("silent"), SILENCE);
    parent.postMessage(words, "*");
  };
  const answered = () => {
    clearTimeout(feed.asked);
    feed.asked = null;
    feed.last = performance.now();
    if (state.connection !== "open") stood("open");
  };
  feed.send = (op, words = {}, then = null) => {
    const id = feed.next++;
    if (then) feed.waiting.set(id, then);
    post(JSON.stringify({ op, id, ...words }));
  };
  addEventListener("message", ({ source, data }) => {
    if (source !== parent) return;
    if (!data.host) answered();
    if (data.bytes?.length) heard(null, readFrame(data.bytes[0]));
    else sort(feed, data.content, heard);
  });
  setInterval(() => { // a page that plays and is only looked at asks for nothing
    if (picture && state.playing && performance.now() - feed.last > SILENCE && state.connection === "open") stood("silent");
  }, SILENCE / 4);
  stood("open");
  post("ready");
  return feed;
}

/** The socket: `heard` gets every message and picture, `stood` how the connection stands. */
function openSocket(heard, stood) {
  const token = new URLSearchParams(location.search).get("token") || "";
  const feed = { waiting: new Map(), next: 1, tries: 0, socket: null };
  const connect = () => {
    const socket = new WebSocket(`ws://${location.host}/live?token=${encodeURIComponent(token)}`);
    socket.binaryType = "arraybuffer";
    feed.socket = socket;
    socket.addEventListener("open", () => {
      feed.tries = 0;
      stood("open");
    });
    socket.addEventListener("message", ({ data }) => {
      if (data instanceof ArrayBuffer) return heard(null, readFrame(data));
      return sort(feed, JSON.parse(data), heard);
    });
    socket.addEventListener("close", (event) => {
      feed.waiting.clear();
      if (event.code === 1012 || event.code === 1001) return stood("stopped");
      if (event.code === 4403) return stood("refused");
      if (event.code === 4429) return stood("busy");
      if (++feed.tries > 8) return stood("stopped");
      stood("lost");
      return setTimeout(connect, Math.min(4000, 250 * 2 ** feed.tries));
    });
  };
  feed.send = (op, words = {}, answered = null) => {
    if (feed.socket.readyState !== WebSocket.OPEN) return;
    const id = feed.next++;
    if (answered) feed.waiting.set(id, answered);
    feed.socket.send(JSON.stringify({ op, id, ...words }));
  };
  connect();
  return feed;
}
