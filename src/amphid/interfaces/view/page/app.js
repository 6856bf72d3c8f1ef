// The page: what is known of the network, what is chosen, and what follows from a new picture.

const $ = (id) => document.getElementById(id);
const tape = JSON.parse($("tape").textContent);
const state = { frame: 0, field: null, picked: null, hovered: null, sort: "", pinned: [], touched: [], playing: true };
let run = null;
let scene = null;
let dish = null;
let history = null;
let theme = readTheme(false);
let feed = null;
let picture = null; // the newest
let waiting = false;
let groups = [];
let traces = new Map();
let panels = [];
let boxes = {};
let counters = { frames: 0, pictures: 0, gaps: 0, errors: 0, cost: 0, last: null };

/** For tests and the curious. */
window.amphid = {
  state,
  get run() { return run; },
  get frames() { return counters.frames; },
  get pictures() { return counters.pictures; },
  get gaps() { return counters.gaps; },
  get errors() { return counters.errors; },
  get cost() { return counters.cost; }, // ms that a drawing takes
  drop: () => feed.socket.close(4000),
  get time() { return picture ? picture.time : 0; },
  get actions() { return picture ? picture.actions : 0; },
  get playing() { return state.playing; },
  get connection() { return state.connection; },
  get picked() { return state.picked === null ? null : run.names[state.picked]; },
  get view() { return scene.view; },
  get said() { return state.said; },
  spot: (name) => Array.from(scene.screen.slice(3 * run.names.indexOf(name), 3 * run.names.indexOf(name) + 2)),
  value: (name) => valueOf(run.names.indexOf(name)),
  dead: (name) => Boolean(picture.marks[run.names.indexOf(name)] & MARK.dead),
  bodySpot: (place) => dish.view.to(middleOf(dish.pose, Math.round(place * (dish.worm.rods - 1)))),
};

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
  Object.assign(found, { stimulated: [], strongest: [], stimulatedSet: new Set(), links: new Map() });
  return found;
}

/** The variable that colors the cells: change of the level, or a rate where cells fire. */
function makeField() {
  const { shows } = run;
  if (!shows.spikes) {
    const field = { name: "v", title: shows.name, unit: shows.unit, signed: true, logarithmic: true, top: shows.unit === "mV" ? 30 : 300 };
    field.small = field.top / 1000;
    field.change = (cell) => (picture ? picture.change[cell] : 0);
    field.value = valueOf;
    return field;
  }
  const rate = new Float32Array(run.size);
  const field = { name: "rate", title: "firing rate", unit: "Hz", signed: false, logarithmic: false, top: 50, small: 1, rate, tau: 60 };
  field.change = (cell) => rate[cell];
  field.value = field.change;
  return field;
}

/** Rates fade with simulated time and rise with spikes. */
function fireRates(passed) {
  const { rate, tau } = state.field;
  const kept = Math.exp(-Math.max(passed, 0) / tau);
  for (let cell = 0; cell < run.size; cell++) {
    rate[cell] *= kept;
    if (picture.marks[cell] & MARK.fired) rate[cell] += (1000 / tau) * 1;
  }
}

