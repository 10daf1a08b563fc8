/**
 * A line chart over epochs in VS Code's colours: axes, curves, tooltip. The training chart and the diagnostics draw
 * through it; no other file names Chart.js.
 */
import {
  Chart,
  Interaction,
  LinearScale,
  LineController,
  LineElement,
  LogarithmicScale,
  PointElement,
  Tooltip,
} from 'chart.js';
import type { ChartDataset, InteractionItem, Scale, ScaleOptionsByType } from 'chart.js';
import { logarithmicTicks, Point } from './curves';
import { h } from './dom';
import type { Theme } from './theme';

Chart.register(LineController, LineElement, PointElement, LinearScale, LogarithmicScale, Tooltip);

declare module 'chart.js' {
  interface InteractionModeMap {
    /** All curves but the first, at the epoch nearest to the pointer. */
    epoch: (...args: Parameters<InteractionModeMap['index']>) => InteractionItem[];
  }
}

// 'index' would take the index of the step curve's nearest point, which counts steps, for all curves.
Interaction.modes.epoch = (chart, event) => {
  const axis = chart.scales['x'];
  const area = chart.chartArea;
  if (!axis || event.x === null || event.x < area.left || event.x > area.right) return [];
  const metas = chart.getSortedVisibleDatasetMetas().filter((meta) => meta.index > 0);
  const at = axis.getValueForPixel(event.x) ?? 0;
  const found: InteractionItem[] = [];
  for (const meta of metas) {
    const points = chart.data.datasets[meta.index]!.data as Point[];
    let best = -1;
    for (let i = 0; i < points.length; i++) {
      if (best < 0 || Math.abs(points[i]!.x - at) < Math.abs(points[best]!.x - at)) best = i;
    }
    const element = meta.data[best];
    if (element) found.push({ element, datasetIndex: meta.index, index: best });
  }
  return found;
};

export interface Curve {
  readonly label: string;
  axis: 'left' | 'right';
  /** The array stays the chart's own; change its contents and draw. */
  points: Point[];
  color: string;
  /** In pixels. */
  width: number;
  radius: number | ((index: number) => number);
  marker?: 'circle' | 'rect' | 'rectRot' | 'triangle';
  dash?: number[];
  visible?: boolean;
}

export interface Axis {
  /** May be empty, where a heading says it. */
  title: string;
  readonly logarithmic?: boolean;
  min?: number;
  max?: number;
  /** Distance of the ticks, where it is not left to the chart. */
  step?: number;
  readonly tick: (value: number) => string;
}

export interface LineChartOptions {
  /** For screen readers: what the chart shows. */
  readonly label: string;
  readonly epochTitle: string;
  readonly left: Axis;
  readonly right?: Axis & { hidden?: boolean };
  /** 'epoch': all curves but the first at one epoch; 'nearest': the one point under the pointer. */
  readonly hover: 'epoch' | 'nearest';
  readonly tooltipTitle: (epoch: number) => string;
  readonly tooltipValue: (curve: Curve, value: number) => string;
}

type LinearOptions = Partial<ScaleOptionsByType<'linear'>>;

export class LineChart {
  readonly element: HTMLElement;
  curves: Curve[] = [];
  /** End of the x axis, in epochs. */
  epochs = 1;
  private readonly canvas: HTMLCanvasElement;
  private chart: Chart<'line', Point[]> | undefined;

  constructor(
    readonly options: LineChartOptions,
    private theme: Theme,
  ) {
    this.canvas = h('canvas', { role: 'img', 'aria-label': options.label });
    this.element = h('div', { class: 'plot' }, this.canvas);
  }

  setTheme(theme: Theme): void {
    this.theme = theme;
    this.chart?.destroy();
    this.chart = undefined;
  }

  dispose(): void {
    this.chart?.destroy();
    this.chart = undefined;
  }

  /** Names the left axis anew. */
  setAxisTitle(title: string): void {
    this.options.left.title = title;
    const scale = this.chart?.options.scales?.['left'] as { title?: { text?: string } } | undefined;
    if (scale?.title) scale.title.text = title;
  }

  /** Draws the curves and axes as they are now; to be called in an animation frame, with the element in the page. */
  draw(): void {
    this.chart ??= this.create();
    const { data, options } = this.chart;
    this.curves.forEach((curve, i) => {
      const dataset = (data.datasets[i] ??= { data: curve.points });
      applyCurve(dataset, curve);
    });
    data.datasets.length = this.curves.length;
    const scales = options.scales as Record<string, LinearOptions>;
    Object.assign(scales['x']!, { max: this.epochs });
    this.applyAxis(scales['left']!, this.options.left);
    const { right } = this.options;
    if (right) {
      this.applyAxis(scales['right']!, right);
      scales['right']!.display = right.hidden !== true;
    }
    this.chart.update('none');
  }

