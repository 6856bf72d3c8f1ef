// Colors: blue below rest, gray at rest, orange above; told apart by the color-blind too.

const THEMES = {
  light: {
    below: ["#ebeae5", "#9cc9e8", "#0072b2", "#06294f"],
    above: ["#ebeae5", "#f5b37f", "#d55e00", "#6b2400"],
    edge: "rgba(40,44,50,.55)",
    wire: "70,84,104", faint: 0.024,
  },
  dark: {
    below: ["#262d35", "#2d6d9f", "#46aeee", "#d3ecff"],
    above: ["#262d35", "#a9541d", "#ff8a35", "#ffe2bd"],
    edge: "rgba(160,173,186,.5)",
    wire: "140,170,205", faint: 0.045,
  },
};
const LEVELS = 255;

const around = { dark: null }; // whether what the page stands in is dark, where that says so

function isDark() {
  return around.dark ?? matchMedia("(prefers-color-scheme: dark)").matches;
}

/** The theme in use: colors of the page from its style sheet, and tables of the map's colors. */
function readTheme(printing) {
  const root = document.documentElement;
  root.toggleAttribute("data-paper", printing);
  const dark = !printing && isDark();
  root.dataset.theme = dark ? "dark" : "light";
  if (around.dark !== null) root.style.colorScheme = root.dataset.theme; // of lists and sliders
  const theme = { ...THEMES[dark ? "dark" : "light"], dark };
  const style = getComputedStyle(document.documentElement);
  for (const name of ["paper", "card", "ink", "soft", "line", "accent", "band", "link"]) {
    theme[name] = style.getPropertyValue(`--${name}`).trim();
  }
  theme.rgb = [];
  for (let level = -LEVELS; level <= LEVELS; level++) {
    theme.rgb.push(between(level < 0 ? theme.below : theme.above, Math.abs(level) / LEVELS));
  }
  theme.css = theme.rgb.map((rgb) => `rgb(${rgb.join(",")})`);
  return theme;
}

/** Color at a share of the way along some stops. */
function between(stops, share) {
  const at = share * (stops.length - 1);
  const left = Math.min(Math.floor(at), stops.length - 2);
  const [one, two] = [stops[left], stops[left + 1]].map(channels);
  return one.map((value, i) => Math.round(value + (two[i] - value) * (at - left)));
}

function channels(hex) {
  return [1, 3, 5].map((start) => parseInt(hex.slice(start, start + 2), 16));
}

/** Where a change lies on the scale of its variable, -1 to 1. */
function placeOnScale(field, change) {
  if (!Number.isFinite(change)) return 0;
  const size = Math.min(Math.abs(change), field.top);
  const share = field.logarithmic
    ? Math.log1p(size / field.small) / Math.log1p(field.top / field.small)
    : size / field.top;
  return Math.sign(change) * share;
}

function level(share) {
  return Math.round(share * LEVELS) + LEVELS;
}

/** Round values for a legend: decades of a logarithmic scale, else a few even steps. */
function legendTicks(field) {
  let above = [];
  if (field.logarithmic) {
    for (let tick = field.small * 10; tick <= field.top; tick *= 10) above.push(tick);
  } else {
    above = ticks(0, field.top, 3).filter((tick) => tick > 0);
  }
  return field.signed ? [...above.map((tick) => -tick).reverse(), 0, ...above] : [0, ...above];
}

/** Round values between two ends. */
function ticks(low, high, count) {
  const rough = (high - low) / count || 1;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].map((k) => k * power).find((size) => size >= rough * 0.999);
  const found = [];
  for (let k = Math.ceil(low / step - 1e-9); k * step <= high + step * 1e-6; k++) found.push(k * step);
  return found;
}

function drawLegend(canvas, field, theme) {
  const { ctx, width } = prepare(canvas);
  const [left, right, top, high] = [6, width - 6, 15, 9];
  const x = (share) => (field.signed ? left + ((share + 1) / 2) * (right - left) : left + share * (right - left));
  for (let px = left; px < right; px++) {
    const share = field.signed ? ((px - left) / (right - left)) * 2 - 1 : (px - left) / (right - left);
    ctx.fillStyle = theme.css[level(share)];
    ctx.fillRect(px, top, 1.5, high);
  }
  ctx.fillStyle = theme.soft;
  ctx.font = "12px system-ui, sans-serif";
  ctx.textAlign = "center";
  ctx.fillText(legendTitle(field), (left + right) / 2, 10);
  let free = -Infinity;
  for (const tick of legendTicks(field)) {
    const at = x(placeOnScale(field, tick));
    const text = written(tick);
    const half = ctx.measureText(text).width / 2;
    const spot = Math.min(Math.max(at, half), width - half);
    if (spot - half < free) continue;
    ctx.fillRect(at - 0.5, top + high, 1, 4);
    ctx.fillText(text, spot, top + high + 16);
    free = spot + half + 5;
  }
  canvas.setAttribute("aria-label", `Color scale: ${legendTitle(field)}, up to ${written(field.top)}`);
}

function legendTitle(field) {
  if (!field.signed) return withUnit(field.title, `(${field.unit})`);
  const unit = field.unit ? ` (${field.unit})` : "";
  return `change of ${field.title}${unit}${field.logarithmic ? ", logarithmic" : ""}`;
}
