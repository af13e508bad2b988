"use strict";
// What the page shows of an image, a selection and a search. bokeh draws the maps; their points share one source.
window.explorer = (() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const at = (id) => document.getElementById(id);
  const OKABE_ITO = ["#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#000000", "#F0E442"];
  const GREY = "#B0B0B0", SHOWN = 60;
  const CIVIDIS = [[0, 32, 77], [49, 68, 107], [102, 105, 112], [149, 143, 120], [203, 186, 105], [255, 234, 70]];
  let source = null, current = -1;

  const make = (tag, attributes = {}, ...children) => {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    element.append(...children);
    return element;
  };
  const picture = (index) =>
    make("img", { src: "data:image/webp;base64," + data.thumbs[index], alt: data.ids[index], draggable: "false" });

  // Colours: eight that colour-blind readers tell apart, a scale for numbers, the pictures' own for theirs.
  const groups = (values) => {
    const counts = new Map();
    for (const value of values) counts.set(value, (counts.get(value) || 0) + 1);
    return [...counts].sort((a, b) => (a[0] === "") - (b[0] === "") || b[1] - a[1] || (a[0] < b[0] ? -1 : 1));
  };
  const palette = (values) => {
    const named = groups(values).filter(([name]) => name !== "");
    const room = named.length <= OKABE_ITO.length ? OKABE_ITO.length : OKABE_ITO.length - 1;
    return new Map(named.map(([name], place) => [name, place < room ? OKABE_ITO[place] : GREY]));
  };
  const scale = (share) => {
    const place = Math.min(Math.max(share, 0), 1) * (CIVIDIS.length - 1), low = Math.min(Math.floor(place), CIVIDIS.length - 2);
    const mix = CIVIDIS[low].map((part, i) => Math.round(part + (place - low) * (CIVIDIS[low + 1][i] - part)));
    return `rgb(${mix.join(",")})`;
  };
  const hex = (colour) => colour.startsWith("#") ? colour :
    "#" + colour.match(/\d+/g).map((part) => Number(part).toString(16).padStart(2, "0")).join("");
  const quantile = (sorted, share) => sorted[Math.round(share * (sorted.length - 1))];

  const paint = (name) => {
    const column = data.columns.find((one) => one.name === name), legend = at("legend");
    legend.replaceChildren();
    let colours;
    if (column.kind === "colour") {
      colours = column.values;
      legend.append(make("span", { class: "quiet" }, "the mean colour of each picture"));
    } else if (column.kind === "number") {
      const known = column.values.filter((value) => value !== null).sort((a, b) => a - b);
      const low = quantile(known, 0.05), high = quantile(known, 0.95);
      colours = column.values.map((value) => value === null ? GREY : hex(scale((value - low) / (high - low || 1))));
      const stops = CIVIDIS.map((part) => `rgb(${part.join(",")})`).join(",");
      legend.append(make("div", { class: "scale", style: `background:linear-gradient(90deg,${stops})` }));
      legend.append(make("div", { class: "ends" }, ...[low, high].map((value) => make("span", {}, String(+value.toPrecision(3))))));
    } else {
      const of = palette(column.values);
      colours = column.values.map((value) => of.get(value) || GREY);
      for (const [value, count] of groups(column.values)) {
        const button = make("button", { type: "button" },
          make("i", { style: `background:${of.get(value) || GREY}` }), `${value || "unknown"} (${count})`);
        button.onclick = () => select(column.values.flatMap((one, index) => one === value ? [index] : []));
        legend.append(button);
      }
    }
    source.data = { ...source.data, colour: colours };
  };

  // An image: its picture with outlines, what is known of it, its neighbours under each encoder.
  const path = (kind, shape) => {
    const drawn = document.createElementNS("http://www.w3.org/2000/svg", "path");
    drawn.setAttribute("class", kind);
    drawn.setAttribute("d", shape);
    return drawn;
  };
  const large = (index) => {
    const figure = make("figure", { class: "large" }, picture(index));
    const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    svg.setAttribute("viewBox", "0 0 1000 1000");
    svg.setAttribute("preserveAspectRatio", "none");
    for (const kind of ["truth", "prediction"]) {
      const shape = data[kind][index];
      if (shape) svg.append(path("under", shape), path(kind, shape));
    }
    if (svg.childNodes.length) figure.append(svg);
    return figure;
  };
  const button = (index) => {
    const first = data.columns[0], word = first && first.kind === "word" ? first.values[index] : "";
    const made = make("button", { type: "button", title: data.ids[index] }, picture(index), make("span", {}, word || data.ids[index]));
    made.onclick = () => select([index]);
    return made;
  };
  const said = (column, value) =>
    value === null || value === "" ? "unknown" : column.kind === "number" ? String(+Number(value).toPrecision(3)) : value;

  const show = (index) => {
    current = index;
    const panel = at("image");
    panel.replaceChildren(make("h2", {}, data.ids[index]), large(index));
    const outlines = ["truth", "prediction"].filter((kind) => data[kind][index]);
    if (outlines.length)
      panel.append(make("p", { class: "quiet" }, outlines.map((kind) => kind === "truth" ? "mask white" : "prediction blue").join(", ")));
    panel.append(make("dl", {}, ...data.columns.flatMap((column) =>
      [make("dt", {}, column.name), make("dd", {}, said(column, column.values[index]))])));
    for (const view of data.views) {
      panel.append(make("h3", {}, `nearest to it for ${view.name}`));
      panel.append(make("div", { class: "row" }, ...view.neighbours[index].filter((row) => row >= 0).map(button)));
    }
  };

  // A selection, however it was made: a tap, a lasso, a search, a class, a neighbour.
  const selected = (indices) => {
    const count = data.ids.length, strip = at("strip");
    at("status").textContent = indices.length ? `${indices.length} of ${count} images selected` : `${count} images`;
    strip.replaceChildren();
    if (indices.length) show(indices.includes(current) ? current : indices[0]);
    if (indices.length > 1) {
      const more = indices.length > SHOWN ? `, the first ${SHOWN}` : "";
      strip.append(make("h3", {}, `selected${more}`), make("div", { class: "row" }, ...indices.slice(0, SHOWN).map(button)));
    }
  };
  const select = (indices) => { source.selected.indices = indices; };

  const search = (text) => {
    const wanted = text.trim().toLowerCase();
    if (!wanted) return select([]);
    const exact = data.ids.findIndex((id) => id.toLowerCase() === wanted);
    const found = exact >= 0 ? [exact] : data.ids.flatMap((id, index) => id.toLowerCase().includes(wanted) ? [index] : []);
    select(found);
    if (!found.length) at("status").textContent = `no image id contains '${text.trim()}'`;
  };

  // Hovering: the nearest point's picture beside the pointer.
  const hover = (indices) => {
    const tip = at("tip");
    tip.hidden = !indices.length;
    if (!indices.length) return;
    const index = indices[0], place = tip.dataset;
    if (place.index !== String(index)) {
      place.index = index;
      tip.replaceChildren(picture(index), make("span", {}, data.ids[index]));
    }
    if (mouse) {
      tip.style.left = Math.min(mouse.clientX + 16, innerWidth - 160) + "px";
      tip.style.top = Math.min(mouse.clientY + 16, innerHeight - 170) + "px";
    }
  };
  let mouse = null;
  document.addEventListener("pointermove", (event) => { mouse = event; }, { capture: true, passive: true });
  at("maps").addEventListener("pointerleave", () => { at("tip").hidden = true; });

  // Keys: the maps are pictures to a keyboard, so that panning, zooming and stepping have keys of their own.
  const ranges = () => data.views.map((_, place) => Bokeh.documents[0].get_model_by_name(`map${place}`));
  const zoom = (factor) => { for (const map of ranges()) for (const range of [map.x_range, map.y_range]) {
    const middle = (range.start + range.end) / 2, half = (range.end - range.start) / 2 * factor;
    range.setv({ start: middle - half, end: middle + half });
  } };
  const pan = (x, y) => { for (const map of ranges()) for (const [range, share] of [[map.x_range, x], [map.y_range, y]]) {
    const step = (range.end - range.start) * share;
    range.setv({ start: range.start + step, end: range.end + step });
  } };
  const step = (by) => {
    const chosen = source.selected.indices, count = data.ids.length;
    if (chosen.length > 1) return show(chosen[(chosen.indexOf(current) + by + chosen.length) % chosen.length]);
    select([current < 0 ? 0 : (current + by + count) % count]);
  };
  document.addEventListener("keydown", (event) => {
    const typing = ["INPUT", "SELECT"].includes(document.activeElement.tagName);
    if (event.key === "Escape") { select([]); document.activeElement.blur(); return; }
    if (typing || event.ctrlKey || event.metaKey || event.altKey) return;
    const panned = { ArrowLeft: [-0.1, 0], ArrowRight: [0.1, 0], ArrowUp: [0, 0.1], ArrowDown: [0, -0.1] }[event.key];
    if (event.key === "/") at("search").focus();
    else if (event.shiftKey && panned) pan(...panned);
    else if (event.key === "ArrowRight") step(1);
    else if (event.key === "ArrowLeft") step(-1);
    else if (event.key === "+" || event.key === "=") zoom(0.8);
    else if (event.key === "-") zoom(1.25);
    else return;
    event.preventDefault();
  });

  // bokeh draws on a canvas, which no style sheet reaches: titles, frames and grids get the page's own colours.
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const dress = () => {
    const style = getComputedStyle(document.documentElement), colour = (name) => style.getPropertyValue(name).trim();
    data.views.forEach((_, place) => {
      const plot = Bokeh.documents[0].get_model_by_name(`map${place}`);
      plot.title.text_color = colour("--ink");
      plot.outline_line_color = colour("--line");
      for (const grid of plot.center) grid.grid_line_color = colour("--line");
    });
  };

  // The maps are there a moment after the page; then everything is tied together.
  const begin = () => {
    const ready = window.Bokeh && Bokeh.documents.length && Bokeh.documents[0].get_model_by_name("images");
    if (!ready) return setTimeout(begin, 30);
    source = ready;
    source.selected.change.connect(() => selected([...source.selected.indices]));
    source.inspect.connect(() => hover(source.inspected.indices));
    at("colour").onchange = (event) => paint(event.target.value);
    at("search").addEventListener("keydown", (event) => { if (event.key === "Enter") search(event.target.value); });
    at("clear").onclick = () => select([]);
    if (data.columns.length) paint(data.columns[0].name);
    dress();
    dark.addEventListener("change", dress);
    document.body.dataset.ready = "yes";
  };
  begin();
  return { hover, select, search, show };
})();
