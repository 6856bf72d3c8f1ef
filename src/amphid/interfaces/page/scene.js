// The cells in space on a 2-D canvas: perspective by hand, nearest cell in front.

const AWAY = 4; // distance of the eye, in half-lengths of the picture
const WIRES = 2500; // drawn all the time
const BUNDLES = 16; // paths in which they are drawn: what lies in different ones adds up where it crosses
const AT_ONCE = 150; // of them painted with one picture
const SKETCHED = 4; // one in so many stands for all until they are painted
const STOPS = 44; // along the middle of a long animal
const CORD = 0.35; // how far lines along the middle keep apart
const CLOSE = 4; // from this zoom on every cell is named
const FEW = 40; // cells up to which every one is named at any zoom
const NAMED = 6; // responders that carry their name

function makeScene(canvas, run, state) {
  const scene = { canvas, run, state, screen: new Float32Array(run.size * 3), order: [], taken: [] };
  scene.view = homeView();
  scene.extent = extent(run);
  scene.spine = spineOf(run, scene.extent);
  scene.wires = largestWires(run);
  canvas.classList.toggle("long", isLong(scene.extent));
  scene.named = [...new Set([...run.stimulated.slice(0, NAMED), ...run.strongest.slice(0, NAMED)])];
  return scene;
}

/** The connections that are drawn all the time: those of most synapses. */
function largestWires(run) {
  const { synapses, pre } = run.connections;
  const all = Array.from({ length: pre.length }, (_, edge) => edge);
  return all.sort((one, two) => synapses[two] - synapses[one]).slice(0, WIRES);
}

function homeView() {
  return { yaw: 0, pitch: 0, zoom: 1, x: 0, y: 0, z: 0 }; // looking at x, y, z
}

/** Half of what the picture has to hold, across and up, names at its ends included. */
function extent(run) {
  const reach = [0.05, 0.05];
  const point = run.place.point;
  for (let cell = 0; cell < run.size; cell++) {
    for (const axis of [0, 1]) reach[axis] = Math.max(reach[axis], Math.abs(point[3 * cell + axis]));
  }
  for (const [, x, y] of run.place.marks) {
    reach[0] = Math.max(reach[0], Math.abs(x) * 1.03);
    reach[1] = Math.max(reach[1], Math.abs(y) * 1.05);
  }
  return { across: reach[0], up: reach[1] };
}

/** A long animal stands upright on an upright screen. */
function upright(scene, width, height) {
  return height > width && isLong(scene.extent);
}

function isLong({ across, up }) {
  return across > 2.5 * up;
}

/** From a point in space to x, y and nearness on the canvas. */
function projector(scene, width, height) {
  const { yaw, pitch, zoom } = scene.view;
  const turned = upright(scene, width, height);
  const [across, up] = turned ? [scene.extent.up, scene.extent.across] : [scene.extent.across, scene.extent.up];
  const unit = Math.min((width * 0.47) / across, (height * 0.43) / up) * zoom;
  const [sy, cy, sp, cp] = [Math.sin(yaw), Math.cos(yaw), Math.sin(pitch), Math.cos(pitch)];
  const look = scene.view;
  const project = (x, y, z) => {
    const [px, py, pz] = turned ? [y - look.y, look.x - x, z - look.z] : [x - look.x, y - look.y, z - look.z];
    const ax = cy * px + sy * pz;
    const az = cy * pz - sy * px;
    const ay = cp * py - sp * az;
    const near = AWAY / (AWAY - (sp * py + cp * az));
    return [width / 2 + ax * unit * near, height / 2 - ay * unit * near, near];
  };
  return { project, unit, turned };
}

function drawScene(scene, theme) {
  const { ctx, width, height } = prepare(scene.canvas);
  if (!width || !height) return;
  const { run, state } = scene;
  const { project, unit, turned } = projector(scene, width, height);
  Object.assign(scene, { width, height, turned, unit, taken: [] });
  const point = run.place.point;
  for (let cell = 0; cell < run.size; cell++) {
    scene.screen.set(project(point[3 * cell], point[3 * cell + 1], point[3 * cell + 2]), 3 * cell);
  }
  scene.order = Array.from({ length: run.size }, (_, cell) => cell);
  scene.order.sort((one, two) => scene.screen[3 * one + 2] - scene.screen[3 * two + 2]);
  scene.radius = Math.min(run.size > FEW ? 6 : 10, Math.max(1.6, 0.13 * Math.sqrt((width * height) / run.size))) * scene.view.zoom ** 0.4;
  drawWiring(ctx, scene, project, theme);
  drawMarks(ctx, scene, project, theme);
  if (state.picked !== null) drawConnections(ctx, scene, theme);
  for (const cell of scene.order) drawCell(ctx, scene, cell, theme);
  drawRings(ctx, scene, theme);
  drawNames(ctx, scene, theme);
  drawScaleBar(ctx, scene, unit, theme);
}

