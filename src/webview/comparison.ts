/**
 * The comparison page: the course's summary table over the runs that are chosen, and one chart that lays a curve of each
 * over the others. The host (src/host/comparisonPanel.ts) loads it as dist/comparison.js and sends it all rows anew
 * whenever a run has changed.
 */
import { accuracyOf, ComparedRun, EpochFigures } from '../core/comparison';
import { MessageId } from '../core/messages/texts';
import { message } from '../core/messages/message';
import { FromComparison, ToComparison } from '../core/contracts/pages';
import { protocolVersion } from '../core/contracts/events';
import { axisIntervals, decimalsOf, markerIndex, roundStep, sparseMarkers } from './curves';
import { h, svg } from './dom';
import { Language } from './language';
import { Curve, LineChart } from './lineChart';
import { showError, versionsDiffer } from './notice';
import './panel.css';
import { onThemeChange, readTheme, Theme } from './theme';

type Figure = Exclude<keyof EpochFigures, 'epoch'>;
const figures: readonly Figure[] = ['validationAccuracy', 'trainAccuracy', 'trainLoss', 'validationLoss'];

/** What the user has chosen, which VS Code keeps while the page is hidden or reloaded. */
interface Choice {
  readonly figure: Figure;
  /** Names of runs shown or hidden against what the host proposes. */
  readonly shown: readonly string[];
  readonly hidden: readonly string[];
}

declare function acquireVsCodeApi(): {
  postMessage(message: FromComparison): void;
  getState(): Choice | undefined;
  setState(state: Choice): void;
};

const vscode = acquireVsCodeApi();
const markers = ['circle', 'rectRot', 'triangle'] as const;

class Page {
  private readonly language: Language;
  private readonly chart: LineChart;
  private readonly chosen: readonly ComparedRun[];
  private decimals = 1;
  private frame = 0;

  constructor(
    root: HTMLElement,
    private readonly data: ToComparison,
    private choice: Choice,
    private readonly theme: Theme,
    private readonly choose: (choice: Choice) => void,
  ) {
    const language = (this.language = new Language(data.language, data.translations));
    document.documentElement.lang = language.tag;
    document.title = this.t('comparison');
    const shown = new Set([...data.chosen, ...data.added, ...choice.shown]);
    choice.hidden.forEach((run) => shown.delete(run));
    this.chosen = data.runs.filter(({ run }) => shown.has(run));
    this.chart = new LineChart(
      {
        label: this.t('compareCurves'),
        epochTitle: this.t('epoch'),
        left: { title: this.t(choice.figure), min: 0, tick: (value) => value.toFixed(this.decimals) },
        hover: 'nearest',
        tooltipTitle: (epoch) => `${this.t('epoch')} ${epoch}`,
        tooltipValue: ({ label }, value) => `${label}: ${language.figure(value)}`,
      },
      theme,
    );
    const intro = h('p', { class: 'question' }, this.t('compareIntro'));
    root.replaceChildren(
      h('header', {}, h('div', { class: 'titles' }, h('h1', {}, this.t('comparison')), intro)),
      ...(this.chosen.length > 0
        ? [this.table(), this.curves()]
        : [h('p', { class: 'empty', 'data-testid': 'comparison-empty' }, this.t('compareNone'))]),
      ...(data.runs.length > 0 ? [this.chooser(shown)] : []),
    );
    if (this.chosen.length > 0) this.frame = requestAnimationFrame(() => this.draw());
  }

  dispose(): void {
    cancelAnimationFrame(this.frame);
    this.chart.dispose();
  }

