// Draws the figures in the colours of the page, and shows the traces that the section's controls choose.
"use strict";

const dark = matchMedia("(prefers-color-scheme: dark)");

function themed() {
  const style = getComputedStyle(document.documentElement);
  const [front, line] = ["--front", "--line"].map((name) => style.getPropertyValue(name).trim());
  const axes = ["xaxis", "yaxis"].flatMap((axis) => [[`${axis}.gridcolor`, line], [`${axis}.linecolor`, line]]);
  return { "font.color": front, ...Object.fromEntries(axes) };
}

// The values that a section's controls choose: a set for each of setting, kind and layer.
function chosen(section) {
  const sets = {};
  for (const input of section.querySelectorAll("input")) {
    sets[input.dataset.key] ??= new Set();
    if (input.checked) sets[input.dataset.key].add(input.value);
  }
  return sets;
}

function visible(trace, sets) {
  return Object.entries(trace.meta ?? {}).every(
    ([key, values]) => !(key in sets) || [values].flat().every((value) => sets[key].has(String(value))),
  );
}

function update(section) {
  const sets = chosen(section);
  for (const plot of section.querySelectorAll(".plot"))
    Plotly.restyle(plot, { visible: plot.data.map((trace) => visible(trace, sets)) });
}

async function draw(section) {
  for (const plot of section.querySelectorAll(".plot")) {
    const { data, layout } = JSON.parse(plot.querySelector("script").textContent);
    plot.textContent = "";
    plot.style.height = `${layout.height}px`; // else a resized window would leave the least height
    await Plotly.newPlot(plot, data, layout, { responsive: true, displayModeBar: false });
    await Plotly.relayout(plot, themed());
  }
  update(section);
  section.addEventListener("change", () => update(section));
}

async function main() {
  for (const section of document.querySelectorAll("section")) await draw(section);
  dark.addEventListener("change", () => {
    for (const plot of document.querySelectorAll(".plot")) Plotly.relayout(plot, themed());
  });
  document.documentElement.dataset.drawn = "yes";
}

main();