function drawCell(ctx, scene, cell, theme) {
  const { run, state, screen } = scene;
  const share = state.field.share(cell, state.frame);
  const [x, y, near] = [screen[3 * cell], screen[3 * cell + 1], screen[3 * cell + 2]];
  const size = Math.abs(share);
  const radius = scene.radius * near * (0.72 + 0.75 * size);
  ctx.fillStyle = theme.css[level(share)];
  if (size > 0.45) {
    ctx.globalAlpha = 0.28 * (size - 0.45);
    disc(ctx, x, y, radius * 2.6);
  }
  ctx.globalAlpha = 1;
  ctx.strokeStyle = theme.edge;
  ctx.lineWidth = 0.75;
  ctx.beginPath();
  if (run.cells.kind[cell] === "muscle") bar(ctx, x, y, radius, scene.turned);
  else ctx.arc(x, y, radius, 0, 2 * Math.PI);
  ctx.fill();
  ctx.stroke();
}

function disc(ctx, x, y, radius) {
  ctx.beginPath();
  ctx.arc(x, y, radius, 0, 2 * Math.PI);
  ctx.fill();
}

/** A muscle: a spindle along the body. */
function bar(ctx, x, y, radius, turned) {
  const [long, thin] = [radius * 2.1, radius * 0.72];
  ctx.ellipse(x, y, turned ? thin : long, turned ? long : thin, 0, 0, 2 * Math.PI);
}

/**
 * The largest connections, faint; kept as an image while the view stays. To paint all takes longer
 * than a picture may: of a view that has moved a part is painted with each, over a sketch of all.
 */
function drawWiring(ctx, scene, project, theme) {
  const layer = wiringLayer(scene, ctx.canvas, theme);
  const count = scene.wires.length;
  const view = JSON.stringify(scene.view);
  const [first, moved] = [layer.view === null, layer.view !== view];
  if (moved) beginWires(layer, scene, view);
  if (first || count <= AT_ONCE) paintWires(layer, scene, project, theme, count);
  else if (!moved) paintWires(layer, scene, project, theme, AT_ONCE);
  scene.unfinished = layer.painted < count;
  ctx.globalAlpha = scene.state.picked === null ? 1 : 0.4;
  if (scene.unfinished) sketchWires(ctx, scene, project, theme);
  else ctx.drawImage(layer.image, 0, 0, scene.width, scene.height);
  ctx.globalAlpha = 1;
}

/** What the connections are painted into, made anew for another size or other colors. */
function wiringLayer(scene, like, theme) {
  const look = JSON.stringify([scene.width, scene.height, theme.wire, like.width]);
  if (scene.wiring?.look === look) return scene.wiring;
  const image = document.createElement("canvas");
  [image.width, image.height] = [like.width, like.height];
  const ctx = image.getContext("2d");
  ctx.scale(like.width / scene.width, like.height / scene.height);
  scene.wiring = { look, image, ctx, view: null, painted: 0 };
  return scene.wiring;
}

function beginWires(layer, { width, height }, view) {
  layer.ctx.clearRect(0, 0, width, height);
  Object.assign(layer, { view, painted: 0 });
}

/** At least so many more of them, in bundles alike in size. */
function paintWires(layer, scene, project, theme, more) {
  const { wires } = scene;
  const { pre, post, synapses } = scene.run.connections;
  const { ctx } = layer;
  const most = Math.sqrt(synapses[wires[0]] || 1);
  const { strength, thickness } = stroke(wires.length, theme);
  const bundle = Math.ceil(wires.length / BUNDLES);
  const end = Math.min(layer.painted + more, wires.length);
  ctx.strokeStyle = `rgba(${theme.wire},${strength})`;
  for (; layer.painted < end; layer.painted += bundle) {
    ctx.lineWidth = 1 + (thickness * Math.sqrt(Math.max(0, synapses[wires[layer.painted]]))) / most;
    ctx.beginPath();
    for (const k of wires.slice(layer.painted, layer.painted + bundle)) wire(ctx, scene, project, pre[k], post[k]);
    ctx.stroke();
  }
}

