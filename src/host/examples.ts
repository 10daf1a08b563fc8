/**
 * Examples: has a trainer of low priority make a contact sheet of an experiment's training images. A run's panel shows
 * one in a tab (panels.ts); {@link ExamplesPanel} shows one before any run.
 */
import * as vscode from 'vscode';
import type { ResolvedExperiment } from '../core/experiment';
import { message, UserError } from '../core/messages/message';
import { ExamplesAnswer, FromExamples, ToExamples } from '../core/contracts/pages';
import { ExamplesRequest } from '../core/contracts/tasks';
import { startTask, TrainerOptions } from '../trainerClient';
import { t, translate } from './localize';
import type { Log } from './log';
import { newTab, PageHost } from './page';
import { dataFolderFor, workspaceFolders } from './settings';

/** A contact sheet that is being made; disposing of it ends the trainer. */
export class Examples implements vscode.Disposable {
  /** The last thing told. */
  answer: ExamplesAnswer = { kind: 'status', message: message('panelStarting') };
  private readonly stop: () => void;
  private disposed = false;

  /**
   * @param trainer how trainers are started; throws UserError where a setting is unusable
   * @param run a run's folder, whose own images are shown
   * @param changed called whenever there is another answer, not after the disposal
   */
  constructor(
    trainer: () => TrainerOptions,
    experiment: ResolvedExperiment,
    run: string | undefined,
    log: Log,
    private readonly changed: () => void,
  ) {
    let request: ExamplesRequest;
    let options: TrainerOptions;
    try {
      options = { ...trainer(), graceMs: 3000 };
      request = {
        experiment,
        run,
        dataFolder: dataFolderFor(experiment.dataset.name),
        searchFolders: workspaceFolders(),
      };
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      this.answer = { kind: 'failed', message: error.userMessage, advice: error.advice };
      this.stop = () => undefined;
      return;
    }
    const making = startTask('examples', request, options, {
      onProgress: (status) => this.tell({ kind: 'status', message: status }),
      onLog: (line) => log.info(`examples: ${line}`),
    });
    this.stop = () => void making.stop();
    void making.ended.then((end) => {
      if (end.kind === 'finished') this.tell({ kind: 'sheet', sheet: end.result });
      if ('message' in end) this.tell({ kind: 'failed', message: end.message, advice: end.advice });
    });
  }

  dispose(): void {
    this.disposed = true;
    this.stop();
  }

  private tell(answer: ExamplesAnswer): void {
    if (this.disposed) return;
    this.answer = answer;
    this.changed();
  }
}

/** The page that shows an experiment's examples before it is trained; one in a window. */
export class ExamplesPanel implements vscode.Disposable {
  private page?: PageHost<ToExamples, FromExamples>;
  private title = '';
  private examples?: Examples;

  constructor(
    private readonly extensionUri: vscode.Uri,
    private readonly trainer: () => TrainerOptions,
    private readonly log: Log,
  ) {}

  show(experiment: ResolvedExperiment): void {
    this.examples?.dispose();
    this.examples = new Examples(this.trainer, experiment, undefined, this.log, () => this.tell());
    this.title = t(message('examplesOf', { title: translate(experiment.title) }));
    const page = (this.page ??= this.open());
    page.title = this.title;
    page.reveal();
    this.tell();
  }

  dispose(): void {
    this.page?.dispose();
    this.examples?.dispose();
  }

  private open(): PageHost<ToExamples, FromExamples> {
    const page = new PageHost<ToExamples, FromExamples>(newTab('convlab.examples'), this.extensionUri, this.log, {
      page: 'examples',
      ready: () => this.examples && page.snapshot({ title: this.title, answer: this.examples.answer }),
      closed: () => {
        this.examples?.dispose();
        this.examples = this.page = undefined;
      },
    });
    return page;
  }

  private tell(): void {
    if (this.examples) this.page?.send({ type: 'examples', title: this.title, answer: this.examples.answer });
  }
}
