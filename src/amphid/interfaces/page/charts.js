// Charts over time: all cells as rows, the mean rate, and traces of single cells.

const AXIS = { left: 74, right: 12, top: 8, bottom: 34 };

const sharpness = { factor: 1 }; // of drawing, against the screen's

/** The canvas at the resolution of the screen, empty. */
function prepare(canvas) {
  const [width, height] = [canvas.clientWidth, canvas.clientHeight];
  const ratio = Math.min((window.devicePixelRatio || 1) * sharpness.factor, 4);
  if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
  }
  const ctx = canvas.getContext("2d");
  ctx.setTransform(ratio, 0, 0, ratio, 0, 0);
  ctx.clearRect(0, 0, width, height);
  ctx.textBaseline = "alphabetic";
  return { ctx, width, height };
}

/** The part of a canvas inside its axes, and from ms to its x. */
function plotBox(width, height, run, axis = AXIS) {
  const box = { left: axis.left, top: axis.top, right: width - axis.right, bottom: height - axis.bottom };
  box.x = (time) => box.left + (time / run.duration) * (box.right - box.left);
  box.time = (x) => ((x - box.left) / (box.right - box.left)) * run.duration;
  return box;
}

function drawTimeAxis(ctx, box, run, theme, { named = true } = {}) {
  ctx.fillStyle = theme.soft;
  ctx.font = "12px system-ui, sans-serif";
  ctx.textAlign = "center";
  ctx.textBaseline = "top";
  ctx.fillRect(box.left, box.bottom, box.right - box.left, 1);
  for (const tick of ticks(0, run.duration, Math.max(2, (box.right - box.left) / 110))) {
    ctx.fillRect(box.x(tick) - 0.5, box.bottom, 1, 4);
    const text = written(tick, { digits: 6 });
    const most = ctx.canvas.clientWidth - ctx.measureText(text).width / 2 - 1;
    ctx.fillText(text, Math.min(box.x(tick), most), box.bottom + 6);
  }
  if (named) ctx.fillText("time (ms)", (box.left + box.right) / 2, box.bottom + 20);
}

function drawBands(ctx, box, run, theme) {
  ctx.fillStyle = theme.band;
  for (const [start, stop] of run.during) {
    ctx.fillRect(box.x(start), box.top, Math.max(1, box.x(stop) - box.x(start)), box.bottom - box.top);
  }
}

/** Orders in which the cells can be listed: a name and the cells from top to bottom. */
function orders(run) {
  const all = Array.from({ length: run.size }, (_, cell) => cell);
  const kinds = groupsOf(run);
  const rank = new Map(kinds.map((kind, k) => [kind, k]));
  const peak = run.fields[0].peak;
  const found = {};
  found["by response"] = [...all].sort((a, b) => peak[b] - peak[a]);
  if (kinds.length > 1) {
    found["by kind"] = [...found["by response"]].sort((a, b) => rank.get(groupOf(run, a)) - rank.get(groupOf(run, b)));
  }
  if (run.place.scale) {
    const across = run.place.marks.some(([text]) => text === "head") ? "head to tail" : "left to right";
    found[across] = [...all].sort((a, b) => run.place.point[3 * a] - run.place.point[3 * b]);
  }
  found["as in the file"] = all;
  return found;
}

const STAGES = ["sensory", "input", "polymodal", "inter", "hidden", "motor", "output", "muscle"];

/** Kind of a cell, or its class where kinds are not known. */
function groupOf(run, cell) {
  run.kindless ??= run.cells.kind.every((kind) => !kind); // asked once: it looks at all cells
  return run.cells.kind[cell] || (run.kindless ? run.cells.cell_class[cell] : "") || "other";
}

function groupsOf(run) {
  const found = [...new Set(run.names.map((_, cell) => groupOf(run, cell)))];
  if (found.length > 12) return [];
  const stage = (kind) => (STAGES.includes(kind) ? STAGES.indexOf(kind) : STAGES.length);
  return found.map((kind, k) => [kind, stage(kind), k]).sort((a, b) => a[1] - b[1] || a[2] - b[2]).map(([kind]) => kind);
}

