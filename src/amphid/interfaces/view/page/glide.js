// Between pictures: what is seen goes evenly on to the newest, and is there when the next one is due.

const SLOWEST = 200; // ms from one picture to the next; what comes more slowly is shown in jumps
const WEARY = 25; // ms between drawings beyond which they are left out: the simulation needs the machine
const glide = { came: 0, lasts: 0, from: null, seen: null, to: null, body: null, drawn: 0, beat: 17, goes: false, shades: true };
const ALL = { cells: true, dish: true, charts: true };
const due = { ...ALL }; // what has to be drawn anew

/** At the start: the shade of every cell, which `field` keeps for the newest picture. */
function beginGlide({ shades }) {
  Object.assign(glide, { from: Float32Array.from(shades), seen: Float32Array.from(shades), to: shades, body: null });
}

/**
 * A picture has come: from what is seen on to it; many cells, and what has not moved in time, jump.
 * Where the simulation lags behind, shades jump, too: that they glide is seen least, and costs most.
 */
function glideOn({ body, speed }, passed, now) {
  const gap = now - glide.came;
  glide.beat *= 0.99; // so that it is tried again
  const even = state.playing && passed > 0 && gap < SLOWEST && glide.beat < WEARY && run.size <= CROWD;
  glide.shades = !feed || speed > KEEPING * state.speed;
  glide.lasts = even ? glide.lasts + (glide.lasts ? 0.2 : 1) * (gap - glide.lasts) : 0;
  glide.came = now;
  glide.from.set(glide.seen);
  due.cells ||= !same(glide.seen, glide.to);
  if (!run.worm) return;
  const seen = glide.body?.seen || Float32Array.from(body);
  due.dish ||= !glide.body || state.touched.length > 0 || moved(seen, body);
  glide.body = { from: Float32Array.from(seen), seen, to: body };
}

/** More than anyone sees: by a nanometer. A body at rest trembles in its last digits. */
function moved(from, to) {
  return to.some((value, k) => Math.abs(value - from[k]) > 1e-3 || Number.isNaN(value) !== Number.isNaN(from[k]));
}

/** How much of the way is gone by now. */
function glideNow(now) {
  if (glide.goes) glide.beat += 0.1 * (Math.min(now - glide.drawn, SLOWEST) - glide.beat);
  glide.drawn = now;
  return glide.lasts ? Math.min(1, (now - glide.came) / glide.lasts) : 1;
}

/** What is seen at that share of the way. */
function blend({ from, seen, to }, share) {
  if (share === 1) return seen.set(to); // food that was put down has come from nowhere
  for (let k = 0; k < to.length; k++) seen[k] = from[k] + share * (to[k] - from[k]);
}
