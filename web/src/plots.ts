// SPDX-License-Identifier: BSD-2-Clause
//
// Plots over time: the last minutes of a few series, one sample every interval. Times are UTC, as the server's are.
import uPlot from "uplot";
import { h } from "./dom";

const samplesMax = 450;
const palette = ["--accent", "--wait", "--violet", "--good", "--bad", "--soft", "--mark-line"];
const wholes = Array.from({ length: 9 }, (_, power) => [1, 2, 5].map((digit) => digit * 10 ** power)).flat();
const clock = (time: number): string => new Date(time * 1000).toISOString().slice(11, 19);

export class Plot {
  readonly element: HTMLElement;
  private readonly holder = h("div", { class: "plot" });
  private readonly times: number[] = [];
  private readonly values = new Map<string, (number | null)[]>();
  private plot: uPlot | undefined;
  private readonly empty = h("p", { class: "hint" }, "Nothing yet.");

  /** Beside `names` there are the series that samples bring; those that a sample lacks are 0 in it unless `hasGaps`. */
  constructor(title: string, private readonly unit: string,
    private readonly options: { names?: string[]; hasGaps?: boolean; top?: number } = {}) {
    this.element = h("section", { class: "panel", role: "figure", "aria-label": title }, h("header", {}, h("h2", {}, title), h("span", { class: "hint" }, unit)),
      this.holder, this.empty);
    for (const name of options.names ?? []) this.values.set(name, []);
    new ResizeObserver(() => this.plot?.setSize(this.size())).observe(this.holder);
  }

  /** Series that appear later were nothing before. */
  add(time: number, sample: Record<string, number>): void {
    let isNew = this.plot === undefined;
    this.times.push(time);
    for (const name of Object.keys(sample)) {
      if (this.values.has(name)) continue;
      this.values.set(name, new Array<number | null>(this.times.length - 1).fill(null));
      isNew = true;
    }
    for (const [name, series] of this.values) series.push(sample[name] ?? (this.options.hasGaps ? null : 0));
    if (this.times.length > samplesMax) for (const series of [this.times, ...this.values.values()]) series.shift();
    if (this.values.size === 0 || this.times.length < 2) return;
    this.empty.hidden = true;
    if (isNew) return this.draw();
    this.plot?.setData(this.data());
    this.showNewest();
  }

  /** In the legend, unless somebody points at another time. */
  private showNewest(): void {
    // After what uPlot itself does a little later.
    queueMicrotask(() => {
      if (this.plot && (this.plot.cursor.left ?? -1) < 0) this.plot.setLegend({ idx: this.times.length - 1 });
    });
  }

  /** Anew, in the colours of now. */
  draw(): void {
    if (this.values.size === 0 || this.times.length < 2) return;
    const style = getComputedStyle(document.documentElement);
    const colour = (name: string): string => style.getPropertyValue(name).trim();
    this.plot?.destroy();
    const axis = { stroke: colour("--soft"), grid: { stroke: colour("--line"), width: 1 }, ticks: { show: false } };
    this.plot = new uPlot({
      ...this.size(),
      legend: { live: true },
      cursor: { drag: { x: false, y: false } },
      scales: { y: { range: (_plot, _low, high) => [0, this.options.top ?? Math.max(1, (high ?? 0) * 1.1)] } },
      axes: [{ ...axis, space: 90, size: 32, values: (_plot, times) => times.map(clock) }, { ...axis, size: 54, ...(this.unit === "" && { incrs: wholes }) }],
      series: [{ label: "UTC", value: (_plot, time) => (time == null ? "" : clock(time)) },
        ...[...this.values.keys()].map((name, index) => ({
          label: name, stroke: colour(palette[index % palette.length] ?? "--accent"), width: 1.6, points: { show: false },
          value: (_plot: uPlot, value: number | null) => (value == null ? "" : `${Number(value.toFixed(2))} ${this.unit}`.trim()),
        }))],
    }, this.data(), this.holder);
    this.showNewest();
  }

  private size(): { width: number; height: number } {
    return { width: Math.max(260, this.holder.clientWidth), height: 190 };
  }

  private data(): uPlot.AlignedData {
    return [this.times, ...this.values.values()] as uPlot.AlignedData;
  }
}
