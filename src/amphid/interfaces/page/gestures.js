// Mouse, pen, fingers, wheel and keys on the picture of the cells.

/** The cell nearest to a spot of the canvas, or null when none is near. */
function cellAt(scene, x, y, reach = 14) {
  let [best, least] = [null, reach * reach];
  for (const cell of scene.order) {
    const gap = (scene.screen[3 * cell] - x) ** 2 + (scene.screen[3 * cell + 1] - y) ** 2;
    if (gap <= least) [best, least] = [cell, gap];
  }
  return best;
}

function zoomBy(scene, factor, x = scene.width / 2, y = scene.height / 2) {
  const view = scene.view;
  const zoom = Math.min(40, Math.max(0.5, view.zoom * factor));
  const grown = zoom / view.zoom;
  const [right, down] = [x - scene.width / 2, y - scene.height / 2];
  moveBy(scene, right * (1 / grown - 1), down * (1 / grown - 1)); // what is under the mouse stays
  view.zoom = zoom;
  scene.unit *= grown;
}

function orbit(scene, dx, dy) {
  scene.view.yaw += dx * 0.007;
  scene.view.pitch = Math.min(1.55, Math.max(-1.55, scene.view.pitch + dy * 0.007));
}

/** Mouse, pen, fingers, wheel and keys; `changed` is called after each. */
function listenToScene(scene, changed, picked, hovered) {
  const { canvas } = scene;
  const down = new Map();
  let moved = 0;
  const spot = (event) => {
    const box = canvas.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  };
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    down.set(event.pointerId, spot(event));
    if (down.size === 1) moved = 0;
  });
  canvas.addEventListener("pointermove", (event) => {
    const [x, y] = spot(event);
    const last = down.get(event.pointerId);
    if (!last) return hovered(cellAt(scene, x, y), x, y);
    const [dx, dy] = [x - last[0], y - last[1]];
    moved += Math.abs(dx) + Math.abs(dy);
    if (down.size === 2) pinch(scene, down, event.pointerId, [x, y]);
    else if (event.shiftKey || event.buttons > 1) moveBy(scene, dx, dy);
    else orbit(scene, dx, dy);
    down.set(event.pointerId, [x, y]);
    return changed();
  });
  const up = (event) => {
    if (down.delete(event.pointerId) && moved < 5 && event.type === "pointerup") picked(cellAt(scene, ...spot(event)), event);
  };
  canvas.addEventListener("pointerup", up);
  canvas.addEventListener("pointercancel", up);
  canvas.addEventListener("pointerleave", () => hovered(null, 0, 0));
  canvas.addEventListener("contextmenu", (event) => event.preventDefault());
  canvas.addEventListener("wheel", (event) => {
    if (document.activeElement !== canvas && !event.ctrlKey && !event.metaKey) return; // the page scrolls
    event.preventDefault();
    zoomBy(scene, Math.exp(-event.deltaY * 0.0016), ...spot(event));
    changed();
  }, { passive: false });
  canvas.addEventListener("keydown", (event) => {
    if (keyOnScene(scene, event.key, event.shiftKey)) {
      event.preventDefault();
      changed();
    }
  });
}

/** Moves the picture: the eye looks at another point of the plane across its line of sight. */
function moveBy(scene, dx, dy) {
  const { view, unit, turned } = scene;
  const [u, v] = [-dx / unit, dy / unit];
  const [sy, cy, sp, cp] = [Math.sin(view.yaw), Math.cos(view.yaw), Math.sin(view.pitch), Math.cos(view.pitch)];
  const [px, py, pz] = [cy * u + sy * sp * v, cp * v, sy * u - cy * sp * v];
  const step = turned ? [-py, px, pz] : [px, py, pz];
  ["x", "y", "z"].forEach((axis, k) => (view[axis] = Math.min(1.2, Math.max(-1.2, view[axis] + step[k]))));
}

/** Two fingers: their distance zooms, their middle moves. */
function pinch(scene, down, id, now) {
  const [other] = [...down].filter(([pointer]) => pointer !== id).map(([, finger]) => finger);
  const before = down.get(id);
  const gap = (finger) => Math.hypot(finger[0] - other[0], finger[1] - other[1]) || 1;
  zoomBy(scene, gap(now) / gap(before), (now[0] + other[0]) / 2, (now[1] + other[1]) / 2);
  moveBy(scene, (now[0] - before[0]) / 2, (now[1] - before[1]) / 2);
}

function keyOnScene(scene, key, shifted = false) {
  const turns = { ArrowLeft: [-18, 0], ArrowRight: [18, 0], ArrowUp: [0, -18], ArrowDown: [0, 18] };
  if (key in turns) (shifted ? moveBy : orbit)(scene, ...turns[key]);
  else if (key === "+" || key === "=") zoomBy(scene, 1.25);
  else if (key === "-") zoomBy(scene, 0.8);
  else if (key === "0") Object.assign(scene.view, homeView());
  else return false;
  return true;
}