/** The scale grows with what is seen, in steps of about three; one in decades is wide from the start. */
function widenScale() {
  const { field } = state;
  if (field.logarithmic) return;
  let most = 0;
  for (let cell = 0; cell < run.size; cell++) {
    const change = Math.abs(field.change(cell, 0));
    if (change > most && Number.isFinite(change)) most = change;
  }
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
  if (run.shows.spikes) fireRates(passed);
  run.stimulated = [];
  for (let cell = 0; cell < run.size; cell++) if (frame.marks[cell] & MARK.driven) run.stimulated.push(cell);
  run.stimulatedSet = new Set(run.stimulated);
  if (passed || !history.filled) remember(history, run, state.field, frame.time, theme);
  takeSamples(frame, passed);
  if (run.worm) takeBody(frame, passed);
  if (feed) setPlaying(Boolean(frame.flags & FLAG.playing));
  widenScale();
  redraw();
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
  dish.pose = readBody(run.worm, frame.body);
  if (passed) {
    dish.path.push(middleOf(dish.pose, 0));
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
  if (state.field.rate) state.field.rate.fill(0);
}

function redraw() {
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

let drawn = 0;
function draw() {
  if (!scene) return;
  (run.size > CROWD ? drawCrowd : drawScene)(scene, theme);
  drawDead();
  if (dish) drawDish(dish, dish.pose, state.touched, theme);
  showClock();
  if (drawn++ % 2) return; // the charts move slower than the cells
  const now = picture ? picture.time : 0;
  boxes.raster = drawHistory($("raster"), history, run, now, groups, theme);
  drawPanels();
  showReading();
}

/** Crosses over the dead. */
function drawDead() {
  if (!picture) return;
  const ctx = scene.canvas.getContext("2d");
  ctx.strokeStyle = theme.ink;
  ctx.lineWidth = 1.8;
  ctx.beginPath();
  for (let cell = 0; cell < run.size; cell++) {
    if (!(picture.marks[cell] & MARK.dead)) continue;
    const [x, y, near] = scene.screen.subarray(3 * cell, 3 * cell + 3);
    const reach = scene.radius * near * 1.2 + 1.5;
    ctx.moveTo(x - reach, y - reach);
    ctx.lineTo(x + reach, y + reach);
    ctx.moveTo(x + reach, y - reach);
    ctx.lineTo(x - reach, y + reach);
  }
  ctx.stroke();
}

function showClock() {
  if (!picture) return;
  const real = feed && state.playing && picture.speed < 0.9 * state.speed ? `, runs at ${written(picture.speed, { digits: 2 })}\u00d7` : "";
  $("clock").textContent = `${(picture.time / 1000).toFixed(2)} s${real}`;
  if (run.worm) $("smell").textContent = dish.pose?.food ? `Food at the nose: ${Math.round(100 * picture.food)} % of its middle.` : "";
}

function setPlaying(on) {
  if (state.playing === on && $("play").textContent !== "") {
    $("play").textContent = on ? "Pause" : "Play";
    return;
  }
  state.playing = on;
  $("play").textContent = on ? "Pause" : "Play";
}

/** The chosen cell. */
function choose(cell) {
  state.picked = cell;
  $("find").value = cell === null ? "" : run.names[cell];
  const none = cell === null;
  for (const id of ["stimulate", "lesion", "pin"]) $(id).disabled = none;
  $("cell-title").textContent = none ? "No cell chosen" : run.names[cell];
  $("cell-about").textContent = none ? "Click one in the picture, or search for it." : describe(run, cell);
  $("links").replaceChildren();
  showReading();
  redraw();
  if (none) return;
  if (run.embedded || run.links.has(cell)) showLinks(cell);
  else if (feed) feed.send("links", { cell: run.names[cell] }, ({ links }) => {
    run.links.set(cell, links);
    if (state.picked === cell) showLinks(cell);
  });
}

function linksOf(cell) {
  return run.links.get(cell) || connectionsOf(run, cell);
}

function showReading() {
  const cell = state.picked;
  const line = $("cell-reading");
  line.replaceChildren();
  if (cell === null || !picture) return;
  const dead = picture.marks[cell] & MARK.dead;
  const { unit, name } = run.shows;
  const change = document.createElement("small");
  const driven = picture.marks[cell] & MARK.driven ? ", current flows into it" : "";
  const rate = state.field.rate ? `, fires at ${written(state.field.rate[cell], { digits: 2 })} Hz` : "";
  change.textContent = dead ? "dead" : `${name}, ${withUnit(written(picture.change[cell], { sign: true, digits: 2 }), unit)} from rest${rate}${driven}`;
  line.append(withUnit(written(valueOf(cell)), unit), change);
  $("lesion").textContent = dead ? "Restore" : "Kill";
  $("pin").textContent = state.pinned.includes(cell) ? "Unpin trace" : "Pin trace";
}

function showLinks(cell) {
  const all = linksOf(cell);
  const columns = [["Input from", (l) => !l.electrical && !l.out], ["Output to", (l) => !l.electrical && l.out]];
  const parts = columns.map(([title, wanted]) => linkList(title, all.filter(wanted)));
  parts.push(linkList("Gap junctions with", all.filter((l) => l.electrical)));
  const key = document.createElement("p");
  key.className = "key";
  key.textContent = "+ excites, \u2212 inhibits, = gap junction; numbers are sizes of connections.";
  $("links").replaceChildren(...parts.filter(Boolean), key);
}

function linkList(title, links) {
  if (!links.length) return null;
  const box = document.createElement("div");
  const heading = document.createElement("h3");
  heading.textContent = `${title} (${links.length >= 300 ? "300 or more" : links.length})`;
  const list = document.createElement("ul");
  for (const link of links.slice(0, 6)) list.append(linkRow(link));
  box.append(heading, list);
  return box;
}

function linkRow({ other, sign, electrical, synapses }) {
  const row = document.createElement("li");
  const left = document.createElement("span");
  const mark = document.createElement("i");
  [mark.textContent, mark.className] = electrical ? ["=", "gap"] : sign < 0 ? ["\u2212", "inhibit"] : sign > 0 ? ["+", "excite"] : ["?", "gap"];
  left.append(mark, " ", cellButton(other));
  const size = document.createElement("span");
  size.textContent = written(synapses);
  row.append(left, size);
  return row;
}

function cellButton(cell) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "cell";
  button.textContent = run.names[cell];
  button.addEventListener("click", () => choose(cell));
  return button;
}

/** What a click on a cell does. */
function touchCell(cell, event) {
  choose(cell);
  if (cell === null || !feed || event?.altKey) return;
  if (event?.shiftKey) kill();
  else stimulate();
}

function stimulate() {
  if (state.picked === null || !feed) return;
  const words = { cell: run.names[state.picked], amplitude: Number($("amplitude").value), duration: Number($("duration").value) };
  if (!state.pinned.includes(state.picked) && state.pinned.length < 1) pin(state.picked);
  feed.send("stimulate", words);
}

function kill() {
  if (state.picked === null || !feed) return;
  const dead = picture && picture.marks[state.picked] & MARK.dead;
  feed.send(dead ? "restore" : "lesion", { cell: run.names[state.picked] });
}

function pin(cell) {
  if (cell === null) return;
  const there = state.pinned.includes(cell);
  state.pinned = there ? state.pinned.filter((one) => one !== cell) : [...state.pinned, cell].slice(-6);
  for (const one of state.pinned) if (!traces.has(one)) traces.set(one, makeTrace(one));
  for (const one of [...traces.keys()]) if (!state.pinned.includes(one)) traces.delete(one);
  watch();
  makePanels();
  showReading();
}

function watch() {
  if (feed) feed.send("watch", { cells: state.pinned.map((cell) => run.names[cell]) });
}

function makePanels() {
  panels = state.pinned.map((cell) => {
    const panel = document.createElement("div");
    panel.className = "panel";
    const heading = document.createElement("h3");
    const close = document.createElement("button");
    close.type = "button";
    close.textContent = "\u00d7";
    close.setAttribute("aria-label", `Unpin ${run.names[cell]}`);
    close.addEventListener("click", () => pin(cell));
    heading.append(cellButton(cell), close);
    const canvas = document.createElement("canvas");
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", `${run.shows.name} of ${run.names[cell]} over time`);
    panel.append(heading, canvas);
    return { cell, canvas, panel };
  });
  $("traces").replaceChildren(...panels.map(({ panel }) => panel));
  $("traces-note").textContent = panels.length ? "" : "Choose a cell and pin it: p";
  drawPanels();
}

function drawPanels() {
  const title = withUnit(run.shows.name, run.shows.unit && `(${run.shows.unit})`);
  for (const { cell, canvas } of panels) {
    const color = run.stimulatedSet.has(cell) ? theme.accent : theme.link;
    drawLiveTrace(canvas, traces.get(cell), SPAN * history.stretch, picture ? picture.time : 0, title, color, theme);
  }
}

/** Messages of the server. */
function hear(message, frame) {
  if (frame) {
    if (run) take(frame);
    return;
  }
  if (message.op === "hello") {
    state.asking = false;
    $("log").replaceChildren();
    message.log.forEach((event) => logged(event, false));
    $("seed").value = message.seed;
    showSpeed(message.speed);
    counters.last = null;
    watch();
  } else if (message.op === "event") logged(message, true);
  else if (message.op === "speed") showSpeed(message.value);
  else if (message.op === "reset") {
    $("log").replaceChildren();
    $("log-count").textContent = "";
    $("seed").value = message.seed;
    forget();
  } else if (message.op === "error") {
    state.asking = false;
    counters.errors++;
    say(message.message, true);
  }
}

function logged({ time, text, place }, fresh) {
  const row = document.createElement("li");
  const when = document.createElement("time");
  when.textContent = `${(time / 1000).toFixed(2)} s`;
  const what = document.createElement("span");
  what.textContent = text;
  row.append(when, what);
  $("log").append(row);
  while ($("log").children.length > 200) $("log").firstChild.remove();
  $("log").scrollTop = $("log").scrollHeight;
  if (!fresh) return;
  if (place !== null && run?.worm) state.touched.push({ place, left: 1 });
  say(text, false);
}

let quiet = null;
function say(text, bad) {
  state.said = text;
  $("said").textContent = text;
  if (!bad) return;
  banner(text, true);
  clearTimeout(quiet);
  quiet = setTimeout(() => state.connection === "open" && banner("", false), 6000);
}

function banner(text, bad) {
  $("banner").hidden = !text;
  $("banner").textContent = text;
  $("banner").classList.toggle("bad", bad);
}

const STANDS = {
  open: "",
  lost: "The connection is lost; trying again \u2026",
  stopped: "The server has stopped. What you see is the last picture; start it again with amphid view.",
  refused: "The server does not know this page: open the address that it printed.",
  busy: "The server takes no more pages or messages from here.",
};

function stood(how) {
  state.connection = how;
  banner(STANDS[how], how !== "open");
  document.body.classList.toggle("away", how !== "open");
  if (how === "stopped") setPlaying(false);
}

function showSpeed(value) {
  state.speed = value;
  $("speed").value = Math.log10(value);
  $("speed-shown").textContent = `${written(value, { digits: 2 })}\u00d7`;
}

function copyScript() {
  feed.send("script", {}, ({ text }) => {
    $("code").hidden = false;
    $("code-text").textContent = text;
    state.script = text;
    const done = () => {
      $("script").textContent = "Copied";
      setTimeout(() => ($("script").textContent = "Copy as Python"), 1500);
    };
    const select = () => getSelection().selectAllChildren($("code-text"));
    if (navigator.clipboard) navigator.clipboard.writeText(text).then(done, select);
    else select();
  });
}

function record() {
  feed.send("record", {}, ({ recording, folder }) => {
    $("record").classList.toggle("recording", recording);
    $("record-text").textContent = recording ? "Stop and save" : "Record";
    if (!folder) return;
    say(`Recorded into ${folder}`, false);
    banner(`Recorded into ${folder}`, false);
    setTimeout(() => state.connection === "open" && banner("", false), 8000);
  });
}

/** The table of the same data, made when it is opened and brought up to date twice a second. */
function fillTable() {
  if (!$("table-box").open || !picture) return;
  const most = 1000;
  const body = $("table");
  if (!body.children.length) {
    for (let cell = 0; cell < Math.min(run.size, most); cell++) {
      const row = document.createElement("tr");
      const name = document.createElement("th");
      name.scope = "row";
      name.append(cellButton(cell));
      const kind = document.createElement("td");
      kind.textContent = run.cells.kind[cell];
      const group = document.createElement("td");
      group.textContent = run.cells.cell_class[cell];
      row.append(name, kind, group, ...[0, 1, 2].map(() => document.createElement("td")));
      body.append(row);
    }
    if (run.size > most) $("table-note").textContent = `The first ${most.toLocaleString("en-US")} of ${run.size.toLocaleString("en-US")} cells; others by search.`;
  }
  const { unit } = run.shows;
  [...body.children].forEach((row, cell) => {
    const marks = picture.marks[cell];
    const words = [marks & MARK.dead && "dead", marks & MARK.driven && "stimulated"].filter(Boolean).join(", ");
    const told = [withUnit(written(valueOf(cell)), unit), withUnit(written(picture.change[cell], { sign: true, digits: 2 }), unit), words];
    told.forEach((text, k) => {
      const box = row.children[3 + k];
      if (box.textContent !== text) box.textContent = text;
    });
  });
}

function fillIn() {
  document.body.classList.add(feed ? "live" : "tape");
  document.body.classList.toggle("bodiless", !run.worm);
  for (const name of run.names.slice(0, 20000)) option($("names"), name);
  for (const name of Object.keys(sorts())) option($("sort"), name);
  $("level-title").textContent = withUnit(run.shows.name, run.shows.unit && `(${run.shows.unit})`);
  $("cells-note").textContent = run.place.note;
  $("cells").setAttribute("aria-label", `${run.title}: ${run.size} cells, colored by ${state.field.title}`);
  $("raster").setAttribute("aria-label", `${state.field.title} of all cells over the last seconds`);
  $("raster-title").textContent = run.shows.spikes ? "Every cell: firing rate" : `Every cell: change of ${run.shows.name}`;
  const { chemical, electrical } = run.total;
  const count = (number) => number.toLocaleString("en-US");
  $("foot").textContent = `${count(run.size)} cells, ${count(chemical)} chemical connections, ${count(electrical)} gap junctions; steps of ${run.dt} ms, ${run.note}.`;
  if (!run.worm) return;
  $("dish-card").hidden = false;
  $("dish").setAttribute("aria-label", "The body of the worm in a round dish, seen from above");
  for (const text of run.worm.limits) {
    const row = document.createElement("li");
    row.textContent = text;
    $("limits").append(row);
  }
}

function option(select, text) {
  const entry = document.createElement("option");
  entry.textContent = text;
  entry.value = text;
  select.append(entry);
}

function showTip(tip, text, x, y) {
  tip.hidden = !text;
  if (!text) return;
  tip.textContent = text;
  const room = tip.parentElement.clientWidth;
  tip.style.left = `${Math.max(4, Math.min(x + 14, room - tip.offsetWidth - 4))}px`;
  tip.style.top = `${y > tip.offsetHeight + 16 ? y - tip.offsetHeight - 10 : y + 18}px`;
}

function hover(cell, x, y) {
  const text = cell === null ? "" : `${run.names[cell]}${describe(run, cell) ? `\n${describe(run, cell)}` : ""}\n${reading(run, state.field, cell, 0)}`;
  showTip($("cells-tip"), text, x, y);
  if (cell === state.hovered) return;
  state.hovered = cell;
  redraw();
}

/** The cell under the mouse in the moving picture. */
function rowAt(event) {
  const box = boxes.raster;
  if (!box || event.offsetY < box.top || event.offsetY >= box.bottom || event.offsetX < box.left) return null;
  const share = (event.offsetY - box.top) / (box.bottom - box.top);
  return history.cells[Math.min(run.size - 1, Math.floor(share * run.size))];
}

function listen() {
  listenToScene(scene, redraw, touchCell, hover);
  $("play").addEventListener("click", togglePlay);
  $("speed").addEventListener("input", (event) => speedTo(10 ** Number(event.target.value)));
  $("find").addEventListener("change", (event) => choose(run.index.get(event.target.value.trim()) ?? null));
  $("pin").addEventListener("click", () => pin(state.picked));
  $("sort").addEventListener("change", (event) => {
    arrange(event.target.value);
    redraw();
  });
  for (const [id, change] of [["zoom-in", "+"], ["zoom-out", "-"], ["zoom-reset", "0"]]) {
    $(id).addEventListener("click", () => {
      keyOnScene(scene, change);
      redraw();
    });
  }
  $("raster").addEventListener("pointermove", (event) => {
    const cell = rowAt(event);
    showTip($("raster-tip"), cell === null ? "" : run.names[cell], event.offsetX, event.offsetY);
  });
  $("raster").addEventListener("pointerleave", () => showTip($("raster-tip"), "", 0, 0));
  $("raster").addEventListener("click", (event) => rowAt(event) !== null && choose(rowAt(event)));
  $("table-box").addEventListener("toggle", fillTable);
  setInterval(fillTable, 500);
  document.addEventListener("keydown", onKey);
  listenToSurroundings();
  if (dish) $("follow").addEventListener("change", (event) => {
    dish.follow = event.target.checked;
    redraw();
  });
  if (feed) listenLive();
}

/** Cells that spike take more than graded ones: a click should make one fire. */
function fitCurrent() {
  if (!run.shows.spikes) return;
  Object.assign($("amplitude"), { min: -1000, max: 1000, step: 10, value: 300 });
  $("amplitude-shown").textContent = "300 pA";
}

function listenLive() {
  fitCurrent();
  $("step").addEventListener("click", () => feed.send("step"));
  $("reset").addEventListener("click", () => feed.send("reset", { seed: seedTyped() }));
  $("seed").addEventListener("change", () => feed.send("reset", { seed: seedTyped() }));
  $("record").addEventListener("click", record);
  $("script").addEventListener("click", copyScript);
  $("stimulate").addEventListener("click", stimulate);
  $("lesion").addEventListener("click", kill);
  $("amplitude").addEventListener("input", (event) => ($("amplitude-shown").textContent = `${written(Number(event.target.value))} pA`));
  if (!dish) return;
  $("crawl").addEventListener("change", (event) => {
    state.asking = true; // pictures that are on their way know nothing of it
    feed.send("crawl", { on: event.target.checked }, () => (state.asking = false));
  });
  $("dish").addEventListener("click", (event) => {
    const place = placeAlong(dish, event.offsetX, event.offsetY);
    if (place !== null) return feed.send("poke", { place });
    const [x, y] = dish.view.from(event.offsetX, event.offsetY);
    return feed.send("feed", { x, y });
  });
  $("dish").addEventListener("keydown", (event) => {
    const places = { 1: 0.0, 2: 0.3, 3: 0.8 };
    if (event.key in places) feed.send("poke", { place: places[event.key] });
    else if (event.key === "f") {
      const [x, y] = middleOf(dish.pose, 0);
      feed.send("feed", { x, y });
    }
  });
}

function seedTyped() {
  return Math.max(0, Math.floor(Number($("seed").value) || 0));
}

function togglePlay() {
  if (feed) feed.send(state.playing ? "pause" : "play");
  else playTape(!state.playing);
}

function speedTo(value) {
  const round = Number(Math.min(10, Math.max(0.1, value)).toPrecision(2));
  if (feed) feed.send("speed", { value: round });
  showSpeed(round);
}

function onKey(event) {
  const typing = /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName) && event.target.type !== "range" && event.target.type !== "checkbox";
  if (typing || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === " " && /^(BUTTON|SUMMARY)$/.test(event.target.tagName)) return;
  const live = { ".": () => feed.send("step"), s: stimulate, k: kill, r: () => feed.send("reset", { seed: seedTyped() }) };
  const always = {
    " ": togglePlay,
    p: () => pin(state.picked),
    "/": () => $("find").focus(),
    "]": () => choose(((state.picked ?? -1) + 1) % run.size),
    "[": () => choose(((state.picked ?? run.size) + run.size - 1) % run.size),
  };
  const act = always[event.key] || (feed && live[event.key]);
  if (!act) return;
  event.preventDefault();
  act();
}

