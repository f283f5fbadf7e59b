// A photograph on which the silhouette of an object is painted. Holds the mask as an alpha channel:
// where the canvas "layer" is opaque, the object is.
const SIDE = 560;

function button(text, title, press) {
  const made = document.createElement("button");
  Object.assign(made, { textContent: text, title, onclick: press });
  Object.assign(made.style, { font: "inherit", padding: "2px 10px", cursor: "pointer" });
  return made;
}

function render({ model, el }) {
  const page = document.createElement("div");
  const bar = document.createElement("div");
  const shown = document.createElement("canvas");
  const layer = document.createElement("canvas");
  const note = document.createElement("div");
  const past = [];
  let photo = null;
  let erase = false;
  let last = null;

  Object.assign(page.style, { font: "13px sans-serif", maxWidth: `${SIDE}px` });
  Object.assign(bar.style, { display: "flex", flexWrap: "wrap", gap: "6px", margin: "4px 0" });
  Object.assign(shown.style, { cursor: "crosshair", touchAction: "none", maxWidth: "100%",
    border: "1px solid #999", display: "block" });
  shown.tabIndex = 0;
  shown.setAttribute("aria-label", "paint over the object");

  const size = document.createElement("input");
  Object.assign(size, { type: "range", min: 2, max: 80, value: 24, title: "width of the brush" });
  const file = document.createElement("input");
  Object.assign(file, { type: "file", accept: "image/*", title: "open a photograph" });

  const draw = () => {
    const pen = shown.getContext("2d");
    pen.clearRect(0, 0, shown.width, shown.height);
    if (photo) pen.drawImage(photo, 0, 0, shown.width, shown.height);
    pen.globalAlpha = 0.5;
    pen.drawImage(layer, 0, 0);
    pen.globalAlpha = 1;
  };

  // As a message of its own: a trait of bytes that is set in the page does not count as changed.
  const send = (kind, blob) => blob.arrayBuffer().then((bytes) => {
    model.send({ kind }, undefined, [bytes]);
  });
  const tell = () => layer.toBlob((blob) => blob && send("drawn", blob), "image/png");

  const keep = () => {
    past.push(layer.getContext("2d").getImageData(0, 0, layer.width, layer.height));
    if (past.length > 20) past.shift();
  };
  const undo = () => {
    if (past.length) layer.getContext("2d").putImageData(past.pop(), 0, 0);
    draw();
    tell();
  };
  const fill = (clear) => {
    keep();
    const pen = layer.getContext("2d");
    pen.globalCompositeOperation = clear ? "source-over" : "xor";  // xor with all: the inverse
    if (clear) pen.clearRect(0, 0, layer.width, layer.height);
    pen.fillStyle = "#e5007d";
    if (!clear) pen.fillRect(0, 0, layer.width, layer.height);
    draw();
    tell();
  };

  // The pen's strokes are a line; a closed outline is filled with the "fill" button.
  const fillHoles = () => {
    keep();
    const { width, height } = layer;
    const pen = layer.getContext("2d");
    const pixels = pen.getImageData(0, 0, width, height);
    const outside = new Uint8Array(width * height);
    const todo = [];
    const visit = (x, y) => {
      const at = y * width + x;
      if (x < 0 || y < 0 || x >= width || y >= height || outside[at]) return;
      if (pixels.data[4 * at + 3] > 127) return;
      outside[at] = 1;
      todo.push(x, y);
    };
    for (let x = 0; x < width; x++) { visit(x, 0); visit(x, height - 1); }
    for (let y = 0; y < height; y++) { visit(0, y); visit(width - 1, y); }
    while (todo.length) {
      const y = todo.pop();
      const x = todo.pop();
      visit(x + 1, y); visit(x - 1, y); visit(x, y + 1); visit(x, y - 1);
    }
    for (let at = 0; at < outside.length; at++) {
      if (!outside[at]) pixels.data.set([229, 0, 125, 255], 4 * at);
    }
    pen.putImageData(pixels, 0, 0);
    draw();
    tell();
  };

  const spot = (event) => {
    const box = shown.getBoundingClientRect();
    return [(event.clientX - box.left) * shown.width / box.width,
      (event.clientY - box.top) * shown.height / box.height];
  };
  const stroke = (event) => {
    const [x, y] = spot(event);
    const pen = layer.getContext("2d");
    pen.globalCompositeOperation = erase ? "destination-out" : "source-over";
    Object.assign(pen, { lineWidth: Number(size.value), lineCap: "round", strokeStyle: "#e5007d" });
    pen.beginPath();
    pen.moveTo(...(last || [x, y]));
    pen.lineTo(x, y + 0.01);
    pen.stroke();
    last = [x, y];
    draw();
  };
  shown.addEventListener("pointerdown", (event) => {
    shown.setPointerCapture(event.pointerId);
    keep();
    stroke(event);
  });
  shown.addEventListener("pointermove", (event) => { if (last && event.buttons) stroke(event); });
  shown.addEventListener("pointerup", () => { last = null; tell(); });
  shown.addEventListener("pointercancel", () => { last = null; });

  const load = (bytes, layerBytes) => createImageBitmap(new Blob([bytes])).then((image) => {
    photo = image;
    const scale = Math.min(1, SIDE / Math.max(image.width, image.height));
    for (const canvas of [shown, layer]) {
      canvas.width = Math.max(1, Math.round(image.width * scale));
      canvas.height = Math.max(1, Math.round(image.height * scale));
    }
    const wider = Math.max(1, 420 / Math.max(shown.width, shown.height));  // small ones are enlarged
    shown.style.width = `${Math.round(shown.width * wider)}px`;
    past.length = 0;
    draw();
    if (layerBytes && layerBytes.byteLength) {
      createImageBitmap(new Blob([layerBytes])).then((start) => {
        layer.getContext("2d").drawImage(start, 0, 0, layer.width, layer.height);
        draw();
      });
    }
  }).catch(() => { note.textContent = "This file is not a picture that the browser can read."; });

  const take = (picked) => {
    if (!picked) return;
    note.textContent = picked.name;
    send("photo", picked);
  };
  file.onchange = () => take(file.files[0]);
  page.addEventListener("dragover", (event) => event.preventDefault());
  page.addEventListener("drop", (event) => {
    event.preventDefault();
    take(event.dataTransfer.files[0]);
  });

  const mode = button("erase", "paint or erase", () => {
    erase = !erase;
    mode.textContent = erase ? "paint" : "erase";
  });
  bar.append(file, size, mode, button("fill outline", "fill what is enclosed", fillHoles),
    button("invert", "swap inside and outside", () => fill(false)),
    button("undo", "take the last stroke back", undo),
    button("clear", "begin again", () => fill(true)));
  page.append(bar, shown, note);
  el.appendChild(page);
  const reload = () => {
    const bytes = model.get("photo");
    if (bytes && bytes.byteLength) load(bytes, model.get("start"));
    else note.textContent = "Drop a photograph here, or open one above.";
  };
  model.on("change:photo", reload);
  reload();
}

export default { render };
