// Many cells at once: one dot each, the strongest in front, drawn into an image.

const CROWD = 800; // more cells than this are painted as dots

function drawCrowd(scene, theme) {
  const { ctx, width, height } = prepare(scene.canvas);
  if (!width || !height) return;
  const { project, unit, turned } = projector(scene, width, height);
  Object.assign(scene, { width, height, turned, unit, taken: [], order: scene.all });
  scene.radius = 3;
  const dots = settledDots(scene, project, ctx.canvas);
  drawWiring(ctx, scene, project, theme);
  paintCrowd(dots, scene, theme);
  ctx.drawImage(dots.image, 0, 0, width, height);
  drawMarks(ctx, scene, project, theme);
  if (scene.state.picked !== null) drawConnections(ctx, scene, theme);
  drawRings(ctx, scene, theme);
  drawNames(ctx, scene, theme);
  drawScaleBar(ctx, scene, unit, theme);
}

/** Where the dots are and how large, and what they are painted into; found anew when the view moves. */
function settledDots(scene, project, { width: wide, height: high }) {
  const key = JSON.stringify([scene.view, scene.width, scene.height, wide, high]);
  if (scene.dots?.key === key) return scene.dots;
  const dots = crowdLayer(scene, wide, high);
  const { run, screen } = scene;
  const { point } = run.place;
  const ratio = wide / scene.width;
  const crowded = 0.13 * Math.sqrt((scene.width * scene.height) / run.size);
  const size = Math.max(run.size < 6000 ? 1.6 : 0.4, Math.min(6, crowded)) * scene.view.zoom ** 0.4;
  for (let cell = 0; cell < run.size; cell++) {
    const [x, y, near] = project(point[3 * cell], point[3 * cell + 1], point[3 * cell + 2]);
    screen[3 * cell] = x;
    screen[3 * cell + 1] = y;
    screen[3 * cell + 2] = near;
    dots.x[cell] = x * ratio;
    dots.y[cell] = y * ratio;
    dots.reach[cell] = size * near * ratio;
    const [px, py] = [Math.floor(x * ratio), Math.floor(y * ratio)];
    dots.spot[cell] = px >= 0 && px < wide && py >= 0 && py < high ? py * wide + px : -1;
  }
  return Object.assign(dots, { key, painted: null });
}

/** What the dots are painted into, made anew only when the canvas has another size. */
function crowdLayer(scene, wide, high) {
  if (scene.dots?.wide === wide && scene.dots?.high === high) return scene.dots;
  const image = document.createElement("canvas");
  [image.width, image.height] = [wide, high];
  const data = new ImageData(wide, high);
  const made = { wide, high, image, data, ctx: image.getContext("2d"), pixels: new Uint32Array(data.data.buffer) };
  for (const name of ["x", "y", "reach"]) made[name] = new Float32Array(scene.run.size);
  made.spot = new Int32Array(scene.run.size); // the pixel in which a cell lies, -1 outside
  scene.dots = { ...made, best: new Int16Array(wide * high), before: new Uint16Array(scene.run.size) };
  return scene.dots;
}

const GROWTH = Float32Array.from({ length: LEVELS + 1 }, (_, strength) => 0.72 + (0.75 * strength) / LEVELS); // of a dot
const BRIGHT = 0.3 * LEVELS; // from here on the smallest dots are four pixels

/** An image of dots: where they overlap, the largest change is in front. */
function paintCrowd(dots, scene, theme) {
  const { shades } = scene.state.field;
  if (dots.painted === theme && same(dots.before, shades)) return;
  const { x, y, reach, spot, pixels, best } = dots;
  pixels.fill(0);
  best.fill(-1);
  const colors = Uint32Array.from(theme.rgb, packed);
  const edges = Uint32Array.from(theme.rgb, (rgb) => packed(rgb.map((value) => 0.6 * value + 0.4 * 125)));
  for (let cell = 0; cell < shades.length; cell++) {
    const shade = shades[cell];
    const strength = Math.abs(shade - LEVELS);
    const radius = reach[cell] * GROWTH[strength];
    if (radius >= 1.5) dot(dots, x[cell], y[cell], radius, strength, colors[shade], edges[shade]);
    else if (strength > BRIGHT) square(dots, Math.floor(x[cell]), Math.floor(y[cell]), strength, colors[shade]);
    else if (strength > best[spot[cell]]) {
      best[spot[cell]] = strength; // outside the picture both are undefined, and nothing is larger
      pixels[spot[cell]] = colors[shade];
    }
  }
  dots.ctx.putImageData(dots.data, 0, 0);
  dots.before.set(shades);
  dots.painted = theme;
}

function same(one, two) {
  for (let k = 0; k < one.length; k++) if (one[k] !== two[k]) return false;
  return true;
}

function packed([r, g, b]) {
  return (0xff000000 | (b << 16) | (g << 8) | r) >>> 0;
}

/** Four pixels. */
function square({ wide, high, pixels, best }, x, y, strength, color) {
  const [right, bottom] = [Math.min(x + 2, wide), Math.min(y + 2, high)];
  for (let py = Math.max(y, 0); py < bottom; py++) {
    for (let px = Math.max(x, 0); px < right; px++) {
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
