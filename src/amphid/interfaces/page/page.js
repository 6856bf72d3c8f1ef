// The page: one state, and what follows when it changes.

const run = readRun();
const $ = (id) => document.getElementById(id);
const state = { frame: 0, playing: false, field: run.fields[0], picked: null, hovered: null, sort: "", order: [] };
run.voltage = run.fields.find((field) => field.signed) || null; // what the traces show
const scene = makeScene($("cells"), run, state);
const sorts = orders(run);
let theme = readTheme(false);
let panels = [];
let boxes = {};
let speed = run.duration / 10_000; // ms of the run for one ms of life: ten seconds in all
let carriedNote = "";
let waiting = false;
let shownAt = 0;

/** For tests and the curious. */
window.amphid = {
  run,
  state,
  view: scene.view,
  frames: 0,
  get time() { return run.time[state.frame]; },
  get hovered() { return state.hovered === null ? null : run.names[state.hovered]; },
  get picked() { return state.picked === null ? null : run.names[state.picked]; },
  get playing() { return state.playing; },
  get frame() { return state.frame; },
  spot: (name) => Array.from(scene.screen.slice(3 * run.names.indexOf(name), 3 * run.names.indexOf(name) + 2)),
};

/** Draws the cells with the next picture of the screen, once however often it is asked for. */
function redraw() {
  if (waiting) return;
  waiting = true;
  requestAnimationFrame(() => {
    waiting = false;
    drawScene(scene, theme);
    window.amphid.frames++;
    if (scene.unfinished) redraw();
  });
}

/** What the caption says of the picture depends on how it stands. */
function describePicture() {
  const upright = carriedNote.replace("head to the left, dorsal side up", "head on top, dorsal side to the right");
  $("cells-note").textContent = scene.turned ? upright : carriedNote;
}

function redrawCharts() {
  drawLegend($("legend"), state.field, theme);
  boxes.rows = drawRows($("rows"), run, state, theme);
  if (run.spikes) boxes.rate = drawRate($("rate"), run, theme);
  drawPanels();
  moveCursors();
}

function redrawAll() {
  redraw();
  redrawCharts();
}

function moveCursors() {
  const time = run.time[state.frame];
  const spots = [[$("rows"), boxes.rows], [$("rate"), boxes.rate], ...panels.map(({ canvas, box }) => [canvas, box])];
  for (const [canvas, box] of spots) {
    if (!box) continue;
    const line = canvas.parentElement.querySelector(".cursor");
    line.style.left = `${box.x(time)}px`;
    line.style.top = `${canvas.offsetTop + box.top}px`;
    line.style.height = `${box.bottom - box.top}px`;
  }
}

function showFrame(frame) {
  state.frame = Math.max(0, Math.min(run.frames - 1, frame));
  const time = `${written(run.time[state.frame], { digits: 5 })} ms`;
  $("scrub").value = state.frame;
  $("scrub").setAttribute("aria-valuetext", time);
  $("clock").textContent = time;
  describePicked();
  moveCursors();
  redraw();
}

function play(on) {
  state.playing = on;
  $("play").textContent = on ? "Pause" : "Play";
  if (!on) return;
  if (state.frame === run.frames - 1) showFrame(0);
  let last = performance.now();
  shownAt = run.time[state.frame];
  const tick = (now) => {
    if (!state.playing) return;
    shownAt += (now - last) * speed;
    last = now;
    let frame = state.frame;
    while (frame < run.frames - 1 && run.time[frame + 1] <= shownAt) frame++;
    if (frame !== state.frame) showFrame(frame);
    if (frame === run.frames - 1) play(false);
    else requestAnimationFrame(tick);
  };
  requestAnimationFrame(tick);
}

function pick(cell) {
  state.picked = cell;
  $("find").value = cell === null ? "" : run.names[cell];
  makePanels();
  describePicked();
  redraw();
}

/** The picked cell in words, under the picture. */
function describePicked() {
  const line = $("picked");
  line.replaceChildren();
  if (state.picked === null) {
    line.textContent = "Click a cell for its name, its value and its connections.";
    return;
  }
  const links = connectionsOf(run, state.picked);
  const count = (of) => new Set(links.filter(of).map((link) => link.other)).size;
  const name = document.createElement("b");
  name.textContent = run.names[state.picked];
  const about = describe(run, state.picked);
  const wiring =
    `Input from ${count((l) => !l.electrical && !l.out)} cells, output to ${count((l) => !l.electrical && l.out)}` +
    `, gap junctions with ${count((l) => l.electrical)}. Orange lines excite, blue inhibit, dashed are gap junctions.`;
  line.append(name, `${about ? `, ${about}` : ""}: ${reading(run, state.field, state.picked, state.frame)}. ${wiring}`);
}

