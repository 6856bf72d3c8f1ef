// What has been: all cells as rows of a moving picture, and traces of the pinned ones.

const SPAN = 512; // columns that are kept
const ROWS = 400; // more cells than this share rows
const NAMED_ROWS = 15; // cells up to which each row has its name
const KEPT = 60_000; // samples of a trace

/** A ring of columns, one for each stretch of simulated time. */
function makeHistory(run, orders) {
  const rows = Math.min(run.size, ROWS);
  const image = document.createElement("canvas");
  [image.width, image.height] = [SPAN, rows];
  const history = { rows, image, ctx: image.getContext("2d"), values: new Float32Array(SPAN * rows), order: orders };
  Object.assign(history, { column: new ImageData(1, rows), at: 0, filled: 0, stretch: 10, time: null, peak: new Float32Array(rows) });
  return history;
}

function clearHistory(history) {
  Object.assign(history, { at: 0, filled: 0, time: null });
  history.ctx.clearRect(0, 0, SPAN, history.rows);
  history.values.fill(0);
  history.peak.fill(0);
}

/** Adds a picture: within a stretch of time the largest change of the cells of a row counts. */
function remember(history, run, field, time, theme) {
  const stretch = Math.floor(time / history.stretch);
  if (history.time === null) history.time = stretch;
  const { order, peak } = history;
  const { now } = field;
  for (let cell = 0; cell < now.length; cell++) {
    const row = order[cell];
    if (Math.abs(now[cell]) > Math.abs(peak[row])) peak[row] = now[cell];
  }
  if (stretch === history.time) return;
  const columns = Math.min(SPAN, Math.max(1, stretch - history.time));
  for (let k = 0; k < columns; k++) putColumn(history, field, theme);
  history.time = stretch;
  history.peak.fill(0);
}

function putColumn(history, field, theme) {
  const { column, rows, at, values } = history;
  for (let row = 0; row < rows; row++) {
    values[at * rows + row] = history.peak[row];
    paint(column.data, row, history.peak[row], field, theme);
  }
  history.ctx.putImageData(column, at, 0);
  history.at = (at + 1) % SPAN;
  history.filled = Math.min(SPAN, history.filled + 1);
}

function paint(data, row, change, field, theme) {
  const rgb = theme.rgb[level(placeOnScale(field, change))];
  [data[4 * row], data[4 * row + 1], data[4 * row + 2], data[4 * row + 3]] = [...rgb, 255];
}

/** All columns anew, as after a change of scale or of light and dark. */
function repaintHistory(history, field, theme) {
  for (let at = 0; at < SPAN; at++) {
    for (let row = 0; row < history.rows; row++) paint(history.column.data, row, history.values[at * history.rows + row], field, theme);
    history.ctx.putImageData(history.column, at, 0);
  }
}

const RASTER = { left: 76, right: 10, top: 6, bottom: 34 };

/** The moving picture: now at the right edge. */
function drawHistory(canvas, history, run, now, groups, theme) {
  const { ctx, width, height } = prepare(canvas);
  const box = { left: RASTER.left, top: RASTER.top, right: width - RASTER.right, bottom: height - RASTER.bottom };
  const wide = box.right - box.left;
  ctx.fillStyle = theme.rgb && theme.css[LEVELS];
  ctx.fillRect(box.left, box.top, wide, box.bottom - box.top);
  ctx.imageSmoothingEnabled = history.rows > box.bottom - box.top;
  const step = wide / SPAN;
  const older = SPAN - history.at; // columns right of the write position are the oldest
  ctx.drawImage(history.image, history.at, 0, Math.max(older, 0.001), history.rows, box.left, box.top, older * step, box.bottom - box.top);
  if (history.at) ctx.drawImage(history.image, 0, 0, history.at, history.rows, box.left + older * step, box.top, history.at * step, box.bottom - box.top);
  const span = SPAN * history.stretch;
  timeAxis(ctx, box, now - span, now, theme);
  if (groups.length) nameGroups(ctx, box, history.rows, groups, theme);
  else nameRows(ctx, box, `${run.size.toLocaleString("en-US")} cells`, theme);
  return box;
}

