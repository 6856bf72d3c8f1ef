// What the page gives away as files: a picture of what is seen, and the page that plays.

/** A file for the person. */
function give(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
  state.given = { name, size: blob.size, type: blob.type };
}

function fileName(suffix) {
  const words = run.title.toLowerCase().replace(/[^a-z0-9]+/g, "-").replace(/^-|-$/g, "") || "session";
  return `${words}-${Math.round(picture ? picture.time : 0)}ms.${suffix}`;
}

/** The session so far as one file that plays: what `--export` writes. */
function savePage() {
  if (feed) feed.send("export", {}, ({ text }) => give(new Blob([text], { type: "text/html" }), fileName("html")));
}

const MARGIN = 16; // px around each part of an image

/** What is seen, drawn twice as sharp: cells with their scale, body, moving picture, traces. */
function saveImage() {
  sharpness.factor = 2;
  drawAll();
  drawLegend($("legend"), state.field, theme);
  const image = composed();
  sharpness.factor = 1;
  drawLegend($("legend"), state.field, theme);
  drawAll();
  image.toBlob((blob) => give(blob, fileName("png")), "image/png");
}

function composed() {
  const cells = $("cells");
  const wide = cells.clientWidth;
  const parts = partsOf(wide);
  const image = document.createElement("canvas");
  const ratio = cells.width / wide;
  const high = Math.max(...parts.map(({ y, height }) => y + height)) + MARGIN;
  [image.width, image.height] = [(wide + 2 * MARGIN) * ratio, high * ratio];
  const ctx = image.getContext("2d");
  ctx.scale(ratio, ratio);
  ctx.fillStyle = theme.card;
  ctx.fillRect(0, 0, wide + 2 * MARGIN, high);
  ctx.fillStyle = theme.ink;
  ctx.font = "600 17px system-ui, sans-serif";
  ctx.fillText(run.title, MARGIN, 28);
  ctx.textAlign = "right";
  ctx.font = "14px system-ui, sans-serif";
  ctx.fillText(`${((picture ? picture.time : 0) / 1000).toFixed(2)} s`, wide + MARGIN, 28);
  for (const part of parts) putPart(ctx, part);
  return image;
}

function putPart(ctx, { canvas, title, x, y, width, height }) {
  const head = title ? 24 : 0;
  ctx.fillStyle = theme.ink;
  ctx.textAlign = "left";
  ctx.font = "600 14px system-ui, sans-serif";
  if (title) ctx.fillText(title, x, y + 15);
  if (canvas.width) ctx.drawImage(canvas, x, y + head, width, height - head);
}

/** Where everything stands on the image: the cells above, the rest below in one or two columns. */
function partsOf(wide) {
  const cells = $("cells");
  const [top, legend] = [MARGIN + 24, $("legend")];
  const parts = [{ canvas: cells, x: MARGIN, y: top, width: wide, height: cells.clientHeight }];
  const below = top + cells.clientHeight;
  parts.push({ canvas: legend, x: MARGIN + wide - legend.clientWidth - 8, y: below - legend.clientHeight, width: legend.clientWidth, height: legend.clientHeight });
  const columns = Array.from({ length: wide > 700 ? 2 : 1 }, () => below + MARGIN);
  const width = (wide - (columns.length - 1) * MARGIN) / columns.length;
  const rest = [...(dish ? [[dish.canvas, ""]] : []), [$("raster"), $("raster-title").textContent]];
  rest.push(...panels.map(({ cell, canvas }) => [canvas, run.names[cell]]));
  for (const [canvas, title] of rest) {
    const column = columns.indexOf(Math.min(...columns));
    const height = (canvas.clientHeight * width) / canvas.clientWidth + (title ? 24 : 0);
    parts.push({ canvas, title, x: MARGIN + column * (width + MARGIN), y: columns[column], width, height });
    columns[column] += height + MARGIN;
  }
  return parts;
}
