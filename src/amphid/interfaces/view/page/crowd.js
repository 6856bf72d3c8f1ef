// Many cells at once: one point each, the strongest in front, drawn into an image.

const CROWD = 4000; // more cells than this are drawn as points

/** All cells as points: what lies on one pixel shows the largest change. */
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
  paintCrowd(ctx, scene, theme);
  drawMarks(ctx, scene, project, theme);
  if (state.picked !== null) drawConnections(ctx, scene, theme);
  drawRings(ctx, scene, theme);
  drawNames(ctx, scene, theme);
  drawScaleBar(ctx, scene, unit, theme);
}

function paintCrowd(ctx, scene, theme) {
  const { run, state, screen, width, height } = scene;
  const [wide, high] = [Math.ceil(width), Math.ceil(height)];
  if (scene.crowd?.width !== wide || scene.crowd?.height !== high) scene.crowd = new ImageData(wide, high);
  if (scene.strongest?.length !== wide * high) scene.strongest = new Float32Array(wide * high);
  const pixels = new Uint32Array(scene.crowd.data.buffer);
  const best = scene.strongest;
  pixels.fill(0);
  best.fill(-1);
  const colors = theme.rgb.map(([r, g, b]) => 0xff000000 | (b << 16) | (g << 8) | r);
  for (let cell = 0; cell < run.size; cell++) {
    const share = placeOnScale(state.field, state.field.change(cell, 0));
    const size = Math.abs(share);
    const reach = size > 0.3 ? 2 : 1;
    const [x, y] = [screen[3 * cell] | 0, screen[3 * cell + 1] | 0];
    const color = colors[level(share)];
    for (let py = y; py < y + reach; py++) {
      for (let px = x; px < x + reach; px++) {
        if (px < 0 || py < 0 || px >= wide || py >= high) continue;
        const at = py * wide + px;
        if (size <= best[at]) continue;
        best[at] = size;
        pixels[at] = color;
      }
    }
  }
  const image = document.createElement("canvas");
  [image.width, image.height] = [wide, high];
  image.getContext("2d").putImageData(scene.crowd, 0, 0);
  ctx.drawImage(image, 0, 0);
}
