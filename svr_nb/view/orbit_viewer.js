// A shape in a canvas: read it, project it, fill a depth buffer, turn it with the mouse.
// The page sets `shape` (see pack_shape) and `view` (azimuth, elevation, roll, perspective) before.

// ---- the shape
const bytes = text => Uint8Array.from(atob(text), letter => letter.charCodeAt(0)).buffer;
const P = Float32Array.from(new Int16Array(bytes(shape.p)), x => x / 32767 * shape.extent);
const C = new Uint8Array(bytes(shape.c));
const F = new (shape.wide ? Uint32Array : Uint16Array)(bytes(shape.f));
const count = P.length / 3;

const corner = i => [P[3*i], P[3*i+1], P[3*i+2]];
const minus = (a, b) => [a[0]-b[0], a[1]-b[1], a[2]-b[2]];
const dot = (a, b) => a[0]*b[0] + a[1]*b[1] + a[2]*b[2];
const cross = (a, b) => [a[1]*b[2] - a[2]*b[1], a[2]*b[0] - a[0]*b[2], a[0]*b[1] - a[1]*b[0]];
const unit = a => { const n = Math.hypot(...a) || 1; return [a[0]/n, a[1]/n, a[2]/n]; };

// Normals per face corner: smooth, but sharp where the surface folds.
const faceNormals = [], smooth = new Float32Array(P.length);
const normals = new Float32Array(3 * F.length);
for (let f = 0; f < F.length; f += 3) {
  const a = corner(F[f]), n = cross(minus(corner(F[f+1]), a), minus(corner(F[f+2]), a));
  faceNormals.push(unit(n));
  for (let k = 0; k < 3; k++) for (let j = 0; j < 3; j++) smooth[3*F[f+k]+j] += n[j];
}
for (let f = 0; f < F.length; f++) {
  const flat = faceNormals[f/3|0], soft = unit(smooth.subarray(3*F[f], 3*F[f]+3));
  normals.set(dot(soft, flat) > 0.82 ? soft : flat, 3*f);
}

// Middle of the bounding box; how far the shape reaches from it sideways, upwards, in all.
const middle = [0, 0, 0], reach = { side: 1e-6, up: 1e-6, all: 1e-6 };
for (let j = 0; j < 3 && count; j++) {
  let low = Infinity, high = -Infinity;
  for (let i = j; i < P.length; i += 3) { low = Math.min(low, P[i]); high = Math.max(high, P[i]); }
  middle[j] = (low + high) / 2;
}
for (let i = 0; i < count; i++) {
  const [x, y, z] = minus(corner(i), middle);
  reach.side = Math.max(reach.side, Math.hypot(x, z) + shape.radius);
  reach.up = Math.max(reach.up, Math.abs(y) + shape.radius);
  reach.all = Math.max(reach.all, Math.hypot(x, y, z) + shape.radius);
}

// ---- the camera
let azimuth = view.azimuth, elevation = view.elevation, zoom = 1;
const distance = (view.perspective ? 4 : 400) * reach.all;

// Rows: right, down, forward; the camera of `orbit`.
function turn() {
  const [a, e, r] = [azimuth, elevation, view.roll].map(x => x * Math.PI / 180);
  const [sa, ca, se, ce] = [Math.sin(a), Math.cos(a), Math.sin(e), Math.cos(e)];
  const [right, down] = [[-ca, 0, sa], [-sa*se, -ce, -ca*se]];
  const mix = (s, t) => [0, 1, 2].map(j => s*right[j] + t*down[j]);
  return [mix(Math.cos(r), -Math.sin(r)), mix(Math.sin(r), Math.cos(r)), [sa*ce, -se, ca*ce]];
}

// Pixels per unit of x / z at which the shape fills the frame, whatever its azimuth.
function scale(w, h) {
  const e = elevation * Math.PI / 180;
  const tall = reach.up * Math.cos(e) + reach.side * Math.abs(Math.sin(e));
  const [across, along] = Math.abs(view.roll) > 5 ? [reach.all, reach.all] : [reach.side, tall];
  const fit = Math.min(w / 2 / across, h / 2 / Math.min(along, reach.all));
  return 0.94 * fit * Math.sqrt(distance ** 2 - reach.all ** 2) * zoom;
}

function project(R, s, w, h) {
  const out = new Float32Array(P.length);
  for (let k = 0; k < P.length; k += 3) {
    const p = [P[k] - middle[0], P[k+1] - middle[1], P[k+2] - middle[2]];
    const near = 1 / Math.max(dot(R[2], p) + distance, 1e-3 * distance);
    out[k] = w/2 + s * dot(R[0], p) * near;
    out[k+1] = h/2 + s * dot(R[1], p) * near;
    out[k+2] = near;
  }
  return out;
}