/** Some of them, as the thinnest lines that there are: a browser draws these many times as fast. */
function sketchWires(ctx, scene, project, theme) {
  const { pre, post } = scene.run.connections;
  const some = scene.wires.filter((_, rank) => rank % SKETCHED === 0);
  ctx.strokeStyle = `rgba(${theme.wire},${stroke(some.length, theme).strength / 2})`; // lines of one path add up, too
  ctx.lineWidth = scene.width / ctx.canvas.width;
  ctx.beginPath();
  for (const k of some) wire(ctx, scene, project, pre[k], post[k]);
  ctx.stroke();
}

/** Few connections are strong lines, the largest thickest; many add up where they cross. */
function stroke(count, theme) {
  const strength = Math.min(0.55, theme.faint * (WIRES / Math.max(count, 1)) ** 0.75);
  return { strength, thickness: Math.min(2.4, 120 / count) };
}

/** A line between two cells; in a long animal along its middle, as in a cord. */
function wire(ctx, scene, project, from, to) {
  const { screen, spine, run } = scene;
  ctx.moveTo(screen[3 * from], screen[3 * from + 1]);
  const [one, two] = [run.place.point[3 * from], run.place.point[3 * to]];
  for (const stop of spine ? stopsBetween(spine, one, two) : []) {
    const share = (stop[0] - one) / (two - one);
    const off = [1, 2].map((axis) => offCord(scene, from, axis) * (1 - share) + offCord(scene, to, axis) * share);
    const [x, y] = project(stop[0], stop[1] + CORD * off[0], stop[2] + CORD * off[1]);
    ctx.lineTo(x, y);
  }
  ctx.lineTo(screen[3 * to], screen[3 * to + 1]);
}

/** How far a cell lies from the middle of the animal, along one axis. */
function offCord(scene, cell, axis) {
  const point = scene.run.place.point;
  return point[3 * cell + axis] - at(scene.spine, point[3 * cell])[axis];
}

function at(spine, x) {
  const share = (x - spine[0][0]) / (spine[spine.length - 1][0] - spine[0][0]);
  return spine[Math.max(0, Math.min(spine.length - 1, Math.round(share * (spine.length - 1))))];
}

function stopsBetween(spine, one, two) {
  const found = spine.filter(([x]) => x > Math.min(one, two) + 0.03 && x < Math.max(one, two) - 0.03);
  return one < two ? found : found.reverse();
}

/** The middle of a long animal from end to end, or null for other shapes. */
function spineOf(run, extent) {
  const cells = run.names.map((_, cell) => cell).filter((cell) => run.place.known[cell]);
  if (!run.place.scale || !isLong(extent) || cells.length < 2 * STOPS) return null;
  const point = run.place.point;
  const xs = cells.map((cell) => point[3 * cell]);
  const [first, last] = [Math.min(...xs), Math.max(...xs)];
  return Array.from({ length: STOPS }, (_, k) => {
    const x = first + ((last - first) * k) / (STOPS - 1);
    const weight = cells.map((cell) => Math.exp(-(((point[3 * cell] - x) / (0.05 * (last - first))) ** 2)) + 1e-12);
    const sum = weight.reduce((total, w) => total + w, 0);
    const mean = (axis) => cells.reduce((total, cell, i) => total + weight[i] * point[3 * cell + axis], 0) / sum;
    return [x, mean(1), mean(2)];
  });
}

function drawConnections(ctx, scene, theme) {
  const { run, state, screen } = scene;
  const links = connectionsOf(run, state.picked).slice(0, 300);
  const most = links.length ? links[0].synapses : 1;
  for (const link of links.reverse()) {
    ctx.strokeStyle = link.electrical ? theme.soft : theme.css[level(link.sign < 0 ? -0.6 : 0.6)];
    ctx.setLineDash(link.electrical ? [3, 3] : []);
    ctx.globalAlpha = 0.35 + (0.5 * link.synapses) / most;
    ctx.lineWidth = 0.6 + (2.4 * link.synapses) / most;
    const [from, to] = [3 * state.picked, 3 * link.other];
    ctx.beginPath();
    ctx.moveTo(screen[from], screen[from + 1]);
    ctx.quadraticCurveTo(...bend(screen, from, to, link.out), screen[to], screen[to + 1]);
    ctx.stroke();
  }
  ctx.setLineDash([]);
  ctx.globalAlpha = 1;
}

/** Ways out and in bend to different sides. */
function bend(screen, from, to, out) {
  const [dx, dy] = [screen[to] - screen[from], screen[to + 1] - screen[from + 1]];
  const side = out ? 0.12 : -0.12;
  return [screen[from] + dx / 2 - dy * side, screen[from + 1] + dy / 2 + dx * side];
}