/** Size of the window, light and dark. */
function listenToSurroundings() {
  new ResizeObserver(redraw).observe(document.body);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    theme = readTheme(false);
    recolor();
  });
}

/** Everything about a network that has just become known. */
function begin(told) {
  run = readNetwork(told);
  state.field = makeField();
  scene = makeScene($("cells"), run, state);
  scene.all = Uint32Array.from({ length: run.size }, (_, cell) => cell);
  if (run.worm) dish = makeDish($("dish"), run.worm);
  fillIn();
  arrange(Object.keys(sorts())[0]);
  $("sort").value = state.sort;
  listen();
  makePanels();
  choose(null);
  drawLegend($("legend"), state.field, theme);
  redraw();
}

/** A tape plays by itself, in the time of the person. */
const reel = { at: 0, shown: 0, last: 0 };

function showTape(at) {
  reel.at = Math.max(0, Math.min(tape.frames.length - 1, at));
  const next = picture ? tape.frames.indexOf(picture) + 1 : 0;
  if (reel.at < next - 1) forget();
  const start = reel.at < next - 1 ? 0 : next;
  if (start === 0) picture = null;
  for (let k = start; k <= reel.at; k++) take(tape.frames[k]);
  $("scrub").value = reel.at;
  $("scrub").setAttribute("aria-valuetext", `${(picture.time / 1000).toFixed(2)} s`);
}

