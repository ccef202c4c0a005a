// Draws deploy/grafana/dashboard.json with Grafana's panel components and data of Prometheus, for the
// picture in docs/screenshots. window.picture has the dashboard, and the times and variables of the
// queries. Prometheus answers at the address of this page.
import React from "react";
import { createRoot } from "react-dom/client";
import {
  createTheme, dateTime, EventBusSrv, FieldType, getDisplayProcessor, reduceField, ThemeContext, toDataFrame,
} from "@grafana/data";
import "@fontsource/inter/400.css";
import "@fontsource/inter/500.css";
import "uplot/dist/uPlot.min.css";
import { BigValue, GlobalStyles, PanelChrome, PanelContextProvider, TimeSeries } from "@grafana/ui";

const { dashboard, start, end, step, variables, rows } = window.picture;
const theme = createTheme({ colors: { mode: "dark" } });
const timeRange = { from: dateTime(start * 1000), to: dateTime(end * 1000), raw: { from: "now-5m", to: "now" } };
const margin = 8;
const unit = 38; // height of a step of the grid, with its margin

// What Grafana sets if a panel of time series does not.
const lines = {
  drawStyle: "line", lineInterpolation: "linear", lineWidth: 1, lineStyle: { fill: "solid" }, fillOpacity: 0, gradientMode: "none",
  showPoints: "auto", pointSize: 5, spanNulls: false, stacking: { mode: "none", group: "A" }, axisPlacement: "auto", axisLabel: "",
  axisBorderShow: false, scaleDistribution: { type: "linear" }, thresholdsStyle: { mode: "off" },
  hideFrom: { legend: false, tooltip: false, viz: false },
};

async function query(path, parameters) {
  const answer = await fetch(`/api/v1/${path}?${new URLSearchParams(parameters)}`);
  const { status, data, error } = await answer.json();
  if (status !== "success") {
    throw new Error(`${parameters.query}: ${error}`);
  }
  return data.result;
}

// seriesOf returns the results of a target, each with its name in the legend.
async function seriesOf(target) {
  const expr = Object.entries(variables).reduce((text, [name, value]) => text.replaceAll("$" + name, value), target.expr);
  const results = target.instant
    ? await query("query", { query: expr, time: end })
    : await query("query_range", { query: expr, start, end, step });
  return results.map(({ metric, value, values }) => ({
    metric, values: values || [value],
    name: (target.legendFormat || "").replace(/\{\{\s*(\w+)\s*\}\}/g, (_, label) => metric[label] ?? "") || JSON.stringify(metric),
  }));
}

// numbers returns the values as Prometheus sends them, one per step, so that gaps stay gaps.
function numbers(values) {
  const at = new Map(values.map(([time, value]) => [Math.round(time / step), Number(value)]));
  const times = [];
  for (let time = start; time <= end; time += step) {
    times.push(time * 1000);
  }
  return { times, values: times.map((time) => at.get(Math.round(time / 1000 / step)) ?? null) };
}

function graph(panel, series) {
  const { defaults = {} } = panel.fieldConfig || {};
  const frames = series.map(({ name, values }, i) => {
    const data = numbers(values);
    const config = {
      ...defaults, displayName: name, color: defaults.color || { mode: "palette-classic" },
      thresholds: { mode: "absolute", steps: [{ color: "green", value: -Infinity }] }, custom: { ...lines, ...defaults.custom },
    };
    const frame = toDataFrame({
      refId: "A",
      fields: [
        { name: "Time", type: FieldType.time, values: data.times, config: {} },
        { name: "Value", type: FieldType.number, values: data.values, config, labels: { name } },
      ],
    });
    for (const field of frame.fields) {
      field.state = { seriesIndex: i }; // which gives it a color
      field.display = getDisplayProcessor({ field, theme });
    }
    return frame;
  });
  return (width, height) => (
    <TimeSeries frames={frames} structureRev={1} timeRange={timeRange} timeZone="utc" width={width} height={height}
      legend={{ calcs: [], ...panel.options.legend }} options={panel.options} />
  );
}

function stat(panel, series) {
  const { defaults = {} } = panel.fieldConfig || {};
  const steps = defaults.thresholds?.steps || [{ color: "green", value: null }];
  const field = {
    name: "Value", type: FieldType.number, values: series[0].values.map(([, value]) => Number(value)),
    config: {
      ...defaults, color: { mode: "thresholds" },
      thresholds: { mode: "absolute", steps: steps.map((s) => ({ ...s, value: s.value ?? -Infinity })) },
      mappings: defaults.mappings || [],
    },
  };
  const value = getDisplayProcessor({ field, theme })(reduceField({ field, reducers: ["lastNotNull"] }).lastNotNull);
  value.title = series[0].name;
  return (width, height) => (
    <BigValue value={value} width={width} height={height} theme={theme} colorMode={panel.options.colorMode}
      graphMode={panel.options.graphMode} textMode={panel.options.textMode === "auto" ? "value" : panel.options.textMode} justifyMode="auto" />
  );
}

const kinds = { timeseries: graph, stat };

async function load(panel) {
  if (panel.type === "row") {
    return panel;
  }
  const series = (await Promise.all(panel.targets.map(seriesOf))).flat();
  const empty = series.length === 0;
  return { ...panel, empty, draw: empty ? () => "No data" : kinds[panel.type](panel, series) };
}

function Dashboard({ panels, width }) {
  const column = (width - margin) / 24;
  const bottom = Math.max(...panels.map(({ gridPos: { y, h } }) => y + h));
  const place = ({ x, y, w, h }) => ({ left: margin + x * column, top: margin + y * unit, width: w * column - margin, height: h * unit - margin });
  return (
    <PanelContextProvider value={{ eventBus: new EventBusSrv(), eventsScope: "picture", sync: () => 0 }}>
      <main id="main" style={{ position: "relative", height: bottom * unit + margin }}>
        {panels.map((panel) => {
          const { width, height, ...position } = place(panel.gridPos);
          return (
            <div key={panel.id} style={{ position: "absolute", ...position }}>
              {panel.type === "row" ? (
                <div style={{ font: theme.typography.h6.fontSize + " " + theme.typography.fontFamily, padding: "4px 8px" }}>{panel.title}</div>
              ) : (
                <PanelChrome title={panel.title} width={width} height={height}>{panel.draw}</PanelChrome>
              )}
            </div>
          );
        })}
      </main>
    </PanelContextProvider>
  );
}

async function show() {
  const panels = await Promise.all(dashboard.panels.filter(({ gridPos }) => gridPos.y < rows).map(load));
  window.picture.graphs = panels.filter(({ type, empty }) => type === "timeseries" && !empty).length;
  createRoot(document.getElementById("root")).render(
    <ThemeContext.Provider value={theme}>
      <GlobalStyles />
      <Dashboard panels={panels} width={window.innerWidth} />
    </ThemeContext.Provider>,
  );
}

show();