function drawRings(ctx, scene, theme) {
  const ring = (cell, color, wide) => {
    const [x, y, near] = scene.screen.subarray(3 * cell, 3 * cell + 3);
    ctx.strokeStyle = color;
    ctx.lineWidth = wide;
    ctx.beginPath();
    ctx.arc(x, y, scene.radius * near * 1.5 + 3, 0, 2 * Math.PI);
    ctx.stroke();
  };
  const many = scene.run.stimulated.length > 60;
  for (const cell of scene.run.stimulated) ring(cell, theme.accent, many ? 0.8 : 1.8);
  for (const cell of [scene.state.picked, scene.state.hovered]) if (cell !== null) ring(cell, theme.ink, 1.8);
}

function drawNames(ctx, scene, theme) {
  const { state, run, screen } = scene;
  ctx.textAlign = "left";
  ctx.textBaseline = "middle";
  const always = new Set([state.picked, ...scene.named].filter((cell) => cell !== null));
  for (const cell of new Set([...always, ...inView(scene)])) {
    ctx.font = always.has(cell) ? "600 12px system-ui, sans-serif" : "11px system-ui, sans-serif";
    const [x, y] = [screen[3 * cell], screen[3 * cell + 1]];
    const text = run.names[cell].length > 24 ? `${run.names[cell].slice(0, 23)}\u2026` : run.names[cell];
    const spot = freeSpot(scene, x, y, ctx.measureText(text).width, always.has(cell) ? 15 : 2);
    if (!spot) continue;
    ctx.strokeStyle = theme.soft;
    ctx.lineWidth = 0.7;
    ctx.beginPath();
    ctx.moveTo(x, y);
    ctx.lineTo(spot.anchor, spot.y);
    ctx.stroke();
    ctx.strokeStyle = theme.card;
    ctx.lineWidth = 3.5;
    ctx.strokeText(text, spot.x, spot.y);
    ctx.fillStyle = run.stimulatedSet.has(cell) ? theme.accent : always.has(cell) ? theme.ink : theme.soft;
    ctx.fillText(text, spot.x, spot.y);
  }
}

/** The cells in the picture, nearest first, once it is large enough for their names. */
function inView(scene) {
  if (scene.view.zoom < CLOSE && scene.run.size > FEW) return [];
  const { screen, width, height } = scene;
  const inside = (cell) => screen[3 * cell] > 0 && screen[3 * cell] < width && screen[3 * cell + 1] > 0 && screen[3 * cell + 1] < height;
  return scene.order.filter(inside).reverse().slice(0, 80);
}

/** A place beside a cell where its name is inside the picture and covers no other name. */
function freeSpot(scene, x, y, wide, turns) {
  for (let turn = 1; turn < turns; turn++) {
    for (const side of [1, -1]) {
      for (const up of [-1, 1]) {
        const left = side > 0 ? x + 12 : x - 12 - wide;
        const box = { left, right: left + wide, y: y + up * (6 + 11 * turn) };
        const inside = box.left > 2 && box.right < scene.width - 2 && box.y > 9 && box.y < scene.height - 9;
        const clear = scene.taken.every((o) => box.right < o.left - 4 || box.left > o.right + 4 || Math.abs(box.y - o.y) > 14);
        if (!inside || !clear) continue;
        scene.taken.push(box);
        return { x: left, y: box.y, anchor: side > 0 ? left - 2 : left + wide + 2 };
      }
    }
  }
  return null;
}

function drawMarks(ctx, scene, project, theme) {
  ctx.font = "13px system-ui, sans-serif";
  ctx.fillStyle = theme.soft;
  ctx.textAlign = "center";
  ctx.textBaseline = "middle";
  for (const [text, ...spot] of scene.run.place.marks) {
    const [x, y] = project(...spot);
    ctx.fillText(text, x, y);
    const half = ctx.measureText(text).width / 2;
    scene.taken.push({ left: x - half, right: x + half, y });
  }
}

function drawScaleBar(ctx, scene, unit, theme) {
  const { scale } = scene.run.place;
  if (!scale) return;
  const length = [1, 2, 5].flatMap((k) => [0.1, 1, 10, 100, 1000, 10000].map((p) => k * p)).sort((a, b) => a - b);
  const um = length.filter((size) => (size / scale) * unit < scene.width * 0.2).pop();
  if (!um) return;
  const [left, y] = [16, scene.height - 16];
  ctx.fillStyle = theme.soft;
  ctx.fillRect(left, y, (um / scale) * unit, 2);
  ctx.font = "12px system-ui, sans-serif";
  ctx.textAlign = "left";
  ctx.textBaseline = "bottom";
  ctx.fillText(`${um} \u00b5m`, left, y - 3);
}