/** All cells as rows: a heat map of a variable, or ticks for spikes. */
function drawRows(canvas, run, state, theme) {
  const { ctx, width, height } = prepare(canvas);
  const box = plotBox(width, height, run);
  const order = state.order;
  if (run.spikes && state.field === run.fields[0]) {
    drawBands(ctx, box, run, theme);
    drawTicks(ctx, box, run, order, theme);
  } else {
    drawHeat(ctx, box, run, state, theme);
  }
  drawGroups(ctx, box, run, state, theme);
  drawTimeAxis(ctx, box, run, theme);
  return box;
}

function drawHeat(ctx, box, run, state, theme) {
  const image = document.createElement("canvas");
  [image.width, image.height] = [run.frames, run.size];
  const pixels = new ImageData(run.frames, run.size);
  state.order.forEach((cell, row) => {
    for (let frame = 0; frame < run.frames; frame++) {
      const rgb = theme.rgb[level(state.field.share(cell, frame))];
      pixels.data.set([...rgb, 255], 4 * (row * run.frames + frame));
    }
  });
  image.getContext("2d").putImageData(pixels, 0, 0);
  ctx.imageSmoothingEnabled = run.size > box.bottom - box.top;
  ctx.drawImage(image, box.left, box.top, box.right - box.left, box.bottom - box.top);
  ctx.fillStyle = theme.accent;
  for (const [start, stop] of run.during) {
    ctx.fillRect(box.x(start), box.top - 5, Math.max(1, box.x(stop) - box.x(start)), 3);
  }
}

function drawTicks(ctx, box, run, order, theme) {
  const row = new Uint16Array(run.size);
  order.forEach((cell, at) => (row[cell] = at));
  const high = (box.bottom - box.top) / run.size;
  ctx.fillStyle = theme.ink;
  const tall = Math.max(1, high * 0.8);
  for (let spike = 0; spike < run.spikes.time.length; spike++) {
    ctx.fillRect(box.x(run.spikes.time[spike]), box.top + row[run.spikes.cell[spike]] * high, 1, tall);
  }
}

/** Names of the rows: every cell where they fit, else the groups when sorted by them. */
function drawGroups(ctx, box, run, state, theme) {
  const high = (box.bottom - box.top) / run.size;
  ctx.textAlign = "right";
  ctx.textBaseline = "middle";
  ctx.font = "12px system-ui, sans-serif";
  ctx.fillStyle = theme.soft;
  if (high >= 12) {
    state.order.forEach((cell, row) => label(ctx, run.names[cell], box.left - 8, box.top + (row + 0.5) * high));
  } else if (state.sort === "by kind") {
    drawGroupNames(ctx, box, run, state, high);
  } else {
    ctx.save();
    ctx.translate(14, (box.top + box.bottom) / 2);
    ctx.rotate(-Math.PI / 2);
    ctx.textAlign = "center";
    ctx.fillText(`${run.size.toLocaleString("en-US")} cells, ${state.sort}`, 0, 0);
    ctx.restore();
  }
}

function drawGroupNames(ctx, box, run, state, high) {
  let [start, lowest] = [0, -Infinity];
  for (let row = 1; row <= run.size; row++) {
    const kind = groupOf(run, state.order[start]);
    if (row < run.size && groupOf(run, state.order[row]) === kind) continue;
    const middle = box.top + ((start + row) / 2) * high;
    if (start) ctx.fillRect(box.left - 6, box.top + start * high - 0.5, 6, 1);
    if (middle - lowest > 13) {
      label(ctx, kind, box.left - 9, middle);
      lowest = middle;
    }
    start = row;
  }
}

/** Text that is cut where it would leave the margin. */
function label(ctx, text, x, y) {
  let shown = text;
  while (shown.length > 1 && ctx.measureText(shown).width > x - 2) shown = `${shown.slice(0, -2)}\u2026`;
  ctx.fillText(shown, x, y);
}

