// How far the losses of a training, or of several, lie apart.

/** The value below which a share of some numbers lies, between neighbors in proportion. */
function quantile(sorted, share) {
  if (!sorted.length) return NaN;
  const at = share * (sorted.length - 1);
  const [left, right] = [Math.floor(at), Math.ceil(at)];
  return sorted[left] + (sorted[right] - sorted[left]) * (at - left);
}

function finite(values) {
  return values.filter(Number.isFinite).sort((one, two) => one - two);
}

/** Of one noisy curve: its running median, and where 80 % of the lines around lie about theirs. */
function runningSpread(values) {
  const half = Math.max(3, Math.round(values.length / 50));
  const near = (all, k) => finite(all.slice(Math.max(0, k - half), k + half + 1));
  const middle = values.map((_, k) => quantile(near(values, k), 0.5));
  const off = values.map((value, k) => value - middle[k]);
  const reach = values.map((_, k) => near(off, k));
  const low = middle.map((value, k) => value + quantile(reach[k], 0.1));
  const high = middle.map((value, k) => value + quantile(reach[k], 0.9));
  const words = `thick: the running median; band: 80 % of ${2 * half + 1} lines lie in it`;
  return { middle, low, high, words };
}

/** Of several runs, at each place of the longest one: their median, and lowest to highest. */
function runsSpread(curves) {
  const longest = curves.reduce((best, curve) => (curve.x.length > best.x.length ? curve : best));
  const { x } = longest;
  const at = x.map((place) => finite(curves.map((curve) => valueAt(curve, place))));
  const many = curves.length >= 10;
  const low = at.map((values) => quantile(values, many ? 0.1 : 0));
  const high = at.map((values) => quantile(values, many ? 0.9 : 1));
  const middle = at.map((values) => quantile(values, 0.5));
  const reach = many ? "80 % of them" : "all of them";
  return { x, middle, low, high, words: `a thin line each of ${curves.length} runs; thick: their median; the band holds ${reach}` };
}

/** A curve between its lines, in proportion; nothing outside. */
function valueAt({ x, values }, place) {
  if (!x.length || place < x[0] || place > x[x.length - 1]) return NaN;
  let [left, right] = [0, x.length - 1];
  while (right - left > 1) {
    const half = (left + right) >> 1;
    if (x[half] <= place) left = half;
    else right = half;
  }
  const share = right > left ? (place - x[left]) / (x[right] - x[left] || 1) : 0;
  return values[left] + (values[right] - values[left]) * share;
}