  private applyAxis(scale: LinearOptions, axis: Axis): void {
    scale.min = axis.min;
    scale.max = axis.max;
    if (axis.step !== undefined) (scale.ticks as { stepSize?: number }).stepSize = axis.step;
  }

  private create(): Chart<'line', Point[]> {
    const { theme, options } = this;
    const font = { family: theme.fontFamily, size: Math.max(11, theme.fontSize - 2) };
    const scale = (title: string): object => ({
      title: { display: title !== '', text: title, color: theme.muted, font, padding: 2 },
      border: { display: theme.highContrast, color: theme.foreground },
      grid: { color: theme.grid, tickLength: 4 },
      ticks: { color: theme.muted, font, maxRotation: 0, padding: 4 },
    });
    const vertical = (axis: Axis, position: 'left' | 'right') => {
      const base = scale(axis.title) as { ticks: object; grid: object };
      return {
        ...base,
        type: axis.logarithmic ? 'logarithmic' : 'linear',
        position,
        // Chart.js's own ticks of a short logarithmic axis are at odd places, such as 0.12.
        ...(axis.logarithmic
          ? {
              afterBuildTicks: (scale: Scale) => {
                scale.ticks = logarithmicTicks(scale.min, scale.max).map((value) => ({ value }));
              },
            }
          : {}),
        // One grid for both sides: with two, no line could be told to belong to either.
        grid: { ...base.grid, drawOnChartArea: position === 'left' },
        ticks: { ...base.ticks, callback: (value: number | string) => axis.tick(Number(value)) },
      };
    };
    const x = scale(options.epochTitle) as { ticks: object };
    return new Chart<'line', Point[]>(this.canvas, {
      type: 'line',
      data: { datasets: [] },
      options: {
        animation: false,
        parsing: false,
        normalized: true,
        responsive: true,
        maintainAspectRatio: false,
        // Points at the very top of the scale would be cut in half.
        clip: 4,
        events: ['mousemove', 'mouseout', 'click', 'touchstart', 'touchmove'],
        interaction: { mode: options.hover, intersect: false },
        layout: { padding: { top: 6, right: options.right ? 0 : 8 } },
        scales: {
          x: { ...x, type: 'linear', min: 0, ticks: { ...x.ticks, precision: 0, maxTicksLimit: 11 } },
          left: vertical(options.left, 'left'),
          ...(options.right ? { right: vertical(options.right, 'right') } : {}),
        } as never,
        plugins: {
          tooltip: {
            animation: false,
            backgroundColor: theme.hoverBackground,
            borderColor: theme.hoverBorder,
            borderWidth: 1,
            cornerRadius: 3,
            titleColor: theme.hoverForeground,
            bodyColor: theme.hoverForeground,
            titleFont: { ...font, weight: 600 },
            bodyFont: font,
            padding: 8,
            boxWidth: 8,
            boxHeight: 8,
            boxPadding: 4,
            usePointStyle: true,
            callbacks: {
              title: (items) => (items[0] ? options.tooltipTitle(items[0].parsed.x ?? 0) : ''),
              label: (item) => {
                const curve = this.curves[item.datasetIndex];
                return curve ? options.tooltipValue(curve, item.parsed.y ?? NaN) : '';
              },
            },
          },
        },
      },
    });
  }
}

function applyCurve(dataset: ChartDataset<'line', Point[]>, curve: Curve): void {
  const { radius } = curve;
  Object.assign(dataset, {
    label: curve.label,
    data: curve.points,
    yAxisID: curve.axis,
    borderColor: curve.color,
    backgroundColor: curve.color,
    hoverBackgroundColor: curve.color,
    hoverBorderColor: curve.color,
    borderWidth: curve.width,
    borderDash: curve.dash ?? [],
    borderJoinStyle: 'round',
    pointStyle: curve.marker ?? 'circle',
    pointRadius: typeof radius === 'number' ? radius : (context: { dataIndex: number }) => radius(context.dataIndex),
    pointHoverRadius: 5,
    pointBorderWidth: 0,
    hidden: curve.visible === false,
    spanGaps: false,
  } satisfies Partial<ChartDataset<'line', Point[]>>);
}
