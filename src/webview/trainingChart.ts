/**
 * The live chart of a run: losses on the left, accuracies on the right, over the epochs, with the steps' loss behind them.
 * One button away, as the course's scripts draw it at the end: training loss, training accuracy and validation accuracy on
 * one axis. The legend shows and hides curves, the caption is the line that the notes print for each epoch.
 */
import type { History } from '../core/history';
import { MessageId } from '../core/messages/texts';
import { message } from '../core/messages/message';
import { axisIntervals, decimalsOf, epochCurves, lossAxisTop, markerRadius, StepCurve } from './curves';
import { h, setText, svg } from './dom';
import type { Language } from './language';
import { Curve, LineChart } from './lineChart';
import type { Theme } from './theme';

const curveNames = ['stepLoss', 'trainLoss', 'validationLoss', 'trainAccuracy', 'validationAccuracy'] as const;
type CurveName = (typeof curveNames)[number];
const ofEpochs = curveNames.filter((name) => name !== 'stepLoss');
/** Those of the notes' picture. */
const ofTheNotes: readonly CurveName[] = ['trainLoss', 'trainAccuracy', 'validationAccuracy'];
/** Each curve has a shape of its own too, for eyes or screens that do not tell the colours apart. */
const markers = {
  stepLoss: 'circle',
  trainLoss: 'circle',
  validationLoss: 'rect',
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
  private asInNotes = false;
  private readonly buttons = new Map<CurveName, HTMLElement>();
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
    this.curves = Object.fromEntries(curveNames.map((name) => [name, curve(name)])) as Record<CurveName, Curve>;
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
      h(
        'div',
        { class: 'legend', role: 'group' },
        ...curveNames.map((name) => this.legendButton(name)),
        this.notesButton(),
      ),
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
      const best = history.bestEpoch;
      this.bestIndex = best ? epochs.indexOf(best) : -1;
      const radius = markerRadius(epochs.length);
      for (const name of ofEpochs) Object.assign(this.curves[name], { points: points[name], radius });
      this.curves.validationAccuracy.radius = (index) =>
        index === this.bestIndex ? Math.max(5.5, radius + 2) : radius;
    }
    const { trainLoss, validationLoss } = this.curves;
    // On one axis with accuracies, it holds 1 whatever the losses are.
    const top = this.asInNotes
      ? Math.max(1, lossAxisTop([], trainLoss.points))
      : lossAxisTop(
          this.stepCurve.points,
          trainLoss.points,
          validationLoss.visible === false ? [] : validationLoss.points,
        );
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
      this.show(name, curve.visible === false);
      this.redraw();
    });
    this.buttons.set(name, button);
    return button;
  }

  private show(name: CurveName, visible: boolean): void {
    this.curves[name].visible = visible;
    this.buttons.get(name)!.setAttribute('aria-pressed', String(visible));
  }

  /** Between the chart of two axes and the notes' picture. */
  private notesButton(): HTMLElement {
    const t = (id: MessageId) => this.language.text({ id, args: {} });
    const button = h(
      'button',
      {
        type: 'button',
        class: 'legend-item choice',
        'aria-pressed': 'false',
        title: t('chartAsInNotesTip'),
        'data-testid': 'as-in-notes',
      },
      h('span', {}, t('chartAsInNotes')),
    );
    button.addEventListener('click', () => {
      this.asInNotes = !this.asInNotes;
      button.setAttribute('aria-pressed', String(this.asInNotes));
      for (const name of curveNames) {
        this.show(name, !this.asInNotes || ofTheNotes.includes(name));
        this.curves[name].axis = this.asInNotes || name.endsWith('Loss') ? 'left' : 'right';
      }
      this.chart.options.right!.hidden = this.asInNotes;
      this.chart.setAxisTitle(this.asInNotes ? t('lossAndAccuracy') : t('loss'));
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
    validationLoss: svg('path', { d: 'M7.8 2.8h6.4v6.4H7.8Z' }),
    trainAccuracy: svg('path', { d: 'M11 1.6 15.4 6 11 10.4 6.6 6Z' }),
    validationAccuracy: svg('path', { d: 'M11 1.8 15.2 9.2 6.8 9.2Z' }),
  };
  return svg('svg', { viewBox: '0 0 22 12', width: 22, height: 12, 'aria-hidden': 'true' }, line, shapes[name]);
}
