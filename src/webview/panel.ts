/**
 * The panel's page: says 'ready' to the extension host, builds itself anew from each snapshot, takes in the changes that
 * follow, and draws at most once per animation frame. The host (src/host) loads it as dist/panel.js and dist/panel.css.
 */
import { History } from '../core/history';
import { message } from '../core/messages/message';
import { FromPanel, PanelSnapshot, ToPanel } from '../core/contracts/pages';
import { protocolVersion } from '../core/contracts/events';
import { ConfusionMatrix } from './confusionMatrix';
import { registerControls, Tabs, tabs } from './controls';
import { Diagnostics } from './diagnostics';
import { h } from './dom';
import { EpochTable } from './epochTable';
import { ExampleSheetView } from './exampleSheet';
import { Language } from './language';
import { showError, versionsDiffer } from './notice';
import './panel.css';
import { RunDetails } from './runDetails';
import { Situation, Summary } from './summary';
import { onThemeChange, readTheme } from './theme';
import { TrainingChart } from './trainingChart';

/** What VS Code keeps for a panel across a reload; `run` is what the extension's serializer restores by. */
interface KeptState {
  readonly run: string;
  readonly tab?: string;
}

declare function acquireVsCodeApi(): {
  postMessage(message: FromPanel): void;
  getState(): KeptState | undefined;
  setState(state: KeptState): void;
};

const vscode = acquireVsCodeApi();

/** Everything on the page for one snapshot. */
class Page {
  private readonly history = new History();
  private situation: Situation;
  private readonly summary: Summary;
  private readonly chart: TrainingChart;
  private readonly epochs: EpochTable;
  private readonly confusion: ConfusionMatrix;
  private readonly diagnostics: Diagnostics;
  private readonly examples: ExampleSheetView;
  /** Whether the host has been asked for the examples. */
  private examplesAsked = false;
  private readonly details: RunDetails;
  private readonly tabs: Tabs;
  private readonly language: Language;
  private frame = 0;

  constructor(root: HTMLElement, snapshot: PanelSnapshot) {
    const language = (this.language = new Language(snapshot.language, snapshot.translations));
    document.documentElement.lang = language.tag;
    document.title = snapshot.title;
    for (const event of snapshot.events) this.history.apply(event);
    this.situation = { state: snapshot.state, status: snapshot.status, pending: undefined };

    const theme = readTheme();
    const redraw = () => this.schedule();
    this.summary = new Summary(snapshot.title, snapshot.question, language, (command) => {
      vscode.postMessage({ type: command });
      if (command === 'stop' || command === 'resume') this.situation = { ...this.situation, pending: command };
      redraw();
    });
    this.chart = new TrainingChart(language, theme, redraw);
    this.epochs = new EpochTable(language);
    this.confusion = new ConfusionMatrix(language);
    this.diagnostics = new Diagnostics(language, theme);
    this.examples = new ExampleSheetView(language);
    this.details = new RunDetails(snapshot.run, language);
    const t = (id: 'tabEpochs' | 'tabConfusion' | 'tabDiagnostics' | 'tabExamples' | 'tabRun') =>
      language.text(message(id));
    this.tabs = tabs(
      snapshot.title,
      [
        { id: 'epochs', label: t('tabEpochs'), content: this.epochs.element },
        { id: 'confusion', label: t('tabConfusion'), content: this.confusion.element },
        { id: 'diagnostics', label: t('tabDiagnostics'), content: this.diagnostics.element },
        { id: 'examples', label: t('tabExamples'), content: this.examples.element },
        { id: 'run', label: t('tabRun'), content: this.details.element },
      ],
      vscode.getState()?.tab,
      (tab) => {
        vscode.setState({ run: snapshot.run, tab });
        redraw();
      },
    );
    vscode.setState({ run: snapshot.run, tab: this.tabs.selected });
    root.replaceChildren(this.summary.element, this.chart.element, this.tabs.element);
    redraw();
  }

  apply(change: Exclude<ToPanel, { type: 'snapshot' }>): void {
    if (change.type === 'examples') return this.examples.show(change.answer);
    if (change.type === 'state') {
      this.situation = { state: change.state, status: change.status, pending: undefined };
    } else {
      for (const event of change.events) this.history.apply(event);
      // A status tells what is done instead of steps; a step means that it is over.
      if (change.events.some((event) => event.type === 'step'))
        this.situation = { ...this.situation, status: undefined };
    }
    this.schedule();
  }

  themeChanged(): void {
    const theme = readTheme();
    this.chart.setTheme(theme);
    this.diagnostics.setTheme(theme);
    this.schedule();
  }

  dispose(): void {
    cancelAnimationFrame(this.frame);
    this.chart.dispose();
    this.diagnostics.dispose();
  }

  private schedule(): void {
    if (this.frame) return;
    this.frame = requestAnimationFrame(() => {
      this.frame = 0;
      try {
        this.draw();
      } catch (error) {
        this.broke(error);
      }
    });
  }

  /** Says that the panel cannot go on, rather than standing still as if the run did. */
  private broke(error: unknown): void {
    console.error(error);
    this.dispose();
    page = undefined;
    const reason = error instanceof Error ? error.message : String(error);
    const { language } = this;
    showError(root, language.text(message('panelBroken', { reason })), language.text(message('panelBrokenAdvice')));
  }

  private draw(): void {
    const { history } = this;
    this.summary.update(history, this.situation);
    this.chart.update(history);
    switch (this.tabs.selected) {
      case 'epochs':
        return this.epochs.update(history);
      case 'confusion':
        return this.confusion.update(history);
      case 'diagnostics':
        return this.diagnostics.update(history);
      case 'examples':
        if (!this.examplesAsked) vscode.postMessage({ type: 'examples' });
        this.examplesAsked = true;
        return;
      default:
        return this.details.update(history);
    }
  }
}

registerControls();
const root = h('main', { class: 'panel' });
(document.getElementById('app') ?? document.body).append(root);
let page: Page | undefined;

window.addEventListener('message', (event: MessageEvent<ToPanel>) => {
  const change = event.data;
  if (change.type !== 'snapshot') {
    // Changes before the first snapshot are part of it.
    page?.apply(change);
    return;
  }
  page?.dispose();
  page = undefined;
  if (change.protocol !== protocolVersion) {
    versionsDiffer(root, change.protocol);
    return;
  }
  page = new Page(root, change.snapshot);
});
onThemeChange(() => page?.themeChanged());
vscode.postMessage({ type: 'ready', protocol: protocolVersion });
