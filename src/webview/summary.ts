/**
 * The upper part of the panel: title and question, the buttons, the state with progress and time left, warnings and
 * failures in sentences, and at the end the result.
 */
import type { History, RunState } from '../core/history';
import { message } from '../core/messages/message';
import { MessageId } from '../core/messages/texts';
import type { FinishedEvent } from '../core/contracts/events';
import type { FromRun, RunSituation, WishOf } from '../core/contracts/pages';
import { Button, button, progressBar, ProgressBar } from './controls';
import { Child, h, setText } from './dom';
import type { Language } from './language';

/** A button was pressed and its effect has not shown yet. */
export type Pending = 'stop' | 'resume' | undefined;

export interface Situation extends RunSituation {
  readonly pending: Pending;
}

type Command = WishOf<FromRun>['type'];

export class Summary {
  readonly element: HTMLElement;
  private readonly buttons: Record<'stop' | 'resume', Button>;
  private readonly state = h('span', { class: 'state', 'data-testid': 'state' });
  private readonly timeLeft = h('span', { 'data-testid': 'time-left' });
  private readonly rate = h('span', { 'data-testid': 'rate' });
  private readonly progress: ProgressBar;
  private readonly notices = h('div', { class: 'notices' });
  private readonly result: HTMLElement;
  /** Speaks a change of state to screen readers, but not every epoch. */
  private readonly spoken = h('p', { class: 'visually-hidden', role: 'status' });
  private spokenState: RunState | undefined;
  private shownNotices = '';
  private shownResult: FinishedEvent | undefined;

  constructor(
    title: string,
    question: string,
    private readonly language: Language,
    send: (command: Command) => void,
  ) {
    const make = (id: MessageId, testId: string, appearance: 'primary' | 'secondary', command: Command) =>
      button(this.t(id), { appearance, testId }, () => send(command));
    this.buttons = {
      stop: make('buttonStop', 'stop', 'primary', 'stop'),
      resume: make('buttonResume', 'resume', 'primary', 'resume'),
    };
    const log = make('buttonShowLog', 'show-log', 'secondary', 'showLog');
    const folder = make('buttonRevealFolder', 'reveal-folder', 'secondary', 'revealFolder');
    this.progress = progressBar(this.t('panelProgress'), 'progress');
    this.result = h('section', { class: 'result', 'aria-label': this.t('resultHeading'), hidden: true });
    this.element = h(
      'div',
      { class: 'summary' },
      h(
        'header',
        {},
        h('div', { class: 'titles' }, h('h1', {}, title), question !== '' && h('p', { class: 'question' }, question)),
        h(
          'div',
          { class: 'actions', role: 'group', 'aria-label': this.t('panelActions') },
          this.buttons.stop.element,
          this.buttons.resume.element,
          log.element,
          folder.element,
        ),
      ),
      h('div', { class: 'status-line' }, this.state, h('span', { class: 'pace' }, this.timeLeft, this.rate)),
      this.progress.element,
      this.spoken,
      this.notices,
      this.result,
    );
  }

  update(history: History, situation: Situation): void {
    const { state, pending, gone = false } = situation;
    const { language } = this;
    const alive = state === 'running' || state === 'starting';
    this.state.dataset['state'] = state;
    const line = this.stateLine(history, situation);
    setText(this.state, line);
    if (state !== this.spokenState) {
      this.spokenState = state;
      setText(this.spoken, line);
    }

    const step = state === 'running' ? history.latestStep : undefined;
    setText(
      this.timeLeft,
      step ? language.text(message('timeLeft', { time: language.duration(step.secondsLeft) })) : '',
    );
    setText(
      this.rate,
      step ? language.text(message('imagesPerSecond', { rate: language.count(step.imagesPerSecond) })) : '',
    );
    this.progress.set(alive && !history.latestStep && history.epochs.length === 0 ? undefined : history.progress);
    this.progress.element.dataset['state'] = state;

    this.buttons.stop.setVisible(alive && !gone);
    this.buttons.stop.setEnabled(pending !== 'stop');
    this.buttons.resume.setVisible(!alive && state !== 'finished' && !gone);
    this.buttons.resume.setEnabled(pending !== 'resume');
    this.updateNotices(history, situation);
    this.updateResult(history);
  }