  private draw(): void {
    const { figure } = this.choice;
    const { left } = this.chart.options;
    const values = this.chosen.flatMap(({ curve }) => curve.map((epoch) => epoch[figure]));
    const loss = figure.endsWith('Loss');
    left.step = loss ? roundStep((Math.max(...values) * 1.05) / axisIntervals) : 1 / axisIntervals;
    left.max = left.step * axisIntervals;
    this.decimals = decimalsOf(left.step);
    this.chart.epochs = Math.max(...this.chosen.map(({ epochs }) => epochs));
    this.chart.curves = this.chosen.map((run, i): Curve => ({
      label: this.nameOf(run),
      axis: 'left',
      points: run.curve.map((epoch) => ({ x: epoch.epoch, y: epoch[figure] })),
      color: this.theme.series(i),
      width: 2,
      // Long curves keep a few, without which two of one colour would look alike.
      radius: sparseMarkers(run.curve.length),
      marker: markers[this.markerOf(i)],
    }));
    this.chart.draw();
  }

  private table(): HTMLElement {
    const { language } = this;
    const columns: readonly MessageId[] = [
      'columnNetwork',
      'columnExperiment',
      'columnData',
      'columnStructure',
      'columnParameters',
      'columnAccuracy',
      'columnBest',
      'columnSecondsPerEpoch',
      'columnDifficulty',
      'columnLesson',
    ];
    const rows = this.chosen.map((run, i) => {
      const open = h(
        'button',
        { type: 'button', class: 'link', title: this.text('compareOpen', { run: run.run }) },
        run.preset,
      );
      open.addEventListener('click', () => vscode.postMessage({ type: 'openRun', run: run.run }));
      return h(
        'tr',
        { 'data-run': run.run },
        h('th', { scope: 'row' }, this.swatch(i), ` ${run.network}`),
        h('td', {}, this.title(run), ' ', h('span', { class: 'whole' }, '(', open, ')')),
        h('td', {}, `${language.text(run.dataset)}, ${run.input}`),
        h('td', {}, language.text(run.structure)),
        h('td', { class: 'number' }, language.count(run.parameters)),
        h('td', { 'data-testid': 'compared-accuracy' }, this.accuracy(run)),
        h(
          'td',
          { class: 'number' },
          run.bestValidationAccuracy === undefined ? '–' : language.figure(run.bestValidationAccuracy),
        ),
        h('td', { class: 'number' }, run.secondsPerEpoch === undefined ? '–' : language.magnitude(run.secondsPerEpoch)),
        h('td', { class: 'theirs' }, run.notes ? language.text(run.notes.difficulty) : '–'),
        h('td', { class: 'theirs' }, run.notes ? language.text(run.notes.lesson) : '–'),
      );
    });
    return h(
      'div',
      { class: 'scroll comparison', tabindex: 0, role: 'region', 'aria-label': this.t('comparison') },
      h(
        'table',
        { 'data-testid': 'comparison-table' },
        h('thead', {}, h('tr', {}, ...columns.map((id) => h('th', { scope: 'col' }, this.t(id))))),
        h('tbody', {}, ...rows),
      ),
    );
  }

  private curves(): HTMLElement {
    const buttons = figures.map((figure) => {
      const button = h(
        'button',
        {
          type: 'button',
          class: 'legend-item choice',
          'aria-pressed': String(figure === this.choice.figure),
          'data-testid': `figure-${figure}`,
        },
        this.t(figure),
      );
      button.addEventListener('click', () => this.choose({ ...this.choice, figure }));
      return button;
    });
    return h(
      'figure',
      { class: 'training-chart', 'data-testid': 'comparison-chart', 'data-curves': this.chosen.length },
      h('div', { class: 'legend', role: 'group', 'aria-label': this.t('compareCurves') }, ...buttons),
      this.chart.element,
      h(
        'figcaption',
        { class: 'legend' },
        ...this.chosen.map((run, i) =>
          h('span', { class: 'key-item' }, this.swatch(i), h('span', {}, this.nameOf(run))),
        ),
      ),
    );
  }

