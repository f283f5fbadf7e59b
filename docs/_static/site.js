// Loads the recordings of live panels when they come near, and plays them (panel.js).
(() => {
  const waiting = new Map();
  window.panelData = (name, data) => {
    const figure = waiting.get(name);
    waiting.delete(name);
    if (figure) playPanel(figure, data, figure.dataset.alt);
  };
  const load = figure => {
    const script = document.createElement("script");
    waiting.set(figure.dataset.panel, figure);
    script.src = `${figure.dataset.root}_static/panels/${figure.dataset.panel}.js`;
    document.head.append(script);
  };
  const start = () => {
    const figures = document.querySelectorAll("figure.panel");
    if (!("IntersectionObserver" in window)) return figures.forEach(load);
    const watch = new IntersectionObserver(seen => {
      for (const { isIntersecting, target } of seen) {
        if (!isIntersecting) continue;
        watch.unobserve(target);
        load(target);
      }
    }, { rootMargin: "600px" });
    figures.forEach(figure => watch.observe(figure));
  };
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", start);
  else start();
})();

// Menus of the theme are labels of hidden boxes; with this the keyboard reaches them as well.
document.addEventListener("DOMContentLoaded", () => {
  for (const label of document.querySelectorAll("label[for^='__'], label[for^='toctree-checkbox']")) {
    if (label.classList.contains("overlay")) continue; // a tap beside the menu closes it
    label.tabIndex = 0;
    label.setAttribute("role", "button");
    label.addEventListener("keydown", event => {
      if (event.key !== "Enter" && event.key !== " ") return;
      event.preventDefault();
      label.click();
    });
  }
  document.addEventListener("keydown", event => {
    if (event.key !== "Escape") return;
    document.querySelectorAll("input.sidebar-toggle").forEach(box => { box.checked = false; });
  });
});

// A picture of several columns is small on a phone: a tap shows it in full size, to be pushed about.
document.addEventListener("click", event => {
  const picture = event.target.closest?.(".cell_output img, .panel-stage canvas:not(.panel-clickable)");
  if (!picture || picture.closest("a")) return;
  const full = picture.naturalWidth || picture.width;
  if (picture.classList.contains("grown")) picture.classList.remove("grown");
  else if (full > picture.clientWidth + 20) picture.classList.add("grown");
});
