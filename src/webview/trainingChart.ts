/**
 * The live chart of a run, like the image that the course's scripts draw at the end: training loss, training accuracy
 * and validation accuracy over the epochs, here with the steps' loss behind them. Its legend shows and hides curves, its
 * caption is the line that the notes print for each epoch.
 */
import type { History } from '../core/history';
import { MessageId } from '../core/messages/texts';
import { message } from '../core/messages/message';
import { axisIntervals, decimalsOf, epochCurves, lossAxisTop, markerRadius, StepCurve } from './curves';
import { h, setText, svg } from './dom';
import type { Language } from './language';
import { Curve, LineChart } from './lineChart';
import type { Theme } from './theme';

type CurveName = 'stepLoss' | 'trainLoss' | 'trainAccuracy' | 'validationAccuracy';
const curveNames: readonly CurveName[] = ['stepLoss', 'trainLoss', 'trainAccuracy', 'validationAccuracy'];
/** Each curve has a shape of its own too, for eyes or screens that do not tell the colours apart. */
const markers = {
  stepLoss: 'circle',
  trainLoss: 'circle',
  trainAccuracy: 'rectRot',
  validationAccuracy: 'triangle',
} as const;

export class TrainingChart {
  readonly element: HTMLElement;
  private readonly chart: LineChart;
  private readonly stepCurve = new StepCurve();
  private readonly curves: Record<CurveName, Curve>;
  private readonly caption: HTMLElement;
  private bestIndex = -1;
  private lossDecimals = 1;
  /** What of the history the epoch curves were made from. */
  private newestEpoch: unknown;
  private epochCount = -1;

  constructor(
    private readonly language: Language,
    theme: Theme,
    private readonly redraw: () => void,
  ) {
    const t = (id: MessageId) => language.text({ id, args: {} });
    const curve = (name: CurveName): Curve => ({
      label: t(name),
      axis: name.endsWith('Loss') ? 'left' : 'right',
      points: name === 'stepLoss' ? this.stepCurve.points : [],
      color: theme[name],
      width: name === 'stepLoss' ? 1 : 2,
      radius: 0,
      marker: markers[name],
    });
    this.curves = {
      stepLoss: curve('stepLoss'),
      trainLoss: curve('trainLoss'),
      trainAccuracy: curve('trainAccuracy'),
      validationAccuracy: curve('validationAccuracy'),
    };
    this.chart = new LineChart(
      {
        label: t('chartDescription'),
        epochTitle: t('epoch'),
        left: { title: t('loss'), min: 0, tick: (value) => value.toFixed(this.lossDecimals) },
        right: { title: t('accuracy'), min: 0, max: 1, step: 1 / axisIntervals, tick: (value) => value.toFixed(1) },
        hover: 'epoch',
        tooltipTitle: (epoch) => `${t('epoch')} ${epoch}`,
        tooltipValue: ({ label }, value) => `${label}: ${language.figure(value)}`,
      },
      theme,
    );
    this.chart.curves = curveNames.map((name) => this.curves[name]);
    this.caption = h('figcaption', { class: 'epoch-line', 'data-testid': 'epoch-line' });
    this.element = h(
      'figure',
      { class: 'training-chart', 'data-testid': 'chart', 'data-train-points': 0, 'data-epochs': 0 },
      h('div', { class: 'legend', role: 'group' }, ...curveNames.map((name) => this.legendButton(name))),
      this.chart.element,
      this.caption,
    );
  }

  update(history: History): void {
    const { epochs, started } = history;
    this.stepCurve.update(history);
    const newest = epochs[epochs.length - 1];
    if (newest !== this.newestEpoch || epochs.length !== this.epochCount) {
      this.newestEpoch = newest;
      this.epochCount = epochs.length;
      const points = epochCurves(history);
      this.curves.trainLoss.points = points.trainLoss;
      this.curves.trainAccuracy.points = points.trainAccuracy;
      this.curves.validationAccuracy.points = points.validationAccuracy;
      const best = history.bestEpoch;
      this.bestIndex = best ? epochs.indexOf(best) : -1;
      const radius = markerRadius(epochs.length);
      this.curves.trainLoss.radius = radius;
      this.curves.trainAccuracy.radius = radius;
      this.curves.validationAccuracy.radius = (index) =>
        index === this.bestIndex ? Math.max(5.5, radius + 2) : radius;
    }
    const top = lossAxisTop(this.stepCurve.points, this.curves.trainLoss.points);
    this.chart.options.left.max = top;
    this.chart.options.left.step = top / axisIntervals;
    this.lossDecimals = decimalsOf(top / axisIntervals);
    this.chart.epochs = started?.experiment.epochs ?? Math.max(1, epochs.length);
    this.chart.draw();

    this.element.dataset['trainPoints'] = String(this.stepCurve.points.length);
    this.element.dataset['epochs'] = String(epochs.length);
    if (newest && started) {
      const figure = (value: number) => this.language.figure(value);
      setText(
        this.caption,
        this.language.text(
          message('epochLine', {
            epoch: newest.epoch,
            epochs: started.experiment.epochs,
            trainLoss: figure(newest.trainLoss),
            trainAccuracy: figure(newest.trainAccuracy),
            validationAccuracy: figure(newest.validationAccuracy),
          }),
        ),
      );
    } else {
      setText(this.caption, '');
    }
  }

  setTheme(theme: Theme): void {
    for (const name of curveNames) this.curves[name].color = theme[name];
    this.chart.setTheme(theme);
  }

  dispose(): void {
    this.chart.dispose();
  }

  private legendButton(name: CurveName): HTMLElement {
    const curve = this.curves[name];
    const button = h(
      'button',
      {
        type: 'button',
        class: `legend-item ${name}`,
        'aria-pressed': 'true',
        title: this.language.text(message('showCurve', { curve: curve.label })),
        'data-testid': `legend-${name}`,
      },
      swatch(name),
      h('span', {}, curve.label),
    );
    button.addEventListener('click', () => {
      curve.visible = curve.visible === false;
      button.setAttribute('aria-pressed', String(curve.visible));
      this.redraw();
    });
    return button;
  }
}

/** A piece of the curve with its marker; coloured by the style sheet through the legend item's class. */
function swatch(name: CurveName): SVGElement {
  const line = svg('line', { x1: 1, y1: 6, x2: 21, y2: 6 });
  const shapes = {
    stepLoss: undefined,
    trainLoss: svg('circle', { cx: 11, cy: 6, r: 3.5 }),
    trainAccuracy: svg('path', { d: 'M11 1.6 15.4 6 11 10.4 6.6 6Z' }),
    validationAccuracy: svg('path', { d: 'M11 1.8 15.2 9.2 6.8 9.2Z' }),
  };
  return svg('svg', { viewBox: '0 0 22 12', width: 22, height: 12, 'aria-hidden': 'true' }, line, shapes[name]);
}