function playTape(on) {
  setPlaying(on);
  if (!on) return;
  if (reel.at === tape.frames.length - 1) showTape(0);
  [reel.shown, reel.last] = [tape.frames[reel.at].time, performance.now()];
  const tick = (now) => {
    if (!state.playing) return;
    reel.shown += (now - reel.last) * state.speed;
    reel.last = now;
    let at = reel.at;
    while (at < tape.frames.length - 1 && tape.frames[at + 1].time <= reel.shown) showTape(++at);
    state.playing = true;
    if (at === tape.frames.length - 1) setPlaying(false);
    else requestAnimationFrame(tick);
  };
  requestAnimationFrame(tick);
}

function openTape() {
  const bytes = unpack(tape.frames, Uint8Array).buffer;
  let at = 0;
  tape.frames = tape.sizes.map((size) => readFrame(bytes.slice(at, (at += size))));
  state.connection = "tape";
  showSpeed(1);
  begin(tape.network);
  for (const name of tape.pinned) pin(run.index.get(name));
  tape.log.forEach((event) => logged({ ...event, place: null }, false));
  $("scrub").max = tape.frames.length - 1;
  $("scrub").addEventListener("input", (event) => {
    setPlaying(false);
    showTape(Number(event.target.value));
  });
  showTape(0);
  playTape(true);
}

async function openLive() {
  const token = new URLSearchParams(location.search).get("token") || "";
  const answer = await fetch(`/network?token=${encodeURIComponent(token)}`);
  if (!answer.ok) return stood("refused");
  const told = await answer.json();
  feed = openSocket(hear, stood);
  return begin(told);
}

if (tape?.host) {
  feed = openHost(hear, stood);
  begin(tape.network);
} else if (tape) openTape();
else openLive().catch(() => stood("stopped"));
