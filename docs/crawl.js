// What docs/crawl.py asks an open page.
window.site = (() => {
  const pause = ms => new Promise(done => setTimeout(done, ms));
  // Everything that loads late comes now: pictures and frames, and panels when they are near.
  async function scroll() {
    document.querySelectorAll("img, iframe").forEach(node => { node.loading = "eager"; });
    for (const panel of document.querySelectorAll("figure.panel")) {
      panel.scrollIntoView({ behavior: "instant" });
      for (let i = 0; i < 40 && !panel.querySelector(".panel-bar"); i++) await pause(50);
    }
    scrollTo({ top: 0, behavior: "instant" });
  }
  // Whether every picture has come and every panel plays.
  const quiet = () => [...document.images].every(image => image.complete) &&
    !document.querySelector("figure.panel:not(:has(.panel-bar))");
  const seen = node => node.checkVisibility ? node.checkVisibility({ checkVisibilityCSS: true }) : true;
  const name = node => `${node.tagName.toLowerCase()}${node.id ? "#" + node.id : ""}` +
    `${node.classList.length ? "." + [...node.classList].join(".") : ""}`;
  // Pictures and frames without words; controls without a name.
  function words() {
    const wordless = [...document.querySelectorAll("img, iframe, [role=img], article canvas")].filter(node => {
      if (node.getAttribute("aria-hidden") === "true") return false;
      return !(node.alt || node.title || node.getAttribute("aria-label"));
    }).map(name);
    const nameless = [...document.querySelectorAll("a[href], button, input, select")].filter(node => {
      if (!seen(node) || node.type === "hidden") return false;
      const label = node.labels?.[0]?.textContent || node.getAttribute("aria-label") || node.title || node.placeholder;
      return !(node.textContent.trim() || label || node.querySelector("img[alt], svg[aria-label], svg title"));
    }).map(name);
    return { wordless, nameless };
  }
  const pen = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
  const colours = new Map();
  const colour = text => {
    if (!colours.has(text)) {
      pen.clearRect(0, 0, 1, 1);
      pen.fillStyle = text;
      pen.fillRect(0, 0, 1, 1);
      const [r, g, b, a] = pen.getImageData(0, 0, 1, 1).data;
      colours.set(text, [r, g, b, a / 255]);
    }
    return colours.get(text);
  };
  const over = (top, under) => [0, 1, 2].map(i => top[3] * top[i] + (1 - top[3]) * under[i]);
  const light = ([r, g, b]) => {
    const part = x => (x /= 255) <= .04045 ? x / 12.92 : ((x + .055) / 1.055) ** 2.4;
    return .2126 * part(r) + .7152 * part(g) + .0722 * part(b);
  };
  const ground = (node, known) => {
    if (!node) return colour(getComputedStyle(document.documentElement).backgroundColor)[3] ?
      colour(getComputedStyle(document.documentElement).backgroundColor) : [255, 255, 255];
    if (!known.has(node)) {
      const own = colour(getComputedStyle(node).backgroundColor);
      known.set(node, own[3] === 1 ? own : over(own, ground(node.parentElement, known)));
    }
    return known.get(node);
  };
  // Kinds of words that stand out too little from what is behind them.
  function pale() {
    const known = new Map(), found = new Map(), done = new Set();
    const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (walk.nextNode()) {
      const node = walk.currentNode.parentElement;
      if (!walk.currentNode.data.trim() || node.closest("script, style, noscript, svg")) continue;
      // Of words in code and in formulas one of each kind will do.
      const within = node.closest("pre, math"), kind_of = within && `${name(within.parentElement)} ${node.className}`;
      if (within && (done.has(kind_of) || !done.add(kind_of))) continue;
      const style = getComputedStyle(node), behind = ground(node, known);
      if (!seen(node)) continue;
      let fade = 1;
      for (let n = node; n; n = n.parentElement) fade *= Number(getComputedStyle(n).opacity);
      if (fade === 0) continue;
      const own = colour(style.color), [a, b] = [light(over([own[0], own[1], own[2], own[3] * fade], behind)), light(behind)];
      const ratio = (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
      const size = parseFloat(style.fontSize), large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
      if (ratio >= (large ? 3 : 4.5) - .01) continue;
      const kind = `${name(node.parentElement)} > ${name(node)} ${ratio.toFixed(2)}`;
      if (!found.has(kind)) found.set(kind, walk.currentNode.data.trim().slice(0, 30));
    }
    return [...found].slice(0, 12).map(([kind, text]) => `${kind} "${text}"`);
  }
  // Whether the page is wider than its window, and who does it.
  function wide() {
    const more = document.documentElement.scrollWidth - innerWidth;
    if (more <= 1) return [];
    const out = [...document.querySelectorAll("article *")].filter(n => n.getBoundingClientRect().right > innerWidth + 1);
    return [`${more} px too wide: ${out.slice(0, 3).map(name).join(", ")}`];
  }
  return { scroll, quiet, words, pale, wide };
})();
