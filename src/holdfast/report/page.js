"use strict";
// Unpacks the plotting library, draws every chart in the theme's colours, and redraws when the
// theme, the spend axis or the width changes. Without it the page still has all its tables.
(async () => {
  const read = (id) => document.getElementById(id).textContent.trim();
  const figures = JSON.parse(read("figures"));
  const charts = [...document.querySelectorAll("[data-chart]")];
  const config = { displayModeBar: false, responsive: true, scrollZoom: false };
  let axis = document.querySelector("input[name=axis]:checked")?.value ?? "flops";

  async function unpack() {
    const bytes = Uint8Array.from(atob(read("plotly")), (c) => c.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    const script = document.createElement("script");
    script.textContent = await new Response(stream).text();
    document.head.append(script);
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

  const drawAll = () => charts.forEach(draw);

  try {
    await unpack();
    drawAll();
    document.documentElement.dataset.charts = "drawn";
  } catch (error) {
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
