/**
 * The page of a run: folds what it is told and draws at most once per animation frame. The host (src/host/panels.ts) loads
 * it as dist/panel.js and dist/panel.css.
 */
import { History } from '../core/history';
import { message } from '../core/messages/message';
import type { ChangeOf, FromRun, RunSnapshot, ToRun } from '../core/contracts/pages';
import { ConfusionMatrix } from './confusionMatrix';
import { connect, Host, View } from './connect';
import { registerControls, Tabs, tabs } from './controls';
import { Diagnostics } from './diagnostics';
import { EpochTable } from './epochTable';
import { ExampleSheetView } from './exampleSheet';
import type { Language } from './language';
import './panel.css';
import { RunDetails } from './runDetails';
import { Situation, Summary } from './summary';
import { readTheme } from './theme';
import { TrainingChart } from './trainingChart';

/** What VS Code keeps for a panel across a reload; `run` is what the extension's serializer restores by. */
interface Kept {
  readonly run: string;
  readonly tab?: string;
}

/** The page of a run. A later snapshot changes what is drawn, not the page: what the user has hidden or focused stays. */
class RunPage implements View<ToRun> {
  private history = new History();
  private situation: Situation = { state: 'starting', pending: undefined };
  private run = '';
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
  private frame = 0;

  constructor(
    { title, question }: RunSnapshot,
    language: Language,
    private readonly host: Host<FromRun, Kept>,
  ) {
    document.title = title;
    const theme = readTheme();
    const redraw = () => this.schedule();
    this.summary = new Summary(title, question, language, (command) => {
      host.say({ type: command });
      if (command === 'stop' || command === 'resume') this.situation = { ...this.situation, pending: command };
      redraw();
    });
    this.chart = new TrainingChart(language, theme, redraw);
    this.epochs = new EpochTable(language);
    this.confusion = new ConfusionMatrix(language);
    this.diagnostics = new Diagnostics(language, theme);
    this.examples = new ExampleSheetView(language);
    this.details = new RunDetails(language);
    const t = (id: 'tabEpochs' | 'tabConfusion' | 'tabDiagnostics' | 'tabExamples' | 'tabRun') =>
      language.text(message(id));
    this.tabs = tabs(
      title,
      [
        { id: 'epochs', label: t('tabEpochs'), content: this.epochs.element },
        { id: 'confusion', label: t('tabConfusion'), content: this.confusion.element },
        { id: 'diagnostics', label: t('tabDiagnostics'), content: this.diagnostics.element },
        { id: 'examples', label: t('tabExamples'), content: this.examples.element },
        { id: 'run', label: t('tabRun'), content: this.details.element },
      ],
      host.kept?.tab,
      (tab) => {
        host.keep({ run: this.run, tab });
        redraw();
      },
    );
    host.root.replaceChildren(this.summary.element, this.chart.element, this.tabs.element);
  }

  show({ run, events, state, status, gone }: RunSnapshot): void {
    this.history = new History();
    for (const event of events) this.history.apply(event);
    this.situation = { state, status, gone, pending: undefined };
    this.run = run;
    this.host.keep({ run, tab: this.tabs.selected });
    this.schedule();
  }

  change(change: ChangeOf<ToRun>): void {
    if (change.type === 'examples') return this.examples.show(change.answer);
    if (change.type === 'state') {
      const { state, status, gone } = change;
      this.situation = { state, status, gone, pending: undefined };
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
      this.host.attempt(() => this.draw());
    });
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
        if (!this.examplesAsked) this.host.say({ type: 'examples' });
        this.examplesAsked = true;
        return;
      default:
        return this.details.update(this.run, history);
    }
  }
}

registerControls();
connect<ToRun, FromRun, Kept>(RunPage, 'panelBroken');