/** Words beside the mouse. */
function showTip(tip, text, x, y) {
  tip.hidden = !text;
  if (!text) return;
  tip.textContent = text;
  const room = tip.parentElement.clientWidth;
  tip.style.left = `${Math.max(4, Math.min(x + 14, room - tip.offsetWidth - 4))}px`;
  tip.style.top = `${y > tip.offsetHeight + 16 ? y - tip.offsetHeight - 10 : y + 18}px`;
}

function tipFor(cell, frame) {
  const about = describe(run, cell);
  return `${run.names[cell]}${about ? `\n${about}` : ""}\n${reading(run, state.field, cell, frame)}`;
}

function hover(cell, x, y) {
  showTip($("cells-tip"), cell === null ? "" : tipFor(cell, state.frame), x, y);
  if (cell === state.hovered) return;
  state.hovered = cell;
  redraw();
}

/** The cell and the frame under the mouse in the chart of all cells, or null. */
function rowAt(event) {
  const { rows: box } = boxes;
  const [x, y] = [event.offsetX, event.offsetY];
  if (x < box.left || x > box.right || y < box.top || y >= box.bottom) return null;
  const row = Math.floor(((y - box.top) / (box.bottom - box.top)) * run.size);
  return { cell: state.order[row], frame: frameAt(box.time(x)) };
}

function frameAt(time) {
  const step = run.duration / run.frames;
  return Math.max(0, Math.min(run.frames - 1, Math.round(time / step) - 1));
}

function makePanels() {
  if (!run.voltage) return;
  const cells = [...new Set([state.picked, ...run.traces.cells])].filter((cell) => cell !== null);
  panels = cells.map((cell) => {
    const panel = document.createElement("div");
    panel.className = "panel chart";
    const heading = document.createElement("h3");
    const name = document.createElement("button");
    name.className = "cell";
    name.type = "button";
    name.textContent = run.names[cell];
    name.addEventListener("click", () => pick(cell));
    const about = document.createElement("span");
    about.textContent = run.stimulatedSet.has(cell) ? "stimulated" : run.cells.kind[cell] || run.cells.cell_class[cell];
    const canvas = document.createElement("canvas");
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", `Trace of ${run.names[cell]}`);
    const cursor = document.createElement("div");
    cursor.className = "cursor";
    heading.append(name, about);
    panel.append(heading, canvas, cursor);
    return { cell, canvas, panel };
  });
  $("traces").replaceChildren(...panels.map(({ panel }) => panel));
  drawPanels();
  moveCursors();
}

function drawPanels() {
  const field = run.voltage;
  if (!field) return;
  const traces = panels.map(({ cell }) => traceOf(run, field, cell));
  const all = rangeOf(traces);
  panels.forEach((panel, k) => {
    const range = $("same-scale").checked ? all : rangeOf([traces[k]]);
    const color = run.stimulatedSet.has(panel.cell) ? theme.accent : theme.link;
    panel.box = drawTrace(panel.canvas, run, panel.cell, field, traces[k], range, color, theme);
  });
}

function option(select, text, value) {
  const entry = document.createElement("option");
  entry.textContent = text;
  entry.value = value;
  select.append(entry);
}

function fillIn() {
  $("scrub").max = run.frames - 1;
  run.fields.forEach((field, k) => option($("field"), field.title, k));
  for (const factor of [0.25, 0.5, 1, 2, 4]) option($("speed"), `${factor}\u00d7`, factor);
  $("speed").value = 1;
  for (const name of Object.keys(sorts)) option($("sort"), name, name);
  sortBy("by kind" in sorts ? "by kind" : "by response");
  $("sort").value = state.sort;
  for (const name of run.names) option($("names"), "", name);
  for (const [start, stop] of run.during) {
    const band = document.createElement("i");
    band.style.left = `${(100 * start) / run.duration}%`;
    band.style.width = `${(100 * (stop - start)) / run.duration}%`;
    $("bands").append(band);
  }
  const carried = run.size < run.total ? `${run.size.toLocaleString("en-US")} of ${run.total.toLocaleString("en-US")} cells. ` : "";
  carriedNote = carried + run.place.note + legendWords();
  $("rate-chart").hidden = !run.spikes;
  $("traces-figure").hidden = !run.voltage;
  const who = run.stimulated.length ? "Stimulated cells and the strongest responders" : "The strongest responders";
  const ticked = run.spikes ? ", spikes as ticks on top" : "";
  const shade = (run.during.length ? "; the shaded time is the stimulus" : "") + ticked;
  $("traces-note").textContent = `${who}, each on its own scale${shade}. Click a cell anywhere to add its trace.`;
  describeRows();
}

