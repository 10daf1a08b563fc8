/**
 * The diagnostics tab: what happened inside the network, so that an explanation can be held against measurements.
 * Gradient norm, update ratio and dead share per layer and the logits' spread, each as a chart over the epochs with a
 * sentence on how to read it, and the newest epoch's figures as a table. Draws only while its tab is shown.
 */
import type { History } from '../core/history';
import { Message, message } from '../core/messages/message';
import { MessageId } from '../core/messages/texts';
import { deadestLayer, gradientSpan, layerCurves, LayerFigure, lossBesideGuessing, markerRadius } from './curves';
import { h } from './dom';
import type { Language } from './language';
import { Axis, Curve, LineChart } from './lineChart';
import type { Theme } from './theme';

type Figure = LayerFigure | 'logitStd';
const figures: readonly { id: Figure; explained: MessageId; logarithmic: boolean }[] = [
  { id: 'gradientNorm', explained: 'gradientNormExplained', logarithmic: true },
  { id: 'updateRatio', explained: 'updateRatioExplained', logarithmic: true },
  { id: 'deadShare', explained: 'deadShareExplained', logarithmic: false },
  { id: 'logitStd', explained: 'logitStdExplained', logarithmic: false },
];
/** Up to so many layers the key names each; beyond, first and last say which way the colours run. */
const namedLayers = 12;

export class Diagnostics {
  readonly element: HTMLElement;
  private readonly empty: HTMLElement;
  private readonly content: HTMLElement;
  private readonly key = h('div', { class: 'layer-key' });
  private readonly tableBody = h('tbody');
  private readonly tableCaption = h('caption');
  private readonly charts = new Map<Figure, { chart: LineChart; figure: HTMLElement; measured: HTMLElement }>();
  /** What is drawn; undefined draws again at the next update. */
  private drawn: unknown;

  constructor(
    private readonly language: Language,
    private theme: Theme,
  ) {
    this.empty = h('p', { class: 'empty' }, this.t('diagnosticsLater'));
    const grid = h('div', { class: 'diagnostic-charts' });
    for (const { id, explained, logarithmic } of figures) {
      const axis: Axis = {
        title: '',
        logarithmic,
        ...(logarithmic ? {} : { min: 0 }),
        tick: (value) => language.magnitude(value),
      };
      const chart = new LineChart(
        {
          label: this.t(id),
          epochTitle: this.t('epoch'),
          left: axis,
          hover: 'nearest',
          tooltipTitle: (epoch) => `${this.t('epoch')} ${epoch}`,
          tooltipValue: ({ label }, value) => `${label}: ${language.magnitude(value)}`,
        },
        theme,
      );
      const measured = h('p', { class: 'measured', 'data-testid': `measured-${id}` });
      const figure = h(
        'figure',
        { 'data-testid': `diagnostic-${id}` },
        h('h2', {}, this.t(id)),
        h('p', { class: 'explained' }, this.t(explained)),
        measured,
        chart.element,
      );
      grid.append(figure);
      this.charts.set(id, { chart, figure, measured });
    }
    const columns: readonly MessageId[] = ['layer', 'gradientNorm', 'updateRatio', 'deadShare'];
    this.content = h(
      'div',
      { hidden: true },
      this.key,
      grid,
      h(
        'div',
        { class: 'scroll', tabindex: 0, role: 'region', 'aria-label': this.t('tabDiagnostics') },
        h(
          'table',
          { class: 'figures', 'data-testid': 'layer-table' },
          this.tableCaption,
          h('thead', {}, h('tr', {}, ...columns.map((id) => h('th', { scope: 'col' }, this.t(id))))),
          this.tableBody,
        ),
      ),
    );
    this.element = h('div', { class: 'tab-content' }, this.empty, this.content);
  }

