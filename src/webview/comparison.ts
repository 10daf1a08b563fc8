/**
 * The comparison page: the course's summary table over the runs that are chosen, and one chart that lays a curve of each
 * over the others. The host (src/host/comparisonPanel.ts) loads it as dist/comparison.js and sends it rows that have
 * changed; the chart stays the same one, so that what the pointer shows of it stays.
 */
import { accuracyOf, ComparedRun, EpochFigures } from '../core/comparison';
import { MessageId } from '../core/messages/texts';
import type {
  ChangeOf,
  ComparisonLists,
  ComparisonSnapshot,
  FromComparison,
  ToComparison,
} from '../core/contracts/pages';
import { connect, Host, View } from './connect';
import { axisIntervals, decimalsOf, markerIndex, roundStep, sparseMarkers } from './curves';
import { h, svg } from './dom';
import type { Language } from './language';
import { Curve, LineChart } from './lineChart';
import './panel.css';
import { readTheme } from './theme';

type Figure = Exclude<keyof EpochFigures, 'epoch'>;
const figures: readonly Figure[] = ['validationAccuracy', 'trainAccuracy', 'trainLoss', 'validationLoss'];

/** What the user has chosen, which VS Code keeps while the page is hidden or reloaded. */
interface Choice {
  readonly figure: Figure;
  /** Names of runs shown or hidden against what the host proposes. */
  readonly shown: readonly string[];
  readonly hidden: readonly string[];
}

const markers = ['circle', 'rectRot', 'triangle'] as const;
const without = (names: readonly string[], some: readonly string[]) => names.filter((name) => !some.includes(name));

class ComparisonPage implements View<ToComparison> {
  private readonly rows = new Map<string, ComparedRun>();
  private lists: ComparisonLists = { order: [], chosen: [], gone: [] };
  private choice: Choice;
  private theme = readTheme();
  private readonly chart: LineChart;
  private readonly parts = { table: h('div', {}), curves: h('div', {}), chooser: h('div', {}) };
  /** What each part was built from, to leave alone what has not changed. */
  private readonly built = new Map<HTMLElement, string>();
  private readonly caption = h('figcaption', { class: 'legend' });
  private readonly figure: HTMLElement;
  private chosen: readonly ComparedRun[] = [];
  private decimals = 1;
  private frame = 0;

  constructor(
    _: ComparisonSnapshot,
    private readonly language: Language,
    private readonly host: Host<FromComparison, Choice>,
  ) {
    document.title = this.t('comparison');
    this.choice = { figure: 'validationAccuracy', shown: [], hidden: [], ...host.kept };
    this.chart = new LineChart(
      {
        label: this.t('compareCurves'),
        epochTitle: this.t('epoch'),
        left: { title: this.t(this.choice.figure), min: 0, tick: (value) => value.toFixed(this.decimals) },
        hover: 'nearest',
        tooltipTitle: (epoch) => `${this.t('epoch')} ${epoch}`,
        tooltipValue: ({ label }, value) => `${label}: ${language.figure(value)}`,
      },
      this.theme,
    );
    this.figure = this.curves();
    const intro = h('p', { class: 'question' }, this.t('compareIntro'));
    const { table, curves, chooser } = this.parts;
    host.root.replaceChildren(
      h('header', {}, h('div', { class: 'titles' }, h('h1', {}, this.t('comparison')), intro)),
      ...[table, curves, chooser],
    );
  }

  show(snapshot: ComparisonSnapshot): void {
    this.rows.clear();
    this.take(snapshot);
  }

  change(change: ChangeOf<ToComparison>): void {
    if (change.type === 'rows') return this.take(change);
    // Asked for now: shown even if it was hidden before, and hidden again like any other.
    const { shown, hidden } = this.choice;
    const runs = change.runs;
    this.choose({ ...this.choice, shown: [...without(shown, runs), ...runs], hidden: without(hidden, runs) });
  }

  themeChanged(): void {
    this.theme = readTheme();
    this.chart.setTheme(this.theme);
    this.built.clear();
    this.update();
  }

  dispose(): void {
    cancelAnimationFrame(this.frame);
    this.chart.dispose();
  }

  private take({ rows, order, chosen, gone }: ComparisonSnapshot): void {
    for (const row of rows) this.rows.set(row.run, row);
    for (const run of this.rows.keys()) if (!order.includes(run)) this.rows.delete(run);
    this.lists = { order, chosen, gone };
    this.update();
  }

  private choose(choice: Choice): void {
    this.choice = choice;
    this.host.keep(choice);
    this.update();
  }

