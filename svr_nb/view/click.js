// A picture that reports where it is pressed or dragged, as fractions of its width and height.
function render({ model, el }) {
  const image = document.createElement("img");
  Object.assign(image.style, {
    cursor: "crosshair", touchAction: "none", maxWidth: "100%", display: "block",
  });
  image.draggable = false;
  image.alt = "click in the picture";

  const paint = () => {
    const old = image.src;
    image.src = URL.createObjectURL(new Blob([model.get("value")], { type: "image/png" }));
    if (old) URL.revokeObjectURL(old);
  };

  let last = 0;
  const tell = (event) => {
    const early = performance.now() - last < 60;
    if (event.type === "pointermove" && (!event.buttons || early)) return;
    last = performance.now();
    const box = image.getBoundingClientRect();
    const across = (event.clientX - box.left) / box.width;
    const down = (event.clientY - box.top) / box.height;
    model.set("place", [across, down]);
    model.save_changes();
  };

  image.addEventListener("pointerdown", (event) => {
    image.setPointerCapture(event.pointerId);
    tell(event);
  });
  image.addEventListener("pointermove", tell);
  model.on("change:value", paint);
  paint();
  el.appendChild(image);
}

export default { render };