  private stateLine(history: History, { state, status, pending, gone }: Situation): string {
    const { language } = this;
    const alive = state === 'running' || state === 'starting';
    if (pending === 'stop' && alive) return this.t('panelStopping');
    if (pending === 'resume' && !alive) return this.t('panelResuming');
    const epochs = history.started?.experiment.epochs;
    if (state === 'finished') {
      return language.text(message('panelFinished', { epochs: epochs ?? history.epochs.length }));
    }
    // Whether it was interrupted or goes on elsewhere, nobody here can know.
    if (gone) return this.t('panelGone');
    if (alive && status) return language.text(status);
    if (state === 'starting') return this.t('panelStarting');
    const begun = history.latestStep !== undefined || history.epochs.length > 0;
    if (epochs === undefined || (!begun && state !== 'running')) {
      const early = { running: 'panelStarting', stopped: 'panelStoppedEarly', failed: 'panelFailedEarly' } as const;
      return this.t(state === 'interrupted' ? 'panelInterruptedEarly' : early[state]);
    }
    // Between an epoch's last step and the next one's first report, the next epoch is under way.
    const epoch = Math.min(epochs, Math.max(history.latestStep?.epoch ?? 1, history.epochs.length + 1));
    const where = {
      running: 'panelEpochOf',
      stopped: 'panelStopped',
      interrupted: 'panelInterrupted',
      failed: 'panelFailed',
    } as const;
    return language.text(message(where[state], { epoch, epochs }));
  }

  private updateNotices(history: History, { state, status, gone }: Situation): void {
    const { language } = this;
    const list: { kind: 'error' | 'warning' | 'info'; text: string; advice?: string }[] = [];
    const failure = history.failed ?? (state === 'failed' && status ? { message: status } : undefined);
    if (failure && state === 'failed') {
      const advice = 'advice' in failure && failure.advice ? language.text(failure.advice) : undefined;
      list.push({ kind: 'error', text: language.text(failure.message), ...(advice ? { advice } : {}) });
    }
    if (gone) list.push({ kind: 'warning', text: this.t('panelFolderGone'), advice: this.t('panelFolderGoneAdvice') });
    else if (state === 'interrupted') list.push({ kind: 'info', text: this.t('panelInterruptedAdvice') });
    for (const warning of history.warnings) list.push({ kind: 'warning', text: language.text(warning.message) });

    const key = JSON.stringify(list);
    if (key === this.shownNotices) return;
    this.shownNotices = key;
    this.notices.replaceChildren(
      ...list.map(({ kind, text, advice }) => {
        const label =
          kind === 'error' ? this.t('noticeError') : kind === 'warning' ? this.t('noticeWarning') : undefined;
        return h(
          'div',
          { class: `notice ${kind}`, role: kind === 'error' ? 'alert' : undefined, 'data-testid': kind },
          h(
            'p',
            {},
            label !== undefined && h('strong', {}, label),
            label !== undefined && ' ',
            h('span', { class: 'sentence' }, text),
          ),
          advice !== undefined && h('p', { class: 'advice' }, advice),
        );
      }),
    );
  }

  private updateResult(history: History): void {
    const { finished } = history;
    if (finished === this.shownResult) return;
    this.shownResult = finished;
    this.result.hidden = !finished;
    if (!finished) {
      this.result.replaceChildren();
      return;
    }
    const { language } = this;
    const figure = (label: MessageId, value: Child, note: string | undefined, large = false): HTMLElement =>
      h(
        'div',
        { class: large ? 'figure large' : 'figure' },
        h('dt', {}, this.t(label)),
        h('dd', {}, value, note !== undefined && h('span', { class: 'note' }, note)),
      );
    const tested = finished.testedOnTestSet;
    const best = language.text(message('inEpoch', { epoch: finished.bestEpoch }));
    this.result.replaceChildren(
      h(
        'dl',
        {},
        figure(
          tested ? 'testAccuracy' : 'validationAccuracy',
          h('span', { class: 'value', 'data-testid': 'test-accuracy' }, language.figure(finished.testAccuracy)),
          this.t('lastEpochParameters'),
          true,
        ),
        figure(
          tested ? 'testLoss' : 'validationLoss',
          h('span', { class: 'value', 'data-testid': 'test-loss' }, language.figure(finished.testLoss)),
          undefined,
        ),
        figure(
          'bestValidationAccuracy',
          h(
            'span',
            { class: 'value', 'data-testid': 'best-accuracy' },
            language.figure(finished.bestValidationAccuracy),
          ),
          best,
        ),
        figure('trainingTime', h('span', { class: 'value' }, language.duration(finished.seconds)), undefined),
      ),
      ...(tested ? [] : [h('p', { class: 'note' }, this.t('noTestSet'))]),
    );
  }

  private t(id: MessageId): string {
    return this.language.text({ id, args: {} });
  }
}
