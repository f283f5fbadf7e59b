// The slider moves a window over the turned pictures; until it is touched they turn by themselves.
for (const turn of document.querySelectorAll(".turn")) {
  const slider = turn.parentElement.querySelector("input"), last = +slider.max;
  const show = () => { turn.style.backgroundPosition = 100 * slider.value / last + "% 0"; };
  let playing = !matchMedia("(prefers-reduced-motion: reduce)").matches && setInterval(() => {
    slider.value = (+slider.value + 1) % (last + 1); show();
  }, 160);
  const stop = () => { clearInterval(playing); playing = false; show(); };
  for (const kind of ["input", "pointerdown", "focus"]) slider.addEventListener(kind, stop);
  show();
}