/** Times in s, moving with the picture. */
function timeAxis(ctx, box, from, to, theme) {
  ctx.fillStyle = theme.soft;
  ctx.font = "12px system-ui, sans-serif";
  ctx.textAlign = "center";
  ctx.textBaseline = "top";
  ctx.fillRect(box.left, box.bottom, box.right - box.left, 1);
  const x = (time) => box.left + ((time - from) / (to - from)) * (box.right - box.left);
  for (const tick of ticks(from, to, Math.max(2, (box.right - box.left) / 120))) {
    if (tick < 0 || x(tick) > box.right - 8) continue;
    ctx.fillRect(x(tick) - 0.5, box.bottom, 1, 4);
    ctx.fillText(written(tick / 1000, { digits: 6 }), x(tick), box.bottom + 6);
  }
  ctx.fillText("simulated time (s)", (box.left + box.right) / 2, box.bottom + 20);
}

/** What the rows are where there are too many, and too few kinds, to be named. */
function nameRows(ctx, box, text, theme) {
  ctx.save();
  ctx.fillStyle = theme.soft;
  ctx.font = "12px system-ui, sans-serif";
  ctx.textAlign = "center";
  ctx.textBaseline = "middle";
  ctx.translate(box.left - 14, (box.top + box.bottom) / 2);
  ctx.rotate(-Math.PI / 2);
  ctx.fillText(text, 0, 0);
  ctx.restore();
}

function nameGroups(ctx, box, rows, groups, theme) {
  const high = (box.bottom - box.top) / rows;
  ctx.fillStyle = theme.soft;
  ctx.font = "12px system-ui, sans-serif";
  ctx.textAlign = "right";
  ctx.textBaseline = "middle";
  let lowest = -Infinity;
  for (const { name, from, to } of groups) {
    const middle = box.top + ((from + to) / 2) * high;
    if (from) ctx.fillRect(box.left - 6, box.top + from * high - 0.5, 6, 1);
    if (middle - lowest < 13) continue;
    label(ctx, name, box.left - 9, middle);
    lowest = middle;
  }
}

/** A trace that forgets its oldest samples. */
function makeTrace(cell) {
  return { cell, time: [], value: [] };
}

function extend(trace, times, values) {
  for (let k = 0; k < times.length; k++) {
    trace.time.push(times[k]);
    trace.value.push(values[k]);
  }
  if (trace.time.length > KEPT) {
    trace.time.splice(0, KEPT / 4);
    trace.value.splice(0, KEPT / 4);
  }
}

/** A pinned cell: its level over the same stretch of time as the picture above. */
function drawLiveTrace(canvas, trace, span, now, title, color, theme) {
  const { ctx, width, height } = prepare(canvas);
  const box = { left: RASTER.left, top: 8, right: width - RASTER.right, bottom: height - 34 };
  const from = now - span;
  let first = trace.time.length;
  while (first > 0 && trace.time[first - 1] >= from) first--;
  const seen = trace.value.slice(first);
  let [low, high] = rangeOf([[null, seen]]);
  if (high - low < 0.02) [low, high] = [low - 0.01, high + 0.01];
  const y = drawValueAxis(ctx, box, low, high, title, theme);
  ctx.save();
  ctx.beginPath();
  ctx.rect(box.left, 0, box.right - box.left, height);
  ctx.clip();
  ctx.strokeStyle = color;
  ctx.lineWidth = 1.5;
  ctx.lineJoin = "round";
  ctx.beginPath();
  const x = (time) => box.left + ((time - from) / span) * (box.right - box.left);
  const every = Math.max(1, Math.floor(seen.length / (2 * width)));
  for (let k = 0; k < seen.length; k += every) {
    let [least, most] = [seen[k], seen[k]];
    for (let j = k + 1; j < Math.min(k + every, seen.length); j++) {
      least = Math.min(least, seen[j]);
      most = Math.max(most, seen[j]);
    }
    const at = x(trace.time[first + k]);
    ctx.lineTo(at, y(least));
    if (most > least) ctx.lineTo(at, y(most));
  }
  ctx.stroke();
  ctx.restore();
  timeAxis(ctx, box, from, now, theme);
}
