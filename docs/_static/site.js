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
