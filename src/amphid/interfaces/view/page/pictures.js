// From a picture that has come to what is seen: scales, the moving picture, the drawing of a frame.

function valueOf(cell) {
  return run.rest[cell] + (picture ? picture.change[cell] : 0);
}

/** What is known of the network, unpacked. */
function readNetwork(told) {
  const found = { ...told, names: told.cells.name, size: told.cells.name.length, frames: 1 };
  found.index = new Map(found.names.map((name, cell) => [name, cell]));
  found.place.point = unpack(told.place.point, Float32Array);
  found.place.known = unpack(told.place.known, Uint8Array);
  found.rest = unpack(told.rest, Float32Array);
  found.embedded = Boolean(told.connections);
  found.connections = told.connections ? readConnections(told.connections) : { pre: [], post: [], synapses: [], sign: [], electrical: [] };
  Object.assign(found, { stimulated: [], dead: [], strongest: [], stimulatedSet: new Set(), links: new Map() });
  return found;
}

/** The variable that colors the cells: change of the level, or a rate where cells fire. */
function makeField() {
  const field = run.shows.spikes ? rateShown() : levelShown();
  field.now = new Float32Array(run.size); // its change in the newest picture, by cell
  field.shades = new Uint16Array(run.size).fill(LEVELS); // and its color
  if (field.rate) field.rate = field.now;
  field.change = field.rate ? (cell) => field.now[cell] : (cell) => noticed(field.now[cell]);
  field.value = field.rate ? field.change : valueOf;
  field.share = (cell) => (glide.seen[cell] - LEVELS) / LEVELS;
  return field;
}

function levelShown() {
  const { name, unit } = run.shows;
  const top = unit === "mV" ? 30 : 300;
  const field = { name: "v", title: name, unit, signed: true, logarithmic: true, top, small: top / 1000 };
  const codes = Uint16Array.from({ length: 65536 }, (_, code) => code);
  const table = Uint16Array.from(halves(codes.buffer, 0, 65536), (change) => level(placeOnScale(field, noticed(change))));
  field.renew = () => {
    field.now.set(picture.change);
    const { shades } = field;
    const { codes: found } = picture;
    for (let cell = 0; cell < shades.length; cell++) shades[cell] = table[found[cell]];
  };
  return field;
}

/** Rates fade with simulated time and rise with spikes. */
function rateShown() {
  const field = { name: "rate", title: "firing rate", unit: "Hz", signed: false, logarithmic: false, top: 50, small: 1, rate: true, tau: 60 };
  field.renew = (passed) => {
    const { now, tau } = field;
    const { marks } = picture;
    const kept = Math.exp(-Math.max(passed, 0) / tau);
    for (let cell = 0; cell < now.length; cell++) now[cell] = now[cell] * kept + (marks[cell] & MARK.fired ? 1000 / tau : 0);
    widenScale();
    shadeRates(field);
  };
  return field;
}

function shadeRates({ now, shades, top }) {
  const each = LEVELS / top;
  for (let cell = 0; cell < now.length; cell++) shades[cell] = LEVELS + Math.min(LEVELS, Math.round(now[cell] * each));
}

/** The scale of rates grows with what is seen, in steps of about three. */
function widenScale() {
  const { field } = state;
  const { now } = field;
  let most = 0;
  for (let cell = 0; cell < now.length; cell++) if (now[cell] > most) most = now[cell];
  if (most <= field.top * 1.05) return;
  while (field.top < most) field.top *= String(field.top / 10 ** Math.floor(Math.log10(field.top))).startsWith("1") ? 3 : 10 / 3;
  field.top = Number(field.top.toPrecision(1));
  recolor();
}

function recolor() {
  drawLegend($("legend"), state.field, theme);
  repaintHistory(history, state.field, theme);
  redraw();
}

/** Orders of the rows of the moving picture, and the names beside them. */
function arrange(name) {
  state.sort = name;
  const all = sorts()[name];
  const rows = Math.min(run.size, ROWS);
  const order = new Uint32Array(run.size);
  all.forEach((cell, at) => (order[cell] = Math.floor((at * rows) / run.size)));
  groups = [];
  if (name === "by kind") {
    all.forEach((cell, at) => {
      const kind = groupOf(run, cell);
      const row = Math.floor((at * rows) / run.size);
      if (!groups.length || groups[groups.length - 1].name !== kind) groups.push({ name: kind, from: row, to: row + 1 });
      groups[groups.length - 1].to = row + 1;
    });
  }
  if (run.size <= NAMED_ROWS) groups = all.map((cell, at) => ({ name: run.names[cell], from: at, to: at + 1 }));
  history = makeHistory(run, order);
  history.cells = all;
}

function sorts() {
  const all = Array.from({ length: run.size }, (_, cell) => cell);
  const kinds = groupsOf(run);
  const found = {};
  if (kinds.length > 1) {
    const rank = new Map(kinds.map((kind, k) => [kind, k]));
    found["by kind"] = [...all].sort((a, b) => rank.get(groupOf(run, a)) - rank.get(groupOf(run, b)));
  }
  if (run.place.scale) found["head to tail"] = [...all].sort((a, b) => run.place.point[3 * a] - run.place.point[3 * b]);
  found["as in the file"] = all;
  return found;
}

