// Draws each figure's specification as SVG, in the page's colours, whichever these are.
const text = "var(--text)", muted = "var(--muted)", line = "var(--line)";
const font = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Noto Sans', sans-serif";
const config = {
  background: null,
  font,
  view: { stroke: null },
  axis: {
    labelColor: muted, titleColor: muted, titleFontWeight: "normal", labelFontSize: 11, titleFontSize: 12,
    gridColor: line, domainColor: line, tickColor: line, labelOverlap: true, tickCount: 6,
  },
  axisX: { grid: false },
  legend: { labelColor: text, labelFontSize: 12, symbolType: "circle", symbolStrokeWidth: 2.5, offset: 4, rowPadding: 2 },
};

for (const figure of document.querySelectorAll("figure.chart")) {
  const specification = JSON.parse(figure.querySelector("script").textContent);
  const place = figure.querySelector(".drawing");
  // Expressions are interpreted, as the page's policy lets no text become code.
  window.vegaEmbed(place, specification, { actions: false, ast: true, renderer: "svg", config })
    .then(({ view }) => view.runAsync())
    .then(() => { place.dataset.drawn = "yes"; });
}
