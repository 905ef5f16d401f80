"use strict";
(() => {
  // Sorting: every head of a sortable table becomes a button.
  for (const table of document.querySelectorAll("table.sortable")) {
    const heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = head.textContent;
      head.replaceChildren(button);
      button.addEventListener("click", () => {
        const descending = head.getAttribute("aria-sort") === "ascending";
        const direction = descending ? -1 : 1;
        heads.forEach((other) => other.removeAttribute("aria-sort"));
        head.setAttribute("aria-sort", descending ? "descending" : "ascending");
        const key = (row) => {
          const cell = row.cells[column];
          return cell.dataset.value === undefined ? cell.textContent.trim() : Number(cell.dataset.value);
        };
        const isGap = (value) => value === "" || Number.isNaN(value);
        const compare = (a, b) => (typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b)));
        const order = (a, b) => (isGap(a) || isGap(b) ? isGap(a) - isGap(b) : direction * compare(a, b)); // gaps last, either way
        table.tBodies[0].append(...[...table.tBodies[0].rows].sort((a, b) => order(key(a), key(b))));
      });
    });
  }

  // Paper shows what is folded away, but for tables of many pages.
  window.addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((one) => {
    one.open ||= one.querySelectorAll("tr").length <= 40;
  }));

  const data = document.getElementById("browser-data");
  if (!data) return;
  const neurons = JSON.parse(data.textContent);
  const [layers, names, view] = ["layer", "neuron", "view"].map((name) => document.getElementById(`browser-${name}`));

  // Text goes in as text alone: words of a corpus are never markup.
  const node = (tag, attributes = {}, ...children) => {
    const made = document.createElement(tag);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    made.append(...children);
    return made;
  };
  const drawn = (tag, attributes, text) => {
    const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    if (text !== undefined) made.textContent = text;
    return made;
  };
  const shown = (value, digits = 3) => (value === null ? "–" : value.toFixed(digits).replace("-", "−"));
  const words = (name) => name.replaceAll("_", " ").replace(" frac", " share");

  const WIDTH = 420, HEIGHT = 220, LEFT = 44, RIGHT = 10, TOP = 12, BOTTOM = 30;
  const frame = (label) => drawn("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": label });
  const scale = (low, high, from, to) => (value) => from + ((value - low) / (high - low || 1)) * (to - from);
  const axes = (svg, x, xTicks, y, yTicks, xText = String) => {
    for (const tick of xTicks) svg.append(drawn("text", { x: x(tick), y: HEIGHT - 10, "text-anchor": "middle" }, xText(tick)));
    for (const tick of yTicks) {
      svg.append(drawn("line", { x1: LEFT, x2: WIDTH - RIGHT, y1: y(tick), y2: y(tick), stroke: "var(--line)" }));
      svg.append(drawn("text", { x: LEFT - 5, y: y(tick) + 4, "text-anchor": "end" }, tick.toFixed(2)));
    }
  };
  const figure = (svg, caption) => node("figure", {}, svg, node("figcaption", { class: "soft" }, caption));

  const histogram = ({ edges, density, zero }) => {
    const svg = frame("Histogram of the standardised pre-activations with the Gaussian; negative ones are shaded");
    const low = Math.min(edges[0], -3), high = Math.max(edges[edges.length - 1], 3);
    const top = Math.max(0.45, ...density);
    const x = scale(low, high, LEFT, WIDTH - RIGHT), y = scale(0, top, HEIGHT - BOTTOM, TOP);
    if (zero > low) svg.append(drawn("rect", { x: x(low), y: TOP, width: x(Math.min(zero, high)) - x(low), height: HEIGHT - BOTTOM - TOP, fill: "var(--accent)", opacity: 0.15 }));
    axes(svg, x, [-4, -2, 0, 2, 4].filter((tick) => tick >= low && tick <= high), y, [0, top / 2, top]);
    density.forEach((value, bin) => svg.append(drawn("rect", { x: x(edges[bin]), y: y(value), width: x(edges[bin + 1]) - x(edges[bin]), height: y(0) - y(value), fill: "var(--bar)" })));
    const points = Array.from({ length: 121 }, (_, k) => low + (k / 120) * (high - low));
    const path = points.map((at, k) => `${k ? "L" : "M"}${x(at)},${y(Math.exp(-at * at / 2) / Math.sqrt(2 * Math.PI))}`).join("");
    svg.append(drawn("path", { d: path, fill: "none", stroke: "var(--curve)", "stroke-width": 1.5 }));
    return figure(svg, "Standardised pre-activations (SD) against N(0, 1); shaded: negative.");
  };

  const story = (steps) => {
    const svg = frame("Wasserstein distance over training steps");
    const place = (step) => Math.log10(1 + step);
    const top = Math.max(...steps.map(([, value]) => value ?? 0)) * 1.1 || 1;
    const x = scale(place(steps[0][0]), place(steps[steps.length - 1][0]), LEFT + 8, WIDTH - RIGHT - 8), y = scale(0, top, HEIGHT - BOTTOM, TOP);
    const marks = [0, 1, 10, 100, 1000, 10000, 100000].filter((tick) => tick >= steps[0][0] && tick <= steps[steps.length - 1][0]);
    axes(svg, (step) => x(place(step)), marks, y, [0, top / 2, top]);
    const points = steps.filter(([, value]) => value !== null).map(([step, value]) => `${x(place(step))},${y(value)}`);
    svg.append(drawn("polyline", { points: points.join(" "), fill: "none", stroke: "var(--bar)", "stroke-width": 2 }));
    points.forEach((point) => svg.append(drawn("circle", { cx: point.split(",")[0], cy: point.split(",")[1], r: 3, fill: "var(--bar)" })));
    return figure(svg, "Wasserstein distance (SD) over training steps.");
  };

  const side = ([before, text, after, upos, value]) =>
    node("span", { class: "side" }, node("bdi", {}, "…", before, node("mark", {}, text), after, "…"), ` (${upos ? `${upos}, ` : ""}${shown(value, 2)})`);

  const show = () => {
    const found = neurons.find((one) => one.layer === Number(layers.value) && one.neuron === Number(names.value));
    const rows = Object.entries(found.statistics).map(([name, value]) => node("tr", {}, node("th", { scope: "row" }, words(name)), node("td", {}, shown(value))));
    const parts = [node("h3", {}, `Layer ${found.layer}, neuron ${found.neuron}`)];
    const charts = node("div", { class: "charts" });
    if (found.histogram) charts.append(histogram(found.histogram));
    if (found.story && found.story.length > 1) charts.append(story(found.story));
    parts.push(charts, node("div", { class: "scroll" }, node("table", {}, node("tbody", {}, ...rows))));
    if (found.features) {
      const said = found.features.filter(([, , q]) => q !== null && q < 0.05).map(([name, share]) => `${name} (${shown(share)})`);
      parts.push(node("p", {}, said.length ? `Clusters of its negative values follow, beyond chance: ${said.join(", ")} (share of the clusters' entropy that each explains).` :
        "Clusters of its negative values follow no syntactic feature beyond chance."));
      parts.push(node("ul", {}, ...found.clusters.map((text) => node("li", {}, node("bdi", {}, text)))));
    }
    if (found.apart) parts.push(node("p", {}, `Parts of speech that its negative side keeps furthest apart: ${found.apart}.`));
    if (found.pairs) parts.push(node("p", {}, "Similar inputs that it drives furthest apart, both negative:"), node("ul", { class: "pairs" }, ...found.pairs.map(([a, b]) => node("li", {}, side(a), side(b)))));
    view.replaceChildren(...parts);
  };
  const fill = (select, values) => select.replaceChildren(...values.map((value) => node("option", { value }, value)));
  const ofLayer = () => neurons.filter((one) => one.layer === Number(layers.value)).map((one) => one.neuron);
  const step = (by) => {
    const at = neurons.findIndex((one) => one.layer === Number(layers.value) && one.neuron === Number(names.value));
    const next = neurons[(at + by + neurons.length) % neurons.length];
    layers.value = next.layer;
    fill(names, ofLayer());
    names.value = next.neuron;
    show();
  };
  fill(layers, [...new Set(neurons.map((one) => one.layer))]);
  fill(names, ofLayer());
  layers.addEventListener("change", () => { fill(names, ofLayer()); show(); });
  names.addEventListener("change", show);
  document.getElementById("browser-previous").addEventListener("click", () => step(-1));
  document.getElementById("browser-next").addEventListener("click", () => step(1));
  document.getElementById("browser-app").hidden = false;
  show();
})();