/** A picture has come. */
function take(frame) {
  if (counters.last !== null && frame.number > counters.last + 1) counters.gaps += frame.number - counters.last - 1;
  counters.last = frame.number;
  counters.pictures++;
  const passed = picture ? frame.time - picture.time : 0;
  if (passed < 0) forget();
  picture = frame;
  state.field.renew(passed);
  readMarks(frame.marks);
  glideOn(frame, passed, performance.now());
  if (passed || !history.filled) remember(history, run, state.field, frame.time, theme);
  takeSamples(frame, passed);
  if (run.worm) takeBody(frame, passed);
  if (feed) setPlaying(Boolean(frame.flags & FLAG.playing));
  if (feed) showRecording(frame);
  showClock();
  due.charts ||= !state.playing || passed <= 0 || counters.pictures % 2 === 0; // slower than the cells
  drawSoon();
}

/** Which cells current flows into, and which are dead. */
function readMarks(marks) {
  due.cells ||= !state.marks || !same(state.marks, marks);
  state.marks = marks;
  run.stimulated = [];
  run.dead = [];
  for (let cell = 0; cell < marks.length; cell++) {
    if (marks[cell] & MARK.driven) run.stimulated.push(cell);
    if (marks[cell] & MARK.dead) run.dead.push(cell);
  }
  run.stimulatedSet = new Set(run.stimulated);
}

/** Every step of the watched cells, or the picture's own value where there are none. */
function takeSamples(frame, passed) {
  const known = new Set(frame.watched);
  frame.watched.forEach((cell, k) => {
    const trace = traces.get(cell);
    if (!trace || !frame.steps) return;
    const times = Array.from({ length: frame.steps }, (_, s) => frame.time - (frame.steps - 1 - s) * run.dt);
    extend(trace, times, frame.samples.subarray(k * frame.steps, (k + 1) * frame.steps));
  });
  if (feed || !passed) return;
  for (const trace of traces.values()) if (!known.has(trace.cell)) extend(trace, [frame.time], [valueOf(trace.cell)]);
}

function takeBody(frame, passed) {
  if (passed) {
    dish.path.push(middleOf(readBody(run.worm, frame.body), 0));
    if (dish.path.length > 3000) dish.path.shift();
  }
  state.touched = state.touched.map((poke) => ({ ...poke, left: poke.left - Math.max(passed, 8) / 300 })).filter((poke) => poke.left > 0);
  if (!state.asking) $("crawl").checked = Boolean(frame.flags & FLAG.crawling);
}

/** Time has gone back: what was drawn of the past is no more. */
function forget() {
  clearHistory(history);
  traces = new Map([...traces.keys()].map((cell) => [cell, makeTrace(cell)]));
  if (dish) dish.path = [];
  state.field.now.fill(0);
}

/** Everything anew. */
function redraw() {
  Object.assign(due, ALL);
  drawSoon();
}

function redrawCells() {
  due.cells = true;
  drawSoon();
}

function drawAll() {
  Object.assign(due, ALL);
  draw();
}

/** What is due, with the next picture of the screen, once however often it is asked for. */
function drawSoon() {
  if (waiting) return;
  waiting = true;
  requestAnimationFrame(() => {
    waiting = false;
    const began = performance.now();
    draw();
    counters.cost += 0.05 * (performance.now() - began - counters.cost);
    counters.frames++;
  });
}

function draw() {
  if (!scene) return;
  const share = glideNow(performance.now());
  const going = share < 1;
  if (due.cells) drawCells(glide.shades ? share : 1);
  if (due.dish && dish) drawBody(share);
  if (due.charts) drawReadings();
  Object.assign(due, { cells: scene.unfinished || (going && glide.shades && due.cells), dish: going && due.dish, charts: false });
  glide.goes = due.cells || due.dish;
  if (glide.goes) drawSoon();
}

function drawCells(share) {
  blend(glide, share);
  (run.size > CROWD ? drawCrowd : drawScene)(scene, theme);
  drawDead();
}

function drawBody(share) {
  if (!glide.body) return;
  blend(glide.body, share);
  drawDish(dish, readBody(run.worm, glide.body.seen), state.touched, theme);
}

function drawReadings() {
  drawCharts();
  showReading();
  if (state.hovered !== null) showHovered();
}

function drawCharts() {
  const now = picture ? picture.time : 0;
  boxes.raster = drawHistory($("raster"), history, run, now, groups, theme);
  drawPanels();
}

/** Crosses over the dead. */
function drawDead() {
  const ctx = scene.canvas.getContext("2d");
  ctx.strokeStyle = theme.ink;
  ctx.lineWidth = 1.8;
  ctx.beginPath();
  for (const cell of run.dead) {
    const [x, y, near] = scene.screen.subarray(3 * cell, 3 * cell + 3);
    const reach = scene.radius * near * 1.2 + 1.5;
    ctx.moveTo(x - reach, y - reach);
    ctx.lineTo(x + reach, y + reach);
    ctx.moveTo(x + reach, y - reach);
    ctx.lineTo(x - reach, y + reach);
  }
  ctx.stroke();
}

/** What each new picture says in words. */
function showClock() {
  const real = feed && state.playing && picture.speed < KEEPING * state.speed ? `, runs at ${written(picture.speed, { digits: 2 })}\u00d7` : "";
  $("clock").textContent = `${(picture.time / 1000).toFixed(2)} s${real}`;
  if (run.worm) $("smell").textContent = readBody(run.worm, picture.body).food ? `Food at the nose: ${Math.round(100 * picture.food)} % of its middle.` : "";
}

function setPlaying(on) {
  state.playing = on;
  const text = on ? "Pause" : "Play";
  if ($("play").textContent !== text) $("play").textContent = text; // each writing lays the page out
}