/** Mean rate of the cells in each frame. */
function drawRate(canvas, run, theme) {
  const { ctx, width, height } = prepare(canvas);
  const box = plotBox(width, height, run);
  const bins = Math.min(run.frames, Math.max(20, Math.floor((box.right - box.left) / 4)));
  const wide = run.duration / bins;
  const count = new Float64Array(bins);
  for (const time of run.spikes.time) count[Math.min(bins - 1, Math.floor((time - 1e-9) / wide))]++;
  const hertz = count.map((spikes) => (spikes * 1000) / (run.size * wide));
  const top = Math.max(...hertz) || 1;
  drawBands(ctx, box, run, theme);
  ctx.fillStyle = theme.link;
  hertz.forEach((rate, bin) => {
    const high = (rate / top) * (box.bottom - box.top - 4);
    ctx.fillRect(box.x(bin * wide), box.bottom - high, Math.max(1, box.x(wide) - box.x(0) - 0.5), high);
  });
  drawValueAxis(ctx, box, 0, top * 1.04, "rate (Hz)", theme);
  drawTimeAxis(ctx, box, run, theme);
  return box;
}

function drawValueAxis(ctx, box, low, high, name, theme, count = 3) {
  const y = (value) => box.bottom - ((value - low) / (high - low)) * (box.bottom - box.top);
  ctx.fillStyle = theme.soft;
  ctx.font = "12px system-ui, sans-serif";
  ctx.textAlign = "right";
  ctx.textBaseline = "middle";
  for (const tick of ticks(low, high, count)) {
    ctx.fillRect(box.left - 4, y(tick) - 0.5, 4, 1);
    ctx.fillText(written(tick, { digits: 4 }), box.left - 7, y(tick));
  }
  nameValueAxis(ctx, box, name);
  return y;
}

function nameValueAxis(ctx, box, name) {
  ctx.fillRect(box.left - 0.5, box.top, 1, box.bottom - box.top);
  ctx.save();
  ctx.translate(11, (box.top + box.bottom) / 2);
  ctx.rotate(-Math.PI / 2);
  ctx.textAlign = "center";
  ctx.fillText(name, 0, 0);
  ctx.restore();
}

/** A cell's variable over time: at the resolution of a screen where it is carried, else by frames. */
function traceOf(run, field, cell) {
  if (field === run.voltage && run.traces.of.has(cell)) return [run.traces.time, run.traces.of.get(cell)];
  return [run.time, run.time.map((_, frame) => field.value(cell, frame))];
}

/** Lowest and highest finite value of some traces, with a little room. */
function rangeOf(traces) {
  let [low, high] = [Infinity, -Infinity];
  for (const [, values] of traces) {
    for (const value of values) {
      if (!Number.isFinite(value)) continue;
      if (value < low) low = value;
      if (value > high) high = value;
    }
  }
  if (low > high) [low, high] = [0, 1];
  const room = Math.max((high - low) * 0.06, Math.abs(high) * 1e-3, 1e-9);
  return [low - room, high + room];
}

function drawTrace(canvas, run, cell, field, [time, values], range, color, theme) {
  const { ctx, width, height } = prepare(canvas);
  const box = plotBox(width, height, run, { left: 56, right: 12, top: 10, bottom: 34 });
  drawBands(ctx, box, run, theme);
  const y = drawValueAxis(ctx, box, ...range, withUnit(field.title, field.unit && `(${field.unit})`), theme);
  ctx.strokeStyle = color;
  ctx.lineWidth = 1.4;
  ctx.lineJoin = "round";
  ctx.beginPath();
  let drawing = false;
  for (let i = 0; i < time.length; i++) {
    const good = Number.isFinite(values[i]);
    if (good && drawing) ctx.lineTo(box.x(time[i]), y(values[i]));
    else if (good) ctx.moveTo(box.x(time[i]), y(values[i]));
    drawing = good;
  }
  ctx.stroke();
  if (run.spikes) drawSpikesOf(ctx, box, run, cell, theme);
  drawTimeAxis(ctx, box, run, theme);
  return box;
}

/** Ticks on top of a trace. */
function drawSpikesOf(ctx, box, run, cell, theme) {
  ctx.fillStyle = theme.ink;
  run.spikes.time.forEach((time, spike) => {
    if (run.spikes.cell[spike] === cell) ctx.fillRect(box.x(time) - 0.5, box.top - 7, 1, 6);
  });
}
