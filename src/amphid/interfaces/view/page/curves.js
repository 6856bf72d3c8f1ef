// Curves on axes: lines, a band, values that may span decades.

const CURVE = { left: 70, right: 12, top: 10, bottom: 38 };

/**
 * lines: [{x, values, wide, faint, dashed, color, name}]; band: {x, low, high}; unit: of the values.
 * count: what lies along x.
 */
function chart(canvas, lines, { band = null, unit = "", count, logarithmic = false }) {
  const { ctx, width, height } = prepare(canvas);
  const shown = lines.flatMap(({ values }) => values).concat(band ? [...band.low, ...band.high] : []);
  const good = shown.filter((value) => Number.isFinite(value) && (!logarithmic || value > 0));
  const scale = logarithmic ? Math.log10 : (value) => value;
  let [from, to] = rangeOf([[null, good.map(scale)]]);
  if (logarithmic && to - from < 0.3) [from, to] = [from - 0.15, to + 0.15];
  const box = { left: CURVE.left, top: CURVE.top, right: width - CURVE.right, bottom: height - CURVE.bottom };
  const places = lines.flatMap(({ x }) => [x[0], x[x.length - 1]]).filter(Number.isFinite);
  const [first, last] = [Math.min(...places), Math.max(...places, Math.min(...places) + 1e-9)];
  const px = (at) => box.left + ((at - first) / (last - first)) * (box.right - box.left);
  const axis = logarithmic ? drawDecades : drawValueAxis;
  const py = axis(ctx, box, from, to, unit, theme, height > 200 ? 6 : 3);
  const y = (value) => (logarithmic && value <= 0 ? NaN : py(scale(value)));
  countAxis(ctx, box, first, last, px, count);
  ctx.save();
  ctx.beginPath();
  ctx.rect(box.left, box.top - 4, box.right - box.left + 4, box.bottom - box.top + 4);
  ctx.clip();
  if (band) drawBand(ctx, band, px, y);
  for (const line of lines) drawLine(ctx, line, px, y);
  ctx.restore();
}

function drawBand(ctx, { x, low, high }, px, y) {
  ctx.fillStyle = theme.link;
  ctx.globalAlpha = 0.2;
  ctx.beginPath();
  const good = x.map((_, k) => k).filter((k) => Number.isFinite(y(low[k])) && Number.isFinite(y(high[k])));
  for (const k of good) ctx.lineTo(px(x[k]), y(high[k]));
  for (const k of good.reverse()) ctx.lineTo(px(x[k]), y(low[k]));
  ctx.fill();
  ctx.globalAlpha = 1;
}

function drawLine(ctx, { x, values, wide = 1.8, faint = 1, dashed = false, color = theme.link }, px, y) {
  ctx.strokeStyle = color;
  ctx.lineWidth = wide;
  ctx.lineJoin = "round";
  ctx.globalAlpha = faint;
  ctx.setLineDash(dashed ? [5, 4] : []);
  ctx.beginPath();
  let drawing = false;
  x.forEach((at, k) => {
    const spot = y(values[k]);
    const good = Number.isFinite(spot);
    if (good && drawing) ctx.lineTo(px(at), spot);
    else if (good) ctx.moveTo(px(at), spot);
    drawing = good;
  });
  if (values.filter(Number.isFinite).length === 1) x.forEach((at, k) => Number.isFinite(y(values[k])) && ctx.arc(px(at), y(values[k]), 3, 0, 7));
  ctx.stroke();
  ctx.setLineDash([]);
  ctx.globalAlpha = 1;
}

/** An axis of values whose logarithms are even: powers of ten, and 2 and 5 where there are few. */
function drawDecades(ctx, box, from, to, name, theme) {
  const y = (value) => box.bottom - ((value - from) / (to - from)) * (box.bottom - box.top);
  const between = to - from < 1 ? [1, 2, 3, 5, 7] : to - from < 2.5 ? [1, 2, 5] : [1];
  const every = Math.max(1, Math.ceil((to - from) / 6));
  ctx.fillStyle = theme.soft;
  ctx.font = "12px system-ui, sans-serif";
  nameValueAxis(ctx, box, name);
  ctx.textAlign = "right";
  ctx.textBaseline = "middle";
  for (let power = Math.floor(from / every) * every; power <= to; power += every) {
    for (const times of between) {
      const at = power + Math.log10(times);
      if (at < from || at > to) continue;
      ctx.fillRect(box.left - 4, y(at) - 0.5, 4, 1);
      ctx.fillText(written(times * 10 ** power, { digits: 2 }), box.left - 7, y(at));
    }
  }
  return y;
}

function countAxis(ctx, box, first, last, px, count) {
  ctx.fillStyle = theme.soft;
  ctx.font = "12px system-ui, sans-serif";
  ctx.textAlign = "center";
  ctx.textBaseline = "top";
  ctx.fillRect(box.left, box.bottom, box.right - box.left, 1);
  for (const tick of ticks(first, last, Math.max(2, (box.right - box.left) / 110)).filter(Number.isInteger)) {
    ctx.fillRect(px(tick) - 0.5, box.bottom, 1, 4);
    ctx.fillText(written(tick, { digits: 6 }), Math.min(px(tick), box.right - 6), box.bottom + 6);
  }
  ctx.fillText(count, (box.left + box.right) / 2, box.bottom + 22);
}
