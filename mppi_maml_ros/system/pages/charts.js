// Charts on canvas, in the page's colours, as large as their place; redrawn when either changes.
//   {series: [{x, y, colour, label, dash, width, alpha}], x: "time [s]", y: "error [m]", equal, log, zero,
//    marks: [{x, colour, dash, alpha, foot: short, at the bottom}], robot: [x, y, yaw], within: [series that the view holds]}
// null in x or y breaks a line
"use strict";
const charts = new Map();
const chart = (canvas, spec) => { charts.set(canvas, spec); draw(canvas, spec); };
const redraw = () => charts.forEach((spec, canvas) => draw(canvas, spec));
addEventListener("resize", redraw);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);

function ticks(low, high, about) {
  const raw = (high - low) / about, power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map(k => k * power).find(s => s >= 0.75 * raw), found = [];
  for (let k = Math.ceil(low / step - 1e-9); k * step <= high + 1e-9 * step; k++) found.push(+(k * step).toPrecision(12));
  return found;
}

const text = v => v && (Math.abs(v) < 1e-3 || Math.abs(v) >= 1e5) ? v.toExponential().replace("e+", "e") : +v.toPrecision(6);

function extent(series, key, log) {
  let low = Infinity, high = -Infinity;
  for (const one of series) for (const v of one[key])
    if (v !== null && isFinite(v) && !(log && v <= 0)) { if (v < low) low = v; if (v > high) high = v; }
  return low <= high ? [low, high] : log ? [0.1, 1] : [0, 1];
}

function draw(canvas, spec) {
  const css = getComputedStyle(document.documentElement), colour = name => css.getPropertyValue("--" + name).trim();
  const width = canvas.clientWidth, left = 60, right = 10, bottom = 36;
  if (!width) return;
  const g = canvas.getContext("2d"), font = "12px system-ui, sans-serif";
  g.font = font;
  const labels = spec.series.filter(one => one.label && one.x.length), rows = [[]];  // of the legend
  let used = left;
  for (const one of labels) {
    const wide = g.measureText(one.label).width + 38;
    if (used + wide > width && rows.at(-1).length) { rows.push([]); used = left; }
    rows.at(-1).push([used, one]);
    used += wide;
  }
  const top = labels.length ? 8 + 17 * rows.length : 12;
  const within = spec.within || spec.series;
  let [x0, x1] = extent(within, "x"), [y0, y1] = extent(within, "y", spec.log), height;
  const inner = width - left - right;
  if (spec.equal) {
    const least = 1, pad = 0.04 * Math.max(x1 - x0, y1 - y0, least);
    const widen = (a, b) => { const more = Math.max(least - (b - a), 0) / 2 + pad; return [a - more, b + more]; };
    [x0, x1] = widen(x0, x1); [y0, y1] = widen(y0, y1);
    const room = Math.min(Math.max(inner * (y1 - y0) / (x1 - x0), spec.lowest || 180),
      spec.highest || 0.8 * innerHeight, 1.4 * inner);
    height = room + top + bottom;
    const scale = Math.max((x1 - x0) / inner, (y1 - y0) / room);
    const grow = (a, b, size) => [(a + b - size) / 2, (a + b + size) / 2];
    [x0, x1] = grow(x0, x1, scale * inner); [y0, y1] = grow(y0, y1, scale * room);
  } else {
    height = spec.height || 210;
    if (spec.log) { y0 = Math.log10(y0) - 0.1; y1 = Math.log10(y1) + 0.1; }
    else { if (spec.zero) { y0 = Math.min(y0, 0); } const pad = 0.06 * (y1 - y0 || 1); y1 += pad; if (y0 < 0 || !spec.zero) y0 -= pad; }
    if (x0 === x1) x1 = x0 + 1;
  }
  const ratio = devicePixelRatio || 1;
  canvas.style.height = height + "px";
  canvas.width = Math.round(width * ratio); canvas.height = Math.round(height * ratio);
  g.setTransform(ratio, 0, 0, ratio, 0, 0);
  const base = height - bottom, X = x => left + (x - x0) / (x1 - x0) * inner;
  const Y = y => base - ((spec.log ? Math.log10(y) : y) - y0) / (y1 - y0) * (base - top);
  g.font = font; g.lineWidth = 1; g.strokeStyle = colour("line"); g.fillStyle = colour("dim");
  const line = (ax, ay, bx, by) => { g.beginPath(); g.moveTo(ax, ay); g.lineTo(bx, by); g.stroke(); };
  g.textAlign = "center";
  for (const t of ticks(x0, x1, Math.max(inner / 70, 2))) { line(X(t), top, X(t), base); g.fillText(t, X(t), base + 15); }
  g.textAlign = "right";
  const rise = Math.max((base - top) / 36, 2);
  const decades = Math.ceil((y1 - y0) / rise), first = Math.ceil(y0 / decades);
  let marks = spec.log ? Array.from({length: Math.max(Math.floor(y1 / decades) - first + 1, 0)}, (_, k) => 10 ** ((first + k) * decades))
    : ticks(y0, y1, rise);
  if (spec.log && marks.length < 2) marks = ticks(10 ** y0, 10 ** y1, 4).filter(v => v > 0);
  for (const t of marks) { line(left, Y(t), left + inner, Y(t)); g.fillText(text(t), left - 6, Y(t) + 4); }
  g.textAlign = "center";
  g.fillText(spec.x, left + inner / 2, height - 4);
  g.save(); g.translate(10, (top + base) / 2); g.rotate(-Math.PI / 2); g.fillText(spec.y, 0, 0); g.restore();
  g.save(); g.beginPath(); g.rect(left, top - 4, inner, base - top + 8); g.clip();
  for (const mark of spec.marks || []) {
    g.strokeStyle = colour(mark.colour); g.setLineDash(mark.dash || []); g.globalAlpha = mark.alpha || 1;
    line(X(mark.x), mark.foot ? base - 9 : top, X(mark.x), base);
  }
  g.lineJoin = "round";
  for (const one of spec.series) {
    g.strokeStyle = colour(one.colour); g.setLineDash(one.dash || []); g.lineWidth = one.width || 1.6;
    g.globalAlpha = one.alpha || 1;
    g.beginPath();
    let pen = false;
    for (let k = 0; k < one.x.length; k++) {
      const x = one.x[k], y = one.y[k];
      if (x === null || y === null || (spec.log && y <= 0)) { pen = false; continue; }
      if (pen) g.lineTo(X(x), Y(y)); else g.moveTo(X(x), Y(y));
      pen = true;
    }
    g.stroke();
  }
  g.globalAlpha = 1; g.setLineDash([]);
  if (spec.robot) {
    const [x, y, yaw] = spec.robot;
    g.translate(X(x), Y(y)); g.rotate(-yaw);
    g.beginPath(); g.moveTo(11, 0); g.lineTo(-7, 7); g.lineTo(-3, 0); g.lineTo(-7, -7); g.closePath();
    g.fillStyle = colour("a"); g.fill(); g.strokeStyle = colour("card"); g.lineWidth = 1.5; g.stroke();
  }
  g.restore();
  g.textAlign = "left"; g.lineWidth = 2;
  rows.forEach((row, k) => row.forEach(([at, one]) => {
    g.strokeStyle = colour(one.colour); g.setLineDash(one.dash || []); line(at, 8 + 17 * k, at + 18, 8 + 17 * k);
    g.fillStyle = colour("ink"); g.fillText(one.label, at + 23, 12 + 17 * k);
  }));
  g.setLineDash([]);
}