// ---- filling: every pixel keeps what is nearest, the largest 1 / z
function fillMesh(R, Q, w, h, depth, pixels) {
  const light = k => 0.35 + 0.65 * Math.abs(dot(normals.subarray(k, k+3), R[2]));
  for (let f = 0; f < F.length; f += 3) {
    const [a, b, c] = [3*F[f], 3*F[f+1], 3*F[f+2]];
    const [ax, ay, bx, by, cx, cy] = [Q[a], Q[a+1], Q[b], Q[b+1], Q[c], Q[c+1]];
    const area = (bx-ax)*(cy-ay) - (by-ay)*(cx-ax);
    if (Math.abs(area) < 1e-9) continue;
    const L = [light(3*f), light(3*f+3), light(3*f+6)];
    const K = shape.corner ? [3*f, 3*f+3, 3*f+6] : [a, b, c];
    const x0 = Math.max(0, Math.floor(Math.min(ax, bx, cx)));
    const x1 = Math.min(w-1, Math.ceil(Math.max(ax, bx, cx)));
    const y0 = Math.max(0, Math.floor(Math.min(ay, by, cy)));
    const y1 = Math.min(h-1, Math.ceil(Math.max(ay, by, cy)));
    for (let y = y0; y <= y1; y++) for (let x = x0; x <= x1; x++) {
      const px = x + 0.5, py = y + 0.5;
      const u = ((bx-px)*(cy-py) - (by-py)*(cx-px)) / area;
      const v = ((cx-px)*(ay-py) - (cy-py)*(ax-px)) / area, t = 1 - u - v;
      if (u < 0 || v < 0 || t < 0) continue;
      const near = u*Q[a+2] + v*Q[b+2] + t*Q[c+2], i = y*w + x;
      if (near <= depth[i]) continue;
      depth[i] = near;
      const l = u*L[0] + v*L[1] + t*L[2];
      for (let j = 0; j < 3; j++) pixels[4*i+j] = l * (u*C[K[0]+j] + v*C[K[1]+j] + t*C[K[2]+j]);
      pixels[4*i+3] = 255;
    }
  }
}

function fillPoints(Q, s, w, h, depth, pixels) {
  for (let k = 0; k < 3*count; k += 3) {
    const r = Math.max(s * shape.radius * Q[k+2], 0.8);
    const x0 = Math.max(0, Math.ceil(Q[k]-r)), x1 = Math.min(w-1, Math.floor(Q[k]+r));
    const y0 = Math.max(0, Math.ceil(Q[k+1]-r)), y1 = Math.min(h-1, Math.floor(Q[k+1]+r));
    for (let y = y0; y <= y1; y++) for (let x = x0; x <= x1; x++) {
      const dx = (x - Q[k]) / r, dy = (y - Q[k+1]) / r, height = 1 - dx*dx - dy*dy, i = y*w + x;
      if (height < 0) continue;
      const near = Q[k+2] * (1 + shape.radius * Math.sqrt(height) * Q[k+2]);
      if (near <= depth[i]) continue;
      depth[i] = near;
      const l = 0.6 + 0.45 * Math.sqrt(Math.max(0, Math.min(1, height - 0.35 * (dx + dy))));
      for (let j = 0; j < 3; j++) pixels[4*i+j] = l * C[k+j];
      pixels[4*i+3] = 255;
    }
  }
}

// ---- drawing and steering
const canvas = document.querySelector("canvas"), note = document.querySelector("span");
let waiting = 0, settle = 0;

function draw(fine) {
  const dense = (window.devicePixelRatio || 1) * (fine ? 2 : 1);
  const w = Math.max(1, canvas.clientWidth * dense | 0);
  const h = Math.max(1, canvas.clientHeight * dense | 0);
  if (canvas.width !== w || canvas.height !== h) { canvas.width = w; canvas.height = h; }
  const image = new ImageData(w, h), depth = new Float32Array(w * h), R = turn();
  const s = scale(w, h), Q = project(R, s, w, h);
  if (shape.kind === "mesh") fillMesh(R, Q, w, h, depth, image.data);
  else fillPoints(Q, s, w, h, depth, image.data);
  canvas.getContext("2d").putImageData(image, 0, 0);
  canvas.dataset.view = [azimuth, elevation, zoom].map(x => x.toFixed(1)).join(" ");
}

// One pixel per pixel while it moves, twice as fine when it rests.
function redraw() {
  if (!waiting) waiting = requestAnimationFrame(() => { waiting = 0; draw(false); });
  clearTimeout(settle);
  settle = setTimeout(() => draw(true), 160);
}

function move(sideways, upwards) {
  azimuth += sideways;
  elevation = Math.max(-89, Math.min(89, elevation + upwards));
  note.style.opacity = 0;
  redraw();
}

canvas.addEventListener("pointerdown", e => canvas.setPointerCapture(e.pointerId));
canvas.addEventListener("pointermove", e => {
  if (e.buttons) move(-e.movementX * 0.6, e.movementY * 0.6);
});
canvas.addEventListener("wheel", e => {
  e.preventDefault();
  zoom = Math.max(0.3, Math.min(8, zoom * Math.exp(-e.deltaY * 0.001)));
  redraw();
}, { passive: false });
canvas.addEventListener("dblclick", () => {
  [azimuth, elevation, zoom] = [view.azimuth, view.elevation, 1];
  redraw();
});
const STEPS = { ArrowLeft: [10, 0], ArrowRight: [-10, 0], ArrowUp: [0, 10], ArrowDown: [0, -10] };
canvas.addEventListener("keydown", e => {
  if (!STEPS[e.key]) return;
  e.preventDefault();
  move(...STEPS[e.key]);
});
new ResizeObserver(() => draw(true)).observe(canvas);
draw(true);