  private chooser(shown: ReadonlySet<string>): HTMLElement {
    const items = this.data.runs.map((run) => {
      const box = h('input', { type: 'checkbox', checked: shown.has(run.run), 'data-testid': 'choose-run' });
      box.addEventListener('change', () => {
        const without = (names: readonly string[]) => names.filter((name) => name !== run.run);
        this.choose({
          ...this.choice,
          shown: box.checked ? [...without(this.choice.shown), run.run] : without(this.choice.shown),
          hidden: box.checked ? without(this.choice.hidden) : [...without(this.choice.hidden), run.run],
        });
      });
      const words = [this.title(run), run.preset, this.language.dateTime(run.created), this.accuracy(run)];
      return h('li', {}, h('label', {}, box, ` ${words.join(' · ')}`));
    });
    return h(
      'section',
      { class: 'chooser' },
      h('h2', {}, this.t('compareChoose')),
      h('ul', { class: 'plain' }, ...items),
    );
  }

  private markerOf(index: number): number {
    return markerIndex(index, markers.length, this.theme.seriesColours);
  }

  private swatch(index: number): SVGElement {
    const shapes = [
      svg('circle', { cx: 6, cy: 6, r: 4 }),
      svg('path', { d: 'M6 1 11 6 6 11 1 6Z' }),
      svg('path', { d: 'M6 1.4 11 10 1 10Z' }),
    ];
    const image = svg(
      'svg',
      { viewBox: '0 0 12 12', width: 12, height: 12, class: 'swatch', 'aria-hidden': 'true' },
      shapes[this.markerOf(index)],
    );
    image.style.setProperty('fill', this.theme.series(index));
    return image;
  }

  private accuracy(run: ComparedRun): string {
    const accuracy = accuracyOf(run, (value) => this.language.figure(value));
    return accuracy ? this.language.text(accuracy) : '–';
  }

  private title(run: ComparedRun): string {
    return this.data.translations[run.title] ?? run.title;
  }

  /** The experiment's title; with the preset and the time where another chosen run has the same. */
  private nameOf(run: ComparedRun): string {
    const title = this.title(run);
    const alike = this.chosen.filter(({ experimentId }) => experimentId === run.experimentId);
    return alike.length > 1 ? `${title} (${run.preset}, ${this.language.dateTime(run.created)})` : title;
  }

  private t(id: MessageId): string {
    return this.language.text({ id, args: {} });
  }

  private text(id: MessageId, args: Readonly<Record<string, string | number>>): string {
    return this.language.text({ id, args });
  }
}

const root = h('main', { class: 'panel' });
(document.getElementById('app') ?? document.body).append(root);
let page: Page | undefined;
let data: ToComparison | undefined;
let choice: Choice = { figure: 'validationAccuracy', shown: [], hidden: [], ...vscode.getState() };

function draw(): void {
  if (!data) return;
  const focused = document.activeElement?.getAttribute('data-testid');
  const index = focused
    ? [...document.querySelectorAll(`[data-testid="${focused}"]`)].indexOf(document.activeElement!)
    : -1;
  page?.dispose();
  page = undefined;
  if (data.protocol !== protocolVersion) return versionsDiffer(root, data.protocol);
  try {
    page = new Page(root, data, choice, readTheme(), (next) => {
      choice = next;
      vscode.setState(choice);
      draw();
    });
    // The page is built anew; whoever works with the keyboard stays where they were.
    if (focused) (document.querySelectorAll(`[data-testid="${focused}"]`)[index] as HTMLElement | undefined)?.focus();
  } catch (error) {
    console.error(error);
    const reason = error instanceof Error ? error.message : String(error);
    const language = new Language(data.language, data.translations);
    showError(
      root,
      language.text(message('comparisonBroken', { reason })),
      language.text(message('panelBrokenAdvice')),
    );
  }
}

window.addEventListener('message', (event: MessageEvent<ToComparison>) => {
  data = event.data;
  // What the user has just asked for is shown even if it was hidden before.
  choice = { ...choice, hidden: choice.hidden.filter((run) => !event.data.added.includes(run)) };
  draw();
});
onThemeChange(draw);
vscode.postMessage({ type: 'ready', protocol: protocolVersion });
