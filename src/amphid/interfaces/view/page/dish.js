// The body in its dish: an outline between the ends of its rods, muscles in color, food.

const DISH_NEAR = 1.9; // half of what is shown when following, in half-lengths of the body

function makeDish(canvas, worm) {
  return { canvas, worm, follow: false, path: [] };
}

/** Dorsal and ventral ends [R], muscles [2, S] and food out of the numbers of a picture. */
function readBody(worm, body) {
  const { rods, segments } = worm;
  const at = (rod, k) => body[4 * rod + k];
  const dorsal = [];
  const ventral = [];
  for (let rod = 0; rod < rods; rod++) {
    dorsal.push([at(rod, 0), at(rod, 1)]);
    ventral.push([at(rod, 2), at(rod, 3)]);
  }
  const muscles = body.subarray(4 * rods, 4 * rods + 2 * segments);
  const food = [body[4 * rods + 2 * segments], body[4 * rods + 2 * segments + 1]];
  return { dorsal, ventral, muscles, food: Number.isFinite(food[0]) ? food : null };
}

function middleOf(pose, rod) {
  return [0, 1].map((k) => (pose.dorsal[rod][k] + pose.ventral[rod][k]) / 2);
}

/** From um to the canvas and back. */
function dishView(dish, pose, width, height) {
  const { worm } = dish;
  const reach = dish.follow ? (worm.length / 2) * DISH_NEAR * 0.62 : (worm.dish || worm.length) * 1.04;
  const unit = dish.follow ? Math.min(width / (2.3 * reach), height / (1.1 * reach)) : Math.min(width, height) / (2 * reach);
  const center = dish.follow ? middleOf(pose, worm.rods >> 1) : [0, 0];
  return {
    unit,
    to: ([x, y]) => [width / 2 + (x - center[0]) * unit, height / 2 - (y - center[1]) * unit],
    from: (x, y) => [(x - width / 2) / unit + center[0], (height / 2 - y) / unit + center[1]],
  };
}

function drawDish(dish, pose, touched, theme) {
  const { ctx, width, height } = prepare(dish.canvas);
  if (!width || !pose) return;
  const view = dishView(dish, pose, width, height);
  Object.assign(dish, { view, pose, width, height });
  drawAgar(ctx, dish, view, theme);
  if (pose.food) drawFood(ctx, dish, view, theme);
  drawPath(ctx, dish, view, theme);
  drawWorm(ctx, dish, view, theme);
  for (const poke of touched) drawTouch(ctx, view, middleOf(pose, Math.round(poke.place * (dish.worm.rods - 1))), poke.left, theme);
  drawDishScale(ctx, dish, view, theme);
}

function drawAgar(ctx, dish, view, theme) {
  if (!dish.worm.dish) return;
  const [x, y] = view.to([0, 0]);
  const radius = dish.worm.dish * view.unit;
  ctx.beginPath();
  ctx.arc(x, y, radius, 0, 2 * Math.PI);
  ctx.fillStyle = theme.dark ? "#192129" : "#f3efe3";
  ctx.fill();
  ctx.lineWidth = 5;
  ctx.strokeStyle = theme.line;
  ctx.stroke();
}

/** As far as it is smelled: one and two standard deviations. */
function drawFood(ctx, dish, view, theme) {
  const [x, y] = view.to(dish.pose.food);
  const reach = 2.5 * dish.worm.spread * view.unit;
  const cloud = ctx.createRadialGradient(x, y, 0, x, y, reach);
  const rgb = theme.dark ? "120,190,120" : "70,130,60";
  for (let k = 0; k <= 10; k++) cloud.addColorStop(k / 10, `rgba(${rgb},${0.5 * Math.exp(-0.5 * (0.25 * k) ** 2) - 0.02})`);
  ctx.save();
  ctx.beginPath();
  if (dish.worm.dish) ctx.arc(...view.to([0, 0]), dish.worm.dish * view.unit, 0, 2 * Math.PI);
  ctx.clip();
  ctx.fillStyle = cloud;
  ctx.beginPath();
  ctx.arc(x, y, reach, 0, 2 * Math.PI);
  ctx.fill();
  ctx.restore();
}

