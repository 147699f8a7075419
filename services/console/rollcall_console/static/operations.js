// The chart of the last hour. Without this file there is the table below it.
(() => {
  const box = document.getElementById("chart");
  if (!box || !window.uPlot) return;
  let chart;
  const clock = new Intl.DateTimeFormat(document.documentElement.lang, { hour: "2-digit", minute: "2-digit", hour12: false });

  function colour(name) {
    return getComputedStyle(document.body).getPropertyValue(name).trim() || "currentColor";
  }

  function options() {
    const text = getComputedStyle(document.body).color;
    const grid = { stroke: colour("--border"), width: 1 };
    const axis = { stroke: text, grid, ticks: grid, font: "12px sans-serif" };
    return {
      width: box.clientWidth,
      height: 240,
      legend: { live: false },
      scales: { x: { time: true }, y: { range: (u, low, high) => [0, Math.max(1, high)] },
        waiting: { range: (u, low, high) => [0, Math.max(1, high)] } },
      axes: [{ ...axis, space: 72, incrs: [60, 120, 300, 600, 900], values: (u, at) => at.map((each) => clock.format(each * 1000)) }, { ...axis, size: 56 }, { ...axis, scale: "waiting", side: 1, size: 56, grid: { show: false } }],
      series: [
        {},
        { label: box.dataset.appended, stroke: colour("--chart-1"), width: 2 },
        { label: box.dataset.applied, stroke: colour("--chart-2"), width: 2, dash: [6, 4] },
        { label: box.dataset.waiting, stroke: colour("--chart-3"), width: 2, scale: "waiting" },
      ],
    };
  }

  async function draw() {
    const answer = await fetch(box.dataset.series);
    if (!answer.ok) return;
    const found = await answer.json();
    if (found.at.length < 2) return;
    box.hidden = false;
    const lines = [found.at, found.appended, found.applied, found.waiting];
    if (chart) chart.setData(lines);
    else chart = new uPlot(options(), lines, box);
  }

  addEventListener("resize", () => chart && chart.setSize({ width: box.clientWidth, height: 240 }));
  draw();
  setInterval(draw, 15000);
})();
