// Plays a recorded panel: controls, and the frame that was drawn for where they stand.
// playPanel(root, data): `root` gets the controls and a canvas; `data` is what `Recording.data` holds.
function playPanel(root, data, alt) {
  const make = (kind, name, text) => {
    const node = document.createElement(kind);
    if (name) node.className = name;
    if (text !== undefined) node.textContent = text;
    return node;
  };
  const controls = data.controls;
  const at = controls.map(control => control.at);
  const keys = Object.keys(data.keys).map(text => text.split(",").map(Number));
  const bar = make("div", "panel-bar"), stage = make("div", "panel-stage");
  const canvas = make("canvas"), page = make("div", "panel-page");
  const said = make("div", "panel-said");
  said.setAttribute("role", "status");
  const setters = controls.map(() => () => {});
  const still = root.querySelector("img"); // stays until the first frame is there

  // ---- frames
  const pictures = new Map();
  const picture = text => {
    if (!pictures.has(text)) {
      const image = new Image();
      image.src = "data:image/webp;base64," + text;
      pictures.set(text, image.decode().then(() => image));
    }
    return pictures.get(text);
  };
  let latest = 0;
  async function paint() {
    const turn = ++latest, frame = data.frames[data.keys[at.join()]];
    if (typeof frame === "string") {
      canvas.hidden = true; page.hidden = false; page.innerHTML = frame;
      still?.remove();
      return;
    }
    const base = frame.whole ? [] : data.frames[0].patches;
    const patches = await Promise.all(
      [...base, ...frame.patches].map(async ([x, y, text]) => [x, y, await picture(text)]));
    if (turn !== latest) return;
    canvas.hidden = false; page.hidden = true;
    still?.remove();
    const [width, height] = frame.size || data.frames[0].size;
    if (canvas.width !== width || canvas.height !== height) {
      canvas.width = width; canvas.height = height; canvas.style.width = width + "px";
    }
    const pen = canvas.getContext("2d");
    for (const [x, y, image] of patches) pen.drawImage(image, x, y);
    canvas.setAttribute("aria-label", (alt || "picture") + "; " + controls.map(
      (control, i) => `${control.label} ${control.labels[at[i]]}`).join(", "));
  }

  // ---- moving: the frame nearest to what is asked for, with this control where it was put
  function go(i, value) {
    const want = at.slice();
    want[i] = value;
    let best = null, least = Infinity;
    for (const key of keys) {
      if (key[i] !== value) continue;
      const cost = key.reduce((sum, k, j) => sum + (k !== want[j] ? 100 + Math.abs(k - want[j]) : 0), 0);
      if (cost < least) { least = cost; best = key; }
    }
    if (!best) return;
    const moved = controls.filter((_, j) => j !== i && best[j] !== at[j]).map(c => c.label);
    best.forEach((k, j) => { at[j] = k; });
    setters.forEach((set, j) => set(at[j]));
    said.textContent = moved.length ? `not recorded together: ${moved.join(", ")} went back` : "";
    paint();
  }

  // ---- controls
  const widgets = {
    slider(control, i) {
      const label = make("label", "panel-control"), input = make("input"), value = make("output");
      Object.assign(input, { type: "range", min: 0, max: control.labels.length - 1, step: 1 });
      label.append(make("span", "", control.label), input, value);
      setters[i] = k => {
        input.value = k; value.textContent = control.labels[k];
        input.setAttribute("aria-valuetext", control.labels[k]);
      };
      input.addEventListener("input", () => go(i, Number(input.value)));
      return label;
    },
    steps(control, i) {
      const label = widgets.slider(control, i), button = make("button", "", "▶");
      const last = control.labels.length - 1;
      let timer = 0;
      const stop = () => { clearInterval(timer); timer = 0; button.textContent = "▶"; };
      button.type = "button";
      button.setAttribute("aria-label", `play ${control.label}`);
      button.addEventListener("click", () => {
        if (timer) return stop();
        if (at[i] === last) go(i, 0);
        button.textContent = "❚❚";
        timer = setInterval(() => (at[i] < last ? go(i, at[i] + 1) : stop()), control.every || 150);
      });
      const box = make("span", "panel-control");
      box.append(button, label);
      return box;
    },
    menu(control, i) {
      const label = make("label", "panel-control"), select = make("select");
      control.labels.forEach(text => select.append(make("option", "", text)));
      label.append(make("span", "", control.label), select);
      setters[i] = k => { select.selectedIndex = k; };
      select.addEventListener("change", () => go(i, select.selectedIndex));
      return label;
    },
    switch(control, i) {
      const label = make("label", "panel-control"), input = make("input");
      input.type = "checkbox";
      label.append(input, make("span", "", control.label));
      setters[i] = k => { input.checked = k === 1; };
      input.addEventListener("change", () => go(i, Number(input.checked)));
      return label;
    },
    toggles(control, i) {
      const box = make("span", "panel-control"), sets = control.sets;
      box.setAttribute("role", "group");
      box.setAttribute("aria-label", control.label);
      const buttons = control.names.map((name, n) => {
        const button = make("button", "", name.replaceAll("_", " "));
        button.type = "button";
        button.addEventListener("click", () => {
          const want = control.names.map((_, m) => sets[at[i]][m] !== (m === n ? 1 : 0) ? 1 : 0);
          const far = set => set.reduce((sum, on, m) => sum + (on !== want[m] ? (m === n ? 100 : 1) : 0), 0);
          let best = 0;
          sets.forEach((set, k) => { if (far(set) < far(sets[best])) best = k; });
          go(i, best);
        });
        return button;
      });
      setters[i] = k => buttons.forEach((b, n) => b.setAttribute("aria-pressed", sets[k][n] ? "true" : "false"));
      box.append(...buttons);
      return box;
    },
    button(control, i) {
      const button = make("button", "panel-control", control.label);
      button.type = "button";
      button.addEventListener("click", () => {
        const end = at[i] === control.labels.length - 1;
        go(i, end ? 0 : at[i] + 1);
        said.textContent = end ? "end of the recording: back to the start" : `pressed ${at[i]} times`;
      });
      return button;
    },
  };
  controls.forEach((control, i) => {
    if (widgets[control.kind]) bar.append(widgets[control.kind](control, i));
  });

  // ---- places in the picture
  controls.forEach((control, i) => {
    if (control.kind !== "click") return;
    canvas.tabIndex = 0;
    canvas.classList.add("panel-clickable");
    const near = (u, v) => {
      let best = 0;
      const far = ([a, b]) => (a - u) ** 2 + (b - v) ** 2;
      control.points.forEach((point, k) => { if (far(point) < far(control.points[best])) best = k; });
      return best;
    };
    const tell = event => {
      const frame = canvas.getBoundingClientRect();
      const x = (event.clientX - frame.left) / frame.width, y = (event.clientY - frame.top) / frame.height;
      for (const [left, top, width, height] of control.boxes) {
        const u = 2 * (x - left) / width - 1, v = 2 * (y - top) / height - 1;
        if (Math.abs(u) <= 1 && Math.abs(v) <= 1 && near(u, v) !== at[i]) go(i, near(u, v));
      }
    };
    canvas.addEventListener("pointerdown", event => { tell(event); });
    canvas.addEventListener("pointermove", event => { if (event.buttons) tell(event); });
    canvas.addEventListener("keydown", event => {
      const way = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
      if (!way) return;
      event.preventDefault();
      event.stopPropagation();
      const [u, v] = control.points[at[i]];
      let best = -1, least = Infinity;
      control.points.forEach(([a, b], k) => {
        const along = (a - u) * way[0] + (b - v) * way[1], aside = Math.abs((a - u) * way[1]) + Math.abs((b - v) * way[0]);
        if (along > 1e-6 && along + 3 * aside < least) { least = along + 3 * aside; best = k; }
      });
      if (best >= 0) go(i, best);
    });
  });

  canvas.setAttribute("role", "img");
  canvas.hidden = true;
  stage.append(...(still ? [still] : []), canvas, page);
  root.replaceChildren(bar, stage, said, make("div", "panel-note", data.note));
  setters.forEach((set, i) => set(at[i]));
  return paint();
}