function legendWords() {
  let words = run.stimulated.length ? " Rings mark stimulated cells." : "";
  if (run.cells.kind.includes("muscle")) words += " Muscles are spindles, neurons discs.";
  if (!scene.wires.length) return words;
  const all = scene.wires.length === run.connections.pre.length;
  const course = scene.spine ? " led along the body, which is not the course of the neurites" : "";
  return `${words} Faint lines are the ${all ? "" : "largest "}connections${course && `,${course}`}.`;
}

function describeRows() {
  const raster = run.spikes && state.field === run.fields[0];
  $("rows-title").textContent = raster ? "Every spike" : "Every cell";
  const text = raster
    ? `One row per cell, one tick per spike (${run.spikes.time.length.toLocaleString("en-US")}); below, the mean rate.`
    : `One row per cell: change of ${state.field.title} from just before ${run.onset ? `the stimulus at ${written(run.onset)} ms` : "the first sample"}; colors as above.`;
  $("rows-note").textContent = `${text} Click to go to a moment and pick a cell.`;
  $("rows").setAttribute("aria-label", text);
  $("cells").setAttribute("aria-label", `${run.title}: ${run.size} cells, colored by ${state.field.title}`);
}

function sortBy(name) {
  state.sort = name;
  state.order = sorts[name];
}

function copy(button) {
  const text = button.parentElement.querySelector("code").textContent;
  const done = () => {
    button.textContent = "Copied";
    setTimeout(() => (button.textContent = "Copy"), 1500);
  };
  const select = () => getSelection().selectAllChildren(button.parentElement.querySelector("code"));
  if (navigator.clipboard) navigator.clipboard.writeText(text).then(done, select);
  else select();
}

function listen() {
  listenToScene(scene, redraw, pick, hover);
  $("play").addEventListener("click", () => play(!state.playing));
  $("scrub").addEventListener("input", (event) => {
    play(false);
    showFrame(Number(event.target.value));
  });
  $("field").addEventListener("change", (event) => {
    state.field = run.fields[Number(event.target.value)];
    describeRows();
    describePicked();
    redrawAll();
  });
  $("speed").addEventListener("change", (event) => (speed = (Number(event.target.value) * run.duration) / 10_000));
  $("sort").addEventListener("change", (event) => {
    sortBy(event.target.value);
    redrawCharts();
  });
  $("find").addEventListener("change", (event) => {
    const cell = run.names.indexOf(event.target.value.trim());
    pick(cell < 0 ? null : cell);
  });
  $("same-scale").addEventListener("change", redrawCharts);
  for (const [id, change] of [["zoom-in", "+"], ["zoom-out", "-"], ["zoom-reset", "0"]]) {
    $(id).addEventListener("click", () => {
      keyOnScene(scene, change);
      redraw();
    });
  }
  listenToRows();
  for (const button of document.querySelectorAll("td .cell, th .cell")) {
    button.addEventListener("click", () => {
      pick(run.names.indexOf(button.textContent));
      $("cells-figure").scrollIntoView({ block: "start" });
    });
  }
  for (const button of document.querySelectorAll(".copy")) button.addEventListener("click", () => copy(button));
  listenToSurroundings();
}

function listenToRows() {
  $("rows").addEventListener("pointermove", (event) => {
    const found = rowAt(event);
    const text = found && `${tipFor(found.cell, found.frame)}\n${written(run.time[found.frame], { digits: 5 })} ms`;
    showTip($("rows-tip"), text || "", event.offsetX, event.offsetY);
  });
  $("rows").addEventListener("pointerleave", () => showTip($("rows-tip"), "", 0, 0));
  $("rows").addEventListener("click", (event) => {
    const found = rowAt(event);
    if (!found) return;
    play(false);
    showFrame(found.frame);
    pick(found.cell);
  });
}

/** Size of the window, light and dark, and paper. */
function listenToSurroundings() {
  const themed = (printing) => {
    theme = readTheme(printing);
    drawScene(scene, theme);
    redrawCharts();
  };
  let width = 0;
  new ResizeObserver(() => {
    if (document.body.clientWidth === width) return;
    width = document.body.clientWidth;
    drawScene(scene, theme);
    describePicture();
    redrawAll();
  }).observe(document.body);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => themed(false));
  addEventListener("beforeprint", () => themed(true));
  addEventListener("afterprint", () => themed(false));
}

fillIn();
listen();
makePanels();
drawScene(scene, theme);
describePicture();
redrawAll();
showFrame(state.field.peakFrame);
