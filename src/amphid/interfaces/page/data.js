// What the file carries, unpacked: one trial as typed arrays, and questions that can be asked of it.

const MISSING = 65535; // the code of a value that is not finite

/** Base64 of little-endian bytes as an array of that type. */
function unpack(text, Type) {
  return new Type(Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0)).buffer);
}

function readRun() {
  const run = JSON.parse(document.getElementById("run").textContent);
  run.names = run.cells.name;
  run.size = run.names.length;
  run.frames = run.time.length;
  run.place.point = unpack(run.place.point, Float32Array);
  run.place.known = unpack(run.place.known, Uint8Array);
  run.fields = run.fields.map((field) => readField(field, run));
  if (run.spikes) {
    run.spikes = readSpikes(run.spikes);
    run.fields.unshift(rateField(run));
  }
  if (run.traces) run.traces = readTraces(run.traces);
  run.connections = readConnections(run.connections);
  run.stimulatedSet = new Set(run.stimulated);
  return run;
}

/** A variable: its value and its change from rest, by cell and frame. */
function readField(packed, run) {
  const low = unpack(packed.low, Float32Array);
  const span = unpack(packed.span, Float32Array);
  const rest = unpack(packed.rest, Float32Array);
  const code = unpack(packed.value, Uint16Array);
  const value = (cell, frame) => {
    const here = code[cell * run.frames + frame];
    return here === MISSING ? NaN : low[cell] + (span[cell] * here) / (MISSING - 1);
  };
  const change = (cell, frame) => value(cell, frame) - rest[cell];
  const unit = packed.unit === "1" ? "" : packed.unit;
  const title = packed.name === "v" ? "voltage" : packed.name;
  return withScale({ name: packed.name, title, unit, value, change, signed: true }, run);
}

function readSpikes(packed) {
  const step = unpack(packed.step, Uint32Array);
  return { time: Float64Array.from(step, (s) => s * packed.dt), cell: unpack(packed.cell, Uint16Array) };
}

/** Firing rate in Hz through an exponential window, so that spikes can be seen at any frame rate. */
function rateField(run) {
  const step = run.duration / run.frames;
  const tau = Math.max(20, 2 * step);
  const rate = new Float32Array(run.size * run.frames);
  const now = new Float64Array(run.size);
  let next = 0;
  for (let frame = 0; frame < run.frames; frame++) {
    const gap = run.time[frame] - (frame ? run.time[frame - 1] : 0);
    for (let cell = 0; cell < run.size; cell++) now[cell] *= Math.exp(-gap / tau);
    for (; next < run.spikes.time.length && run.spikes.time[next] <= run.time[frame] + 1e-9; next++) {
      now[run.spikes.cell[next]] += (1000 / tau) * Math.exp((run.spikes.time[next] - run.time[frame]) / tau);
    }
    for (let cell = 0; cell < run.size; cell++) rate[cell * run.frames + frame] = now[cell];
  }
  const value = (cell, frame) => rate[cell * run.frames + frame];
  const name = "firing rate";
  return withScale({ name, title: name, unit: "Hz", value, change: value, signed: false, tau }, run);
}

/** Adds the largest change of each cell and of all, and whether only a logarithm shows the small. */
function withScale(field, run) {
  field.peak = new Float32Array(run.size);
  field.peakFrame = 0;
  let most = -1;
  for (let frame = 0; frame < run.frames; frame++) {
    let sum = 0;
    for (let cell = 0; cell < run.size; cell++) {
      const change = Math.abs(field.change(cell, frame)) || 0;
      sum += change;
      if (change > field.peak[cell]) field.peak[cell] = change;
    }
    if (sum > most) [most, field.peakFrame] = [sum, frame];
  }
  const sorted = Float32Array.from(field.peak).sort();
  field.top = sorted[sorted.length - 1] || 1;
  field.logarithmic = field.signed && sorted[sorted.length >> 1] < field.top / 20;
  field.small = 10 ** (Math.floor(Math.log10(field.top)) - 2);
  field.share = (cell, frame) => placeOnScale(field, field.change(cell, frame));
  return field;
}

function readTraces(packed) {
  const time = unpack(packed.time, Float32Array);
  const all = unpack(packed.value, Float32Array);
  const of = new Map();
  packed.cells.forEach((cell, row) => of.set(cell, all.subarray(row * time.length, (row + 1) * time.length)));
  return { cells: packed.cells, time, of };
}

function readConnections(packed) {
  return {
    pre: unpack(packed.pre, Uint16Array),
    post: unpack(packed.post, Uint16Array),
    synapses: unpack(packed.synapses, Float32Array),
    sign: unpack(packed.sign, Int8Array),
    electrical: unpack(packed.electrical, Uint8Array),
  };
}

/** Connections of one cell, largest first: {other, out, sign, electrical, synapses}. */
function connectionsOf(run, cell) {
  if (run.links?.has(cell)) return run.links.get(cell);
  const { pre, post, synapses, sign, electrical } = run.connections;
  const found = [];
  for (let edge = 0; edge < pre.length; edge++) {
    if (pre[edge] !== cell && post[edge] !== cell) continue;
    const out = pre[edge] === cell;
    const other = out ? post[edge] : pre[edge];
    found.push({ other, out, sign: sign[edge], electrical: electrical[edge] === 1, synapses: synapses[edge] });
  }
  found.sort((one, two) => two.synapses - one.synapses);
  run.links?.set(cell, found);
  return found;
}

const formats = new Map(); // by digits: to make one takes longer than to use it

function formatOf(digits) {
  if (!formats.has(digits)) formats.set(digits, new Intl.NumberFormat("en-US", { maximumSignificantDigits: digits }));
  return formats.get(digits);
}

/** A number for reading, with its sign when asked for and a proper minus. */
function written(value, { digits = 3, sign = false } = {}) {
  if (!Number.isFinite(value)) return "not finite";
  const text = formatOf(digits).format(Number(value.toPrecision(digits)));
  return (sign && value > 0 ? "+" : "") + text.replace("-", "\u2212");
}

function withUnit(text, unit) {
  return unit ? `${text} ${unit}` : text;
}

/** What a cell does at a frame, in words. */
function reading(run, field, cell, frame) {
  const value = withUnit(written(field.value(cell, frame)), field.unit);
  if (!field.signed) return value;
  return `${value} (${withUnit(written(field.change(cell, frame), { sign: true, digits: 2 }), field.unit)})`;
}

function describe(run, cell) {
  const { kind, cell_class: group, transmitter } = run.cells;
  return [kind[cell], group[cell] && group[cell] !== run.names[cell] ? `class ${group[cell]}` : "", transmitter[cell]]
    .filter(Boolean)
    .join(", ");
}
