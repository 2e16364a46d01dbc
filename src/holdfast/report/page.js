"use strict";
// Unpacks the plotting library, draws every chart in the theme's colours, those in sight first, and
// redraws when the theme, the spend axis or the width changes. Without it the page still has all
// its tables.
(async () => {
  let figures = {};
  const charts = [...document.querySelectorAll("[data-chart]")];
  const config = { displayModeBar: false, responsive: true, scrollZoom: false };
  let axis = document.querySelector("input[name=axis]:checked")?.value ?? "flops";
  let round = 0;

  async function unpack(id) {
    const packed = atob(document.getElementById(id).textContent.trim());
    const bytes = Uint8Array.from(packed, (c) => c.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    return new Response(stream).text();
  }

  // Figures name colours by CSS variable; put in what the variable holds now.
  function coloured(value, styles) {
    if (typeof value === "string") {
      return value.startsWith("--") ? styles.getPropertyValue(value).trim() : value;
    }
    if (Array.isArray(value)) return value.map((v) => coloured(v, styles));
    if (value && typeof value === "object") {
      return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, coloured(v, styles)]));
    }
    return value;
  }

  function draw(chart) {
    const choices = figures[chart.dataset.chart];
    const styles = getComputedStyle(document.documentElement);
    const figure = coloured(choices[axis] ?? choices[""], styles);
    figure.layout.font.family = styles.getPropertyValue("--sans").trim();
    return Plotly.react(chart, figure.data, figure.layout, config);
  }

  // Those in sight at once, the others one at a time, so that the page answers between them.
  async function drawAll() {
    const own = ++round, root = document.documentElement;
    const inSight = (c) => {
      const box = c.getBoundingClientRect();
      return box.top < innerHeight && box.bottom > 0;
    };
    const first = charts.filter(inSight);
    first.forEach(draw);
    root.dataset.charts = "drawn";
    for (const chart of charts.filter((c) => !first.includes(c))) {
      await new Promise((resume) => { setTimeout(resume); });
      if (own !== round) return;
      draw(chart);
    }
    root.dataset.every = "drawn";
  }

  try {
    figures = JSON.parse(await unpack("figures"));
    const library = document.createElement("script");
    library.textContent = await unpack("plotly");
    document.head.append(library);
    await drawAll();
  } catch {
    document.documentElement.dataset.charts = "tables";
    document.querySelectorAll(".chart-data").forEach((d) => { d.open = true; });
    return;
  }
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
  document.querySelectorAll("input[name=axis]").forEach((input) => {
    input.addEventListener("change", () => { axis = input.value; drawAll(); });
  });
  addEventListener("beforeprint", () => charts.forEach((c) => Plotly.Plots.resize(c)));
})();