  update(history: History): void {
    const newest = history.epochs[history.epochs.length - 1];
    if (newest === this.drawn) return;
    this.drawn = newest;
    const some = newest !== undefined && newest.layers.length > 0;
    this.empty.textContent = this.t(newest ? 'diagnosticsNone' : 'diagnosticsLater');
    this.empty.hidden = some;
    this.content.hidden = !some;
    if (!some) return;

    const layers = newest.layers.map(({ layer }) => layer);
    const color = (layer: string) =>
      this.theme.layer(layers.length > 1 ? layers.indexOf(layer) / (layers.length - 1) : 0);
    const radius = layers.length > namedLayers ? 0 : markerRadius(history.epochs.length);
    const curve = (label: string, points: Curve['points'], color: string): Curve => ({
      label,
      axis: 'left',
      points,
      color,
      width: layers.length > namedLayers ? 1.25 : 1.75,
      // A single epoch is a point, not a line.
      radius: history.epochs.length === 1 ? 3 : Math.min(radius, 2.5),
    });
    for (const { id, logarithmic } of figures) {
      const { chart, figure, measured } = this.charts.get(id)!;
      chart.epochs = history.started?.experiment.epochs ?? history.epochs.length;
      chart.curves =
        id === 'logitStd'
          ? [
              curve(
                this.t(id),
                history.epochs.map((e) => ({ x: e.epoch, y: e.logitStd })),
                this.theme.trainAccuracy,
              ),
            ]
          : layerCurves(history, id, logarithmic).map(({ layer, points }) => curve(layer, points, color(layer)));
      figure.hidden = chart.curves.length === 0;
      if (figure.hidden) continue;
      if (logarithmic) Object.assign(chart.options.left, wholeDecades(chart.curves));
      if (id === 'deadShare') Object.assign(chart.options.left, { max: 1, step: 0.2 });
      const reading = this.reading(id, history);
      measured.hidden = !reading;
      measured.textContent = reading ? this.language.text(reading) : '';
      chart.draw();
    }
    this.drawKey(layers, color);
    this.tableCaption.textContent = this.language.text(message('diagnosticsLatest', { epoch: newest.epoch }));
    this.tableBody.replaceChildren(
      ...newest.layers.map((figures) =>
        h(
          'tr',
          {},
          h('th', { scope: 'row' }, h('code', {}, figures.layer)),
          h('td', {}, this.language.magnitude(figures.gradientNorm)),
          h('td', {}, this.language.magnitude(figures.updateRatio)),
          figures.deadShare === undefined
            ? h('td', { 'aria-label': this.t('notApplicable') }, '–')
            : h('td', {}, this.language.percent(figures.deadShare)),
        ),
      ),
    );
  }

  /** What the newest epoch's figures say, in a sentence under the one on how to read them. */
  private reading(id: Figure, history: History): Message | undefined {
    const { language } = this;
    if (id === 'gradientNorm') {
      const span = gradientSpan(history);
      if (!span) return undefined;
      const { epoch, first, last, ratio } = span;
      if (ratio === 0) return message('gradientGone', { epoch, first });
      return message('gradientSpan', { epoch, first, last, ratio: language.magnitude(ratio) });
    }
    if (id === 'deadShare') {
      const dead = deadestLayer(history);
      if (!dead) return undefined;
      const { epoch, layer, share } = dead;
      // Where there are shortcuts, something gets past it.
      if (share === 1 && gradientSpan(history)?.ratio === 0) return message('deadLayer', { epoch, layer });
      return message('deadestLayer', { epoch, layer, share: language.percent(share) });
    }
    if (id === 'logitStd') {
      const beside = lossBesideGuessing(history);
      if (!beside) return undefined;
      const { epoch, loss, guessing } = beside;
      return message('lossBesideGuessing', { epoch, loss: language.figure(loss), guessing: language.figure(guessing) });
    }
    return undefined;
  }

  setTheme(theme: Theme): void {
    this.theme = theme;
    for (const { chart } of this.charts.values()) chart.setTheme(theme);
    this.drawn = undefined;
  }

  dispose(): void {
    for (const { chart } of this.charts.values()) chart.dispose();
  }

  private drawKey(layers: readonly string[], color: (layer: string) => string): void {
    const item = (layer: string) => {
      const dot = h('span', { class: 'dot', 'aria-hidden': 'true' });
      dot.style.setProperty('background-color', color(layer));
      return h('span', { class: 'key-item' }, dot, h('code', {}, layer));
    };
    const label = h('span', { class: 'key-label' }, this.t('layersFirstToLast'));
    if (layers.length <= namedLayers) {
      this.key.replaceChildren(label, ...layers.map(item));
      return;
    }
    const ramp = h('span', { class: 'ramp', 'aria-hidden': 'true' });
    const stops = [0, 0.25, 0.5, 0.75, 1].map((share) => this.theme.layer(share));
    ramp.style.setProperty('background-image', `linear-gradient(to right, ${stops.join(', ')})`);
    this.key.replaceChildren(label, item(layers[0]!), ramp, item(layers[layers.length - 1]!));
  }

  private t(id: MessageId): string {
    return this.language.text({ id, args: {} });
  }
}

/** The powers of ten around all values, so that a logarithmic axis always has two of them to label. */
function wholeDecades(curves: readonly Curve[]): { min: number | undefined; max: number | undefined } {
  let low = Infinity;
  let high = 0;
  for (const { points } of curves) {
    for (const { y } of points) if (y > 0) [low, high] = [Math.min(low, y), Math.max(high, y)];
  }
  if (high === 0) return { min: undefined, max: undefined };
  const bottom = Math.floor(Math.log10(low));
  return { min: 10 ** bottom, max: 10 ** Math.max(bottom + 1, Math.ceil(Math.log10(high))) };
}