/** Where the head has been. */
function drawPath(ctx, dish, view, theme) {
  ctx.strokeStyle = theme.soft;
  ctx.globalAlpha = 0.35;
  ctx.lineWidth = 1;
  ctx.beginPath();
  for (const spot of dish.path) ctx.lineTo(...view.to(spot));
  ctx.stroke();
  ctx.globalAlpha = 1;
}

function drawWorm(ctx, dish, view, theme) {
  const { pose } = dish;
  const outline = [...pose.dorsal.map(view.to), ...pose.ventral.map(view.to).reverse()];
  ctx.beginPath();
  outline.forEach((spot, k) => (k ? ctx.lineTo(...spot) : ctx.moveTo(...spot)));
  ctx.closePath();
  ctx.fillStyle = theme.dark ? "#5d6b78" : "#cfc6b2";
  ctx.fill();
  drawMuscles(ctx, dish, view, theme);
  ctx.lineWidth = 1.4;
  ctx.lineJoin = "round";
  ctx.strokeStyle = theme.dark ? "#aeb9c4" : "#6d6450";
  ctx.stroke(new Path2D(`M${outline.map((spot) => spot.join(" ")).join("L")}Z`));
  const nose = view.to(middleOf(pose, 0));
  const neck = view.to(middleOf(pose, 3));
  const away = Math.hypot(nose[0] - neck[0], nose[1] - neck[1]) || 1;
  ctx.fillStyle = theme.ink;
  ctx.font = "12px system-ui, sans-serif";
  ctx.textAlign = "center";
  ctx.textBaseline = "middle";
  ctx.fillText("head", nose[0] + (22 * (nose[0] - neck[0])) / away, nose[1] + (14 * (nose[1] - neck[1])) / away);
}

/** Bands along both sides, the stronger the more a muscle is active. */
function drawMuscles(ctx, dish, view, theme) {
  const { pose, worm } = dish;
  const between = (one, two, share) => one.map((x, k) => x + (two[k] - x) * share);
  for (const [row, near, far] of [[0, pose.dorsal, pose.ventral], [1, pose.ventral, pose.dorsal]]) {
    for (let segment = 0; segment < worm.segments; segment++) {
      const active = pose.muscles[row * worm.segments + segment];
      if (active < 0.01) continue;
      ctx.globalAlpha = Math.min(1, 0.15 + active);
      ctx.fillStyle = theme.css[level(0.7)];
      ctx.beginPath();
      ctx.moveTo(...view.to(near[segment]));
      ctx.lineTo(...view.to(near[segment + 1]));
      ctx.lineTo(...view.to(between(near[segment + 1], far[segment + 1], 0.4)));
      ctx.lineTo(...view.to(between(near[segment], far[segment], 0.4)));
      ctx.fill();
    }
  }
  ctx.globalAlpha = 1;
}

function drawTouch(ctx, view, spot, left, theme) {
  const [x, y] = view.to(spot);
  ctx.strokeStyle = theme.accent;
  ctx.lineWidth = 2;
  ctx.globalAlpha = Math.max(0.15, left);
  ctx.beginPath();
  ctx.arc(x, y, 8 + 16 * (1 - left), 0, 2 * Math.PI);
  ctx.stroke();
  ctx.globalAlpha = 1;
}

function drawDishScale(ctx, dish, view, theme) {
  const um = [50, 100, 200, 500, 1000].filter((size) => size * view.unit < dish.width * 0.25).pop();
  if (!um) return;
  ctx.fillStyle = theme.soft;
  ctx.fillRect(16, dish.height - 16, um * view.unit, 2);
  ctx.font = "12px system-ui, sans-serif";
  ctx.textAlign = "left";
  ctx.textBaseline = "bottom";
  ctx.fillText(um < 1000 ? `${um} \u00b5m` : `${um / 1000} mm`, 16, dish.height - 19);
}

/** How far along the body a spot of the canvas lies, or null when it is not near it. */
function placeAlong(dish, x, y) {
  let [best, least] = [null, Infinity];
  for (let rod = 0; rod < dish.worm.rods; rod++) {
    const [px, py] = dish.view.to(middleOf(dish.pose, rod));
    const gap = Math.hypot(px - x, py - y);
    if (gap < least) [best, least] = [rod, gap];
  }
  return least < Math.max(14, 50 * dish.view.unit) ? best / (dish.worm.rods - 1) : null;
}
