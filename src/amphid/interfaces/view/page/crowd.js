// Many cells at once: one dot each, the strongest in front, drawn into an image.

const CROWD = 800; // more cells than this are painted as dots

function drawCrowd(scene, theme) {
  const { ctx, width, height } = prepare(scene.canvas);
  if (!width || !height) return;
  const { run, state } = scene;
  const { project, unit, turned } = projector(scene, width, height);
  Object.assign(scene, { width, height, turned, unit, taken: [], order: scene.all });
  scene.radius = 3;
  const point = run.place.point;
  for (let cell = 0; cell < run.size; cell++) {
    const spot = project(point[3 * cell], point[3 * cell + 1], point[3 * cell + 2]);
    scene.screen[3 * cell] = spot[0];
    scene.screen[3 * cell + 1] = spot[1];
    scene.screen[3 * cell + 2] = spot[2];
  }
  drawWiring(ctx, scene, project, theme);
  paintCrowd(ctx, scene, theme);
  drawMarks(ctx, scene, project, theme);
  if (state.picked !== null) drawConnections(ctx, scene, theme);
  drawRings(ctx, scene, theme);
  drawNames(ctx, scene, theme);
  drawScaleBar(ctx, scene, unit, theme);
}

/** An image of dots: where they overlap, the largest change is in front. */
function paintCrowd(ctx, scene, theme) {
  const { run, state, screen, width, height } = scene;
  const ratio = ctx.canvas.width / width;
  const layer = crowdLayer(scene, Math.ceil(width * ratio), Math.ceil(height * ratio));
  layer.pixels.fill(0);
  layer.best.fill(-1);
  const colors = theme.rgb.map(packed);
  const edges = theme.rgb.map((rgb) => packed(rgb.map((value) => 0.6 * value + 0.4 * 125)));
  const size = Math.max(run.size < 6000 ? 1.6 : 0.4, Math.min(6, 0.13 * Math.sqrt((width * height) / run.size))) * scene.view.zoom ** 0.4;
  for (let cell = 0; cell < run.size; cell++) {
    const share = placeOnScale(state.field, state.field.change(cell, 0));
    const strength = Math.abs(share);
    const radius = size * screen[3 * cell + 2] * (0.72 + 0.75 * strength) * ratio;
    const [x, y] = [screen[3 * cell] * ratio, screen[3 * cell + 1] * ratio];
    const shade = level(share);
    if (radius < 1.5) square(layer, x | 0, y | 0, strength > 0.3 ? 2 : 1, strength, colors[shade]);
    else dot(layer, x, y, radius, strength, colors[shade], edges[shade]);
  }
  layer.image.getContext("2d").putImageData(layer.data, 0, 0);
  ctx.drawImage(layer.image, 0, 0, width, height);
}

function packed([r, g, b]) {
  return 0xff000000 | (b << 16) | (g << 8) | r;
}

/** What the dots are painted into, made anew only when the canvas has another size. */
function crowdLayer(scene, wide, high) {
  if (scene.crowd?.wide === wide && scene.crowd?.high === high) return scene.crowd;
  const image = document.createElement("canvas");
  [image.width, image.height] = [wide, high];
  const data = new ImageData(wide, high);
  scene.crowd = { wide, high, image, data, pixels: new Uint32Array(data.data.buffer), best: new Float32Array(wide * high) };
  return scene.crowd;
}

function square({ wide, high, pixels, best }, x, y, side, strength, color) {
  for (let py = Math.max(y, 0); py < Math.min(y + side, high); py++) {
    for (let px = Math.max(x, 0); px < Math.min(x + side, wide); px++) {
      const at = py * wide + px;
      if (strength <= best[at]) continue;
      best[at] = strength;
      pixels[at] = color;
    }
  }
}

function dot({ wide, high, pixels, best }, x, y, radius, strength, color, edge) {
  const [outer, inner] = [radius * radius, (radius - 1) * (radius - 1)];
  const [top, bottom] = [Math.max(0, Math.ceil(y - radius)), Math.min(high - 1, y + radius)];
  for (let py = top; py <= bottom; py++) {
    const up = (py - y) * (py - y);
    const half = Math.sqrt(outer - up);
    const right = Math.min(wide - 1, x + half);
    for (let px = Math.max(0, Math.ceil(x - half)); px <= right; px++) {
      const at = py * wide + px;
      if (strength <= best[at]) continue;
      best[at] = strength;
      pixels[at] = up + (px - x) * (px - x) > inner ? edge : color;
    }
  }
}
