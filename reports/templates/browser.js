"use strict";
(() => {
  const description = document.getElementById("browser-data");
  if (!description) return;
  const head = JSON.parse(description.textContent);
  const [app, view, status, results, name] = ["app", "view", "status", "results", "name"].map((id) => document.getElementById(`browser-${id}`));
  const search = document.getElementById("browser-search");

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
  const shown = (value, digits = 3) => (Number.isNaN(value) ? "–" : value.toFixed(digits).replace("-", "−"));
  const count = (value) => value.toLocaleString("en");
  const titled = ([layer, neuron]) => `L${layer}N${neuron}`;

  // Files beside the page. From a disk a page may load scripts and nothing else, so each file is a script that hands over its data.
  const files = new Map(), waiting = new Map();
  window.neuronBrowser = {
    take(key, id, data) {
      const { done, failed } = waiting.get(key) ?? {};
      if (id !== head.id) failed?.(new Error(`neurons/${key}.js belongs to another report.`));
      else done?.(data);
    },
  };
  const load = (key) => {
    if (!files.has(key)) {
      files.set(key, new Promise((done, failed) => {
        waiting.set(key, { done, failed });
        const missing = () => failed(new Error(`neurons/${key}.js, which has its data, is not beside this page or cannot be read.`));
        const script = node("script", { src: `neurons/${key}.js` });
        script.addEventListener("error", missing);
        script.addEventListener("load", missing); // after the data were taken this does nothing
        document.head.append(script);
      }).catch((error) => {
        files.delete(key); // so that it is tried again when it is asked for again
        throw error;
      }));
    }
    return files.get(key);
  };
  const TYPES = { uint8: Uint8Array, uint16: Uint16Array, int16: Int16Array, uint32: Uint32Array, int32: Int32Array, float32: Float32Array };
  const unpacked = ({ type, data }) => {
    const text = atob(data), bytes = new Uint8Array(text.length);
    for (let k = 0; k < text.length; k++) bytes[k] = text.charCodeAt(k);
    return new TYPES[type](bytes.buffer);
  };
  // Columns are unpacked when they are first needed.
  const column = (file, key) => (file.unpacked ??= {})[key] ??= unpacked(file.columns[key]);
  const row = (file, key, neuron) => {
    const all = column(file, key), width = all.length / head.n_neurons;
    return all.subarray(neuron * width, (neuron + 1) * width);
  };
  const layerFile = (layer) => load(`layer-${String(layer).padStart(2, "0")}`);

  // The text around a token, up to the ends of its window and document.
  const REACH = 8;
  const context = (tokens, at, value) => {
    const segments = column(tokens, "segment"), upos = tokens.upos[column(tokens, "upos")[at]];
    let from = at, to = at;
    while (from > 0 && at - from < REACH && segments[from - 1] === segments[at]) from--;
    while (to + 1 < segments.length && to - at < REACH && segments[to + 1] === segments[at]) to++;
    const text = (start, stop) => tokens.text.slice(start, stop).join("");
    const more = (next) => (segments[next] === segments[at] ? "…" : "");
    const words = node("bdi", {}, more(from - 1), text(from, at), node("mark", {}, tokens.text[at]), text(at + 1, to + 1), more(to + 1));
    return [node("span", { class: "value" }, shown(value, 2)), node("span", {}, words, " ", node("span", { class: "upos" }, upos))];
  };

  const WIDTH = 420, HEIGHT = 220, LEFT = 44, RIGHT = 10, TOP = 12, BOTTOM = 30;
  const frame = (label) => drawn("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": label });
  const scale = (low, high, from, to) => (value) => from + ((value - low) / (high - low || 1)) * (to - from);
  const axes = (svg, x, xTicks, y, yTicks) => {
    for (const tick of xTicks) svg.append(drawn("text", { x: x(tick), y: HEIGHT - 10, "text-anchor": "middle" }, String(tick).replace("-", "−")));
    for (const tick of yTicks) {
      svg.append(drawn("line", { x1: LEFT, x2: WIDTH - RIGHT, y1: y(tick), y2: y(tick), stroke: "var(--line)" }));
      svg.append(drawn("text", { x: LEFT - 5, y: y(tick) + 4, "text-anchor": "end" }, tick.toFixed(2)));
    }
  };
  const figure = (svg, caption) => node("figure", {}, svg, node("figcaption", { class: "soft" }, caption));

  const histogram = (counts, zero) => {
    const svg = frame("Histogram of the standardised pre-activations with the Gaussian; negative ones are shaded");
    const edges = head.edges, filled = [...counts.keys()].filter((bin) => counts[bin]);
    const first = filled[0], last = filled[filled.length - 1];
    const low = Math.min(edges[first], -3), high = Math.max(edges[last + 1], 3);
    const density = Array.from(counts, (n, bin) => n / head.n_tokens / (edges[bin + 1] - edges[bin]));
    const top = Math.max(0.45, ...density);
    const x = scale(low, high, LEFT, WIDTH - RIGHT), y = scale(0, top, HEIGHT - BOTTOM, TOP);
    if (zero > low) svg.append(drawn("rect", { x: x(low), y: TOP, width: x(Math.min(zero, high)) - x(low), height: HEIGHT - BOTTOM - TOP, fill: "var(--accent)", opacity: 0.15 }));
    axes(svg, x, [-6, -4, -2, 0, 2, 4, 6].filter((tick) => tick >= low && tick <= high), y, [0, top / 2, top]);
    for (let bin = first; bin <= last; bin++) {
      const bar = drawn("rect", { x: x(edges[bin]), y: y(density[bin]), width: x(edges[bin + 1]) - x(edges[bin]), height: y(0) - y(density[bin]), fill: "var(--bar)", "data-n": counts[bin] });
      bar.append(drawn("title", {}, `${edges[bin]} to ${edges[bin + 1]} SD: ${count(counts[bin])} tokens`));
      svg.append(bar);
    }
    const points = Array.from({ length: 121 }, (_, k) => low + (k / 120) * (high - low));
    const path = points.map((at, k) => `${k ? "L" : "M"}${x(at)},${y(Math.exp(-at * at / 2) / Math.sqrt(2 * Math.PI))}`).join("");
    svg.append(drawn("path", { d: path, fill: "none", stroke: "var(--curve)", "stroke-width": 1.5 }));
    return figure(svg, "Standardised pre-activations (SD), bars, against N(0, 1), line; shaded: negative. Values beyond ±6 SD are in the outermost bars.");
  };

  const swatch = (colour, text) => node("span", {}, node("span", { class: "swatch", style: `background: ${colour}` }), ` ${text}`);
  const story = (distances, negative) => {
    const svg = frame("Wasserstein distance over training steps, and its part on negative pre-activations");
    const steps = head.checkpoints, place = (step) => Math.log10(1 + step);
    const series = [[Array.from(distances), "var(--bar)"], [Array.from(negative), "var(--accent)"]];
    const top = Math.max(...series.flatMap(([values]) => values).filter((value) => !Number.isNaN(value)), 0) * 1.1 || 1;
    const x = scale(place(steps[0]), place(steps[steps.length - 1]), LEFT + 8, WIDTH - RIGHT - 12), y = scale(0, top, HEIGHT - BOTTOM, TOP);
    const marks = [0, 1, 10, 100, 1000, 10000, 100000].filter((tick) => tick >= steps[0] && tick <= steps[steps.length - 1]);
    axes(svg, (step) => x(place(step)), marks, y, [0, top / 2, top]);
    for (const [values, colour] of series) {
      const points = steps.map((step, k) => [x(place(step)), y(values[k])]).filter(([, at]) => !Number.isNaN(at));
      svg.append(drawn("polyline", { points: points.join(" "), fill: "none", stroke: colour, "stroke-width": 2 }));
      points.forEach(([cx, cy]) => svg.append(drawn("circle", { cx, cy, r: 3, fill: colour })));
    }
    const some = head.n_checkpoints > steps.length ? ` (${steps.length} of ${head.n_checkpoints} checkpoints)` : "";
    const legend = [swatch("var(--bar)", "all of it, "), swatch("var(--accent)", "its part on negative pre-activations.")];
    return figure(svg, node("span", {}, `Wasserstein distance (SD) over training steps${some}: `, ...legend));
  };

  const cells = (tag, values) => values.map((value, k) => node(k ? "td" : "th", k ? {} : { scope: tag }, value));
  const table = (label, heads, rows) => node("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": label }, node("table", {},
    node("thead", {}, node("tr", {}, ...heads.map((text) => node("th", { scope: "col" }, text)))),
    node("tbody", {}, ...rows.map((values) => node("tr", {}, ...cells("row", values))))));
  const place = (rank) => (rank ? count(rank) : "–");
  const RANK = `rank of ${count(head.n_neurons)}`;

  const sides = (file, neuron) => {
    const [share, mean, distance] = ["side_frac", "side_mean", "side_distance"].map((key) => row(file, key, neuron));
    const line = (label, k) => [label, `${shown(100 * share[k], 1)}%`, shown(mean[k]), shown(distance[k])];
    return table("Both sides of zero", ["side", "tokens", "mean pre-activation", "its part of the Wasserstein distance (SD)"], [line("below 0", 0), line("from 0 on", 1)]);
  };
  const statistics = (file, neuron) => {
    const values = row(file, "statistic_value", neuron), ranks = row(file, "statistic_rank", neuron);
    return table("Statistics and their rank in the layer", ["statistic", "value", RANK, "meaning"],
      head.statistics.map(({ name, column, meaning, unit }) => [name, shown(values[column]), place(ranks[column]), unit ? `${meaning} (${unit})` : meaning]));
  };
  const features = (file, neuron) => {
    const [share, q, ranks] = ["explained_frac", "q_value", "feature_rank"].map((key) => row(file, key, neuron));
    return table("Features that it follows", ["feature", "share explained", "q-value", RANK],
      head.features.map((name, k) => [name, shown(share[k]), q[k] < 0.0005 ? "< 0.001" : shown(q[k]), place(ranks[k])]));
  };
  const classes = (file, neuron) => {
    const means = row(file, "class_mean", neuron), ranks = row(file, "class_rank", neuron);
    const order = [...means.keys()].filter((k) => !Number.isNaN(means[k])).sort((a, b) => means[a] - means[b]);
    return table("Parts of speech, the lowest mean first", ["part of speech", "mean (SD)", RANK, "tokens"],
      order.map((k) => [head.classes[k].name, shown(means[k], 2), place(ranks[k]), count(head.classes[k].n)]));
  };
  const examples = (file, tokens, neuron) => {
    const at = row(file, "example_token", neuron), values = row(file, "example_preactivation", neuron), n = head.n_extremes;
    const list = (title, indices) => node("div", {}, node("h4", {}, title), node("ol", {}, ...indices.map((k) => node("li", { "data-token": at[k] }, ...context(tokens, at[k], values[k])))));
    const all = [...at.keys()], between = all.slice(n, -n);
    return node("div", { class: "examples" }, list(`The ${n} lowest`, all.slice(0, n)), list(`The ${n} highest`, all.slice(-n).reverse()),
      list(`At its quantiles, ${shown(100 * head.quantiles[between[0]], 0)}% to ${shown(100 * head.quantiles[between[between.length - 1]], 0)}%`, between));
  };
  const pairs = (file, tokens, neuron, kind) => {
    const ends = row(file, "pair_token", neuron), values = row(file, "pair_preactivation", neuron), half = ends.length / 2;
    const firsts = [];
    for (let k = kind * half; k < (kind + 1) * half; k += 2) if (ends[k] >= 0) firsts.push(k);
    const side = (k) => node("span", { class: "side" }, ...context(tokens, ends[k], values[k]));
    return firsts.length ? node("ul", { class: "pairs" }, ...firsts.map((k) => node("li", {}, side(k), side(k + 1)))) : node("p", {}, "There is none.");
  };

  const portrait = ([layer, neuron], file, tokens, others) => {
    const selected = column(file, "is_selected")[neuron], notes = file.notes[neuron];
    const title = node("h3", { tabindex: -1 }, `Layer ${layer}, neuron ${neuron}`);
    const counts = row(file, "n_in_bin", neuron), charts = node("div", { class: "charts" });
    if (counts.some(Boolean)) charts.append(histogram(counts, column(file, "zero")[neuron]));
    if (head.checkpoints.length > 1) charts.append(story(row(file, "story_distance", neuron), row(file, "story_negative_distance", neuron)));
    const parts = [title, node("p", { class: "soft" }, selected ? "One of the selected Wasserstein neurons. " : "Not selected. ", "Link: ", node("a", { href: `#${titled([layer, neuron])}` }, `#${titled([layer, neuron])}`),
      ...(others.length ? [". ", node("a", { href: `#${others.map(titled).join(",")}` }, "Close")] : []))];
    parts.push(charts);
    if (head.checkpoints.length < 2) parts.push(node("p", { class: "soft" }, "The study has one checkpoint, and so no story over training."));
    parts.push(sides(file, neuron), examples(file, tokens, neuron));
    parts.push(node("h4", {}, "Similar inputs that it drives furthest apart, both negative"), pairs(file, tokens, neuron, 0));
    parts.push(node("h4", {}, "Similar inputs that it drives furthest apart, of any signs"), pairs(file, tokens, neuron, 1));
    parts.push(node("h4", {}, "Its place in its layer (1: the largest)"), statistics(file, neuron));
    parts.push(node("h4", {}, "Features that it follows"), node("p", { class: "soft" }, "The negative values are clustered. A feature of the tokens explains a share of the clusters’ entropy; q-values say whether more than chance."), features(file, neuron));
    if (notes) parts.push(node("p", {}, "Clusters: centre (share): commonest part of speech (most typical words)"), node("ul", {}, ...notes.clusters.map((text) => node("li", {}, node("bdi", {}, text)))));
    if (notes?.apart) parts.push(node("p", {}, `Parts of speech that its negative side keeps furthest apart: ${notes.apart}.`));
    parts.push(node("h4", {}, "Parts of speech"), classes(file, neuron));
    return node("article", { class: "neuron" }, ...parts);
  };

  // What is shown is in the address: #L3N174, or #L3N174,L2N5 for two.
  const parsed = (text) => {
    const names = text.replace(/^#/, "").toUpperCase().split(/[\s,;]+/).filter(Boolean).map((one) => /^L(\d+)N(\d+)$/.exec(one));
    return names.length && names.every(Boolean) ? names.slice(0, 2).map(([, layer, neuron]) => [Number(layer), Number(neuron)]) : null;
  };
  let current = [], latest = 0;
  const failure = (error) => {
    status.replaceChildren(`${error.message} The statistics of every neuron are in `, node("a", { href: encodeURI(head.table) }, head.table),
      ", those of the selected ones in the ", node("a", { href: "#tables" }, "tables"), " below.");
  };
  const show = async (neurons, moves) => {
    const asked = ++latest;
    const unknown = neurons.find(([layer, neuron]) => !head.layers.includes(layer) || neuron >= head.n_neurons);
    if (unknown) {
      status.textContent = `There is no neuron ${titled(unknown)}: layers are ${head.layers[0]} to ${head.layers[head.layers.length - 1]}, neurons 0 to ${head.n_neurons - 1}.`;
      return;
    }
    name.value = neurons.map(titled).join(",");
    status.textContent = "Reading …";
    try {
      const [tokens, ...read] = await Promise.all([load("tokens"), ...neurons.map(([layer]) => layerFile(layer))]);
      if (asked !== latest) return; // another was asked for meanwhile
      view.replaceChildren(...neurons.map((one, k) => portrait(one, read[k], tokens, neurons.filter((_, other) => other !== k))));
      view.classList.toggle("beside", neurons.length > 1);
      current = neurons;
      status.textContent = `Shown: ${neurons.map(titled).join(" beside ")}.`;
      links();
      if (moves) {
        view.scrollIntoView();
        view.querySelector("h3").focus({ preventScroll: true });
      }
    } catch (error) {
      if (asked === latest) failure(error);
    }
  };
  let stays = false;
  const follow = () => {
    const neurons = parsed(location.hash);
    if (neurons) show(neurons, !stays);
    stays = false;
  };
  const open = (neurons, isQuiet) => {
    const hash = `#${neurons.map(titled).join(",")}`;
    stays = isQuiet;
    if (location.hash === hash) follow();
    else location.hash = hash;
  };
  const step = (by) => {
    const [layer, neuron] = current[0] ?? head.starts[0];
    const n = head.n_neurons, all = n * head.layers.length;
    const next = (head.layers.indexOf(layer) * n + neuron + (current.length ? by : 0) + all) % all;
    open([[head.layers[Math.floor(next / n)], next % n], ...current.slice(1)], true);
  };

  // Search: every neuron that is asked for, by one number.
  const keys = [
    ["Statistic", head.statistics.map(({ name, column }) => [name, "statistic_value", "statistic_rank", column])],
    ["Share of its negative clusters that a feature explains", head.features.map((name, k) => [`follows ${name}`, "explained_frac", "feature_rank", k])],
    ["Mean over a part of speech (SD)", head.classes.map(({ name }, k) => [`upos = ${name}`, "class_mean", "class_rank", k])],
  ];
  const flat = keys.flatMap(([, entries]) => entries);
  const MOST = 100;
  // Tokens that are the text, or pieces of a word that is.
  const matching = (tokens, text) => {
    const wanted = text.trim().toLowerCase(), words = column(tokens, "word"), n = tokens.text.length;
    const flags = new Uint8Array(n);
    for (let first = 0, last; first < n; first = last) {
      last = first + 1;
      while (last < n && words[first] >= 0 && words[last] === words[first]) last++;
      const isWord = tokens.text.slice(first, last).join("").trim().toLowerCase() === wanted;
      for (let k = first; k < last; k++) flags[k] = isWord || tokens.text[k].trim().toLowerCase() === wanted;
    }
    return flags;
  };
  const found = (layer, file, asked, flags) => {
    const [, values, ranks, index] = asked.key, rows = [];
    const value = column(file, values), rank = column(file, ranks), width = value.length / head.n_neurons;
    let n = 0;
    for (let neuron = 0; neuron < head.n_neurons; neuron++) if (rank[neuron * width + index]) n++;
    for (let neuron = 0; neuron < head.n_neurons; neuron++) {
      const highest = rank[neuron * width + index], at = asked.lowest ? n + 1 - highest : highest;
      if (!highest || at < asked.from || at > asked.to) continue;
      const entry = { layer, neuron, value: value[neuron * width + index], rank: at, low: 0, high: 0 };
      if (flags) {
        const tokens = row(file, "example_token", neuron), ends = head.n_extremes;
        for (let k = 0; k < ends; k++) {
          entry.low += flags[tokens[k]];
          entry.high += flags[tokens[tokens.length - 1 - k]];
        }
        if (entry.low + entry.high === 0) continue;
      }
      rows.push(entry);
    }
    return rows;
  };
  let listed = null;
  const links = () => {
    for (const link of results.querySelectorAll("a.add")) {
      const other = parsed(link.dataset.name)[0];
      link.hidden = !current.length || titled(current[0]) === titled(other);
      link.href = `#${[...current.slice(0, 1), other].map(titled).join(",")}`;
    }
  };
  const list = (rows, asked) => {
    const by = (a, b) => (asked.lowest ? a.value - b.value : b.value - a.value);
    rows.sort((a, b) => (asked.token ? b.low + b.high - a.low - a.high : 0) || by(a, b) || a.layer - b.layer || a.neuron - b.neuron);
    const heads = ["neuron", asked.key[0], `rank in its layer, ${asked.lowest ? "lowest" : "highest"} first`, ...(asked.token ? [`“${asked.token}” among its lowest`, "among its highest"] : []), ""];
    const line = ({ layer, neuron, value, rank, low, high }) => {
      const id = titled([layer, neuron]);
      return [node("a", { href: `#${id}` }, id), shown(value), count(rank), ...(asked.token ? [low, high].map(String) : []), node("a", { class: "add", href: `#${id}`, "data-name": id, hidden: "" }, "beside")];
    };
    results.replaceChildren(rows.length ? table("Neurons found", heads, rows.slice(0, MOST).map(line)) : "");
    links();
    status.textContent = `${count(rows.length)} neurons found${rows.length > MOST ? `; the first ${MOST} are listed` : ""}.`;
  };
  const find = async (event) => {
    event.preventDefault();
    const fields = new FormData(search), token = fields.get("token").trim();
    const asked = {
      key: flat[Number(fields.get("key"))], lowest: fields.get("order") === "lowest", token,
      from: Number(fields.get("from")) || 1, to: Number(fields.get("to")) || head.n_neurons,
    };
    const layers = fields.get("layer") === "" ? head.layers : [Number(fields.get("layer"))];
    listed = asked;
    try {
      const flags = token ? matching(await load("tokens"), token) : null;
      let n = 0;
      const rows = await Promise.all(layers.map(async (layer) => {
        const file = await layerFile(layer);
        status.textContent = `Read ${++n} of ${layers.length} layers …`;
        return found(layer, file, asked, flags);
      }));
      if (listed === asked) list(rows.flat(), asked);
    } catch (error) {
      if (listed === asked) failure(error);
    }
  };

  search.elements.layer.append(...head.layers.map((layer) => node("option", { value: layer }, layer)));
  let n = 0;
  search.elements.key.append(...keys.map(([label, entries]) => node("optgroup", { label }, ...entries.map(([text]) => node("option", { value: n++ }, text)))));
  search.addEventListener("submit", find);
  document.getElementById("browser-open").addEventListener("submit", (event) => {
    event.preventDefault();
    const neurons = parsed(name.value);
    if (neurons) open(neurons, false);
    else status.textContent = "A neuron is called by its layer and its number, such as L3N174.";
  });
  document.getElementById("browser-previous").addEventListener("click", () => step(-1));
  document.getElementById("browser-next").addEventListener("click", () => step(1));
  window.addEventListener("hashchange", follow);
  // Rows of the table of selected neurons lead here.
  for (const { cells } of document.querySelectorAll("#table-neurons tbody tr")) {
    const [layer, neuron] = [cells[0], cells[1]].map((cell) => cell.textContent.trim());
    cells[1].replaceChildren(node("a", { href: `#L${layer}N${neuron}` }, neuron));
  }
  app.hidden = false;
  follow();
})();