  private update(): void {
    const { order, chosen, gone } = this.lists;
    const { choice } = this;
    const runs = order.map((run) => this.rows.get(run)!);
    const shown = new Set([...chosen, ...choice.shown]);
    choice.hidden.forEach((run) => shown.delete(run));
    this.chosen = runs.filter(({ run }) => shown.has(run));
    const some = this.chosen.length > 0;
    const none = () => this.empty(runs.length > 0 ? 'compareNoneChosen' : 'compareNone');
    this.build(this.parts.table, [this.chosen, gone, runs.length > 0], () => [some ? this.table() : none()]);
    this.build(this.parts.curves, [some], () => (some ? [this.figure] : []));
    // Of a run under way the accuracy changes; the boxes stay.
    this.build(this.parts.chooser, [runs.map((run) => this.words(run)), [...shown]], () =>
      runs.length > 0 ? [this.chooser(runs, shown)] : [],
    );
    if (!some || this.frame) return;
    this.frame = requestAnimationFrame(() => {
      this.frame = 0;
      this.host.attempt(() => this.draw());
    });
  }

  /** Builds a part of the page where what it shows has changed; whoever works with the keyboard there stays in place. */
  private build(part: HTMLElement, of: unknown, make: () => HTMLElement[]): void {
    const key = JSON.stringify(of);
    if (this.built.get(part) === key) return;
    this.built.set(part, key);
    const active = part.contains(document.activeElement) ? (document.activeElement as HTMLElement) : undefined;
    const place = active?.dataset['place'];
    part.replaceChildren(...make());
    if (place) part.querySelector<HTMLElement>(`[data-place="${CSS.escape(place)}"]`)?.focus();
  }

  private empty(id: 'compareNone' | 'compareNoneChosen'): HTMLElement {
    return h('p', { class: 'empty', 'data-testid': 'comparison-empty' }, this.t(id));
  }

  private draw(): void {
    const { figure } = this.choice;
    const { left } = this.chart.options;
    this.drawLegend();
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
    this.chart.setAxisTitle(this.t(figure));
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
      'columnResults',
      'columnLesson',
    ];
    const rows = this.chosen.map((run, i) => {
      const open = h(
        'button',
        {
          type: 'button',
          class: 'link',
          title: this.text('compareOpen', { run: run.run }),
          'data-place': `open ${run.run}`,
        },
        run.preset,
      );
      open.addEventListener('click', () => this.host.say({ type: 'openRun', run: run.run }));
      const gone = this.lists.gone.includes(run.run);
      return h(
        'tr',
        { 'data-run': run.run },
        h('th', { scope: 'row' }, this.swatch(i), ` ${run.network}`),
        h(
          'td',
          {},
          this.title(run),
          ' ',
          gone ? `(${run.preset})` : h('span', { class: 'whole' }, '(', open, ')'),
          gone && h('p', { class: 'note', 'data-testid': 'row-gone' }, this.t('compareGone')),
        ),
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
        h('td', { class: 'theirs' }, run.notes ? language.text(run.notes.results) : '–'),
        h('td', { class: 'theirs' }, run.notes ? language.text(run.notes.lesson) : '–'),
      );
    });
    return h(
      'div',
      {
        class: 'scroll comparison',
        tabindex: 0,
        role: 'region',
        'aria-label': this.t('comparison'),
        'data-place': 'table',
      },
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
        { type: 'button', class: 'legend-item choice', 'data-testid': `figure-${figure}` },
        this.t(figure),
      );
      button.addEventListener('click', () => this.choose({ ...this.choice, figure }));
      return button;
    });
    return h(
      'figure',
      { class: 'training-chart', 'data-testid': 'comparison-chart' },
      h('div', { class: 'legend', role: 'group', 'aria-label': this.t('compareCurves') }, ...buttons),
      this.chart.element,
      this.caption,
    );
  }

  private drawLegend(): void {
    this.figure.dataset['curves'] = String(this.chosen.length);
    for (const figure of figures) {
      const button = this.figure.querySelector(`[data-testid="figure-${figure}"]`);
      button?.setAttribute('aria-pressed', String(figure === this.choice.figure));
    }
    this.caption.replaceChildren(
      ...this.chosen.map((run, i) => h('span', { class: 'key-item' }, this.swatch(i), h('span', {}, this.nameOf(run)))),
    );
  }

  private words(run: ComparedRun): string[] {
    return [this.title(run), run.preset, this.language.dateTime(run.created), this.accuracy(run), run.run];
  }

  private chooser(runs: readonly ComparedRun[], shown: ReadonlySet<string>): HTMLElement {
    const items = runs.map((run) => {
      const box = h('input', {
        type: 'checkbox',
        checked: shown.has(run.run),
        'data-testid': 'choose-run',
        'data-place': `box ${run.run}`,
      });
      box.addEventListener('change', () => {
        const { shown, hidden } = this.choice;
        const name = [run.run];
        this.choose({
          ...this.choice,
          shown: box.checked ? [...without(shown, name), ...name] : without(shown, name),
          hidden: box.checked ? without(hidden, name) : [...without(hidden, name), ...name],
        });
      });
      return h('li', {}, h('label', {}, box, ` ${this.words(run).slice(0, -1).join(' · ')}`));
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
    return this.language.translate(run.title);
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

connect<ToComparison, FromComparison, Choice>(ComparisonPage, 'comparisonBroken');
