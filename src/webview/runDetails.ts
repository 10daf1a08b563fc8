/**
 * The Run tab: what a run ran on and why, what it was made of, and every setting as it was used, those that the course
 * notes leave open marked as such.
 */
import type { EnginePart, History } from '../core/history';
import { Message, message } from '../core/messages/message';
import { MessageId } from '../core/messages/texts';
import type { StartedEvent } from '../core/contracts/events';
import { Child, h } from './dom';
import type { Language } from './language';
import { settingRows } from './settings';

export class RunDetails {
  readonly element = h('div', { class: 'tab-content' });
  private shown: StartedEvent | undefined | null = null;
  private part: EnginePart | undefined;

  private run = '';

  constructor(private readonly language: Language) {}

  /** @param run the name of the run's folder */
  update(run: string, { started, engines }: History): void {
    const part = engines.at(-1);
    if (started === this.shown && part === this.part && run === this.run) return;
    this.run = run;
    this.shown = started;
    this.part = part;
    if (!started) {
      this.element.replaceChildren(h('p', { class: 'empty' }, this.t('runLater')));
      return;
    }
    this.element.replaceChildren(
      h('div', { class: 'run-details' }, this.facts(started, engines), this.settings(started)),
    );
  }

  private facts(started: StartedEvent, engines: readonly EnginePart[]): HTMLElement {
    const { language } = this;
    const { experiment, examples, data } = started;
    const fact = (id: MessageId, ...value: Child[]) => [h('dt', {}, this.t(id)), h('dd', {}, ...value)];
    const lines = (items: readonly string[]) => h('ul', { class: 'plain' }, ...items.map((item) => h('li', {}, item)));
    return h(
      'section',
      {},
      h('h2', {}, this.t('runHeading')),
      h(
        'dl',
        { class: 'facts', 'data-testid': 'run-facts' },
        ...fact('runName', h('code', {}, this.run)),
        ...fact('runStarted', language.dateTime(started.time)),
        ...fact(
          'runStartedFrom',
          started.startedFrom
            ? lines(started.startedFrom.map((sentence) => language.text(sentence)))
            : this.t('runFromScratch'),
        ),
        ...engines.flatMap((use, index) => [
          ...fact('runEngine', h('code', {}, use.engine)),
          ...(index > 0 ? fact('runEngineFrom', this.position(use)) : []),
          ...fact('runEngineWhy', lines(use.engineReasons.map((reason: Message) => language.text(reason)))),
          ...fact('runDevice', use.device),
          ...fact('runVersions', lines(Object.entries(use.versions).map(([name, version]) => `${name} ${version}`))),
        ]),
        ...fact('runParameters', language.count(started.parameterCount)),
        ...(data
          ? fact('columnData', language.text(message('dataFrom', { title: data.title, source: data.source })))
          : []),
        ...(data?.note ? fact('dataNoteHeading', language.text(data.note)) : []),
        ...(data ? fact('dataTerms', language.text(data.terms)) : []),
        ...fact(
          'runExamples',
          language.text(
            message('runExamplesParts', {
              train: language.count(examples.train),
              validation: language.count(examples.validation),
              test: language.count(examples.test),
            }),
          ),
        ),
        ...fact('runSteps', language.count(started.stepsPerEpoch)),
        ...(started.microBatch && started.microBatch < experiment.batchSize
          ? fact(
              'runMicroBatch',
              language.text(
                message('runMicroBatchParts', {
                  microBatch: language.count(started.microBatch),
                  batchSize: language.count(experiment.batchSize),
                }),
              ),
            )
          : []),
        ...fact('runClasses', language.list(started.classNames)),
        ...fact('runSeed', String(experiment.seed)),
        ...fact('runPreset', h('code', {}, experiment.preset)),
      ),
    );
  }

  private position({ epoch, step }: EnginePart): string {
    const { language } = this;
    return language.text(
      message('runEngineFromPosition', { epoch: language.count(epoch), step: language.count(step) }),
    );
  }

  private settings({ experiment }: StartedEvent): HTMLElement {
    const rows = settingRows(experiment, (value) => this.language.learningRate(value));
    return h(
      'section',
      {},
      h('h2', {}, this.t('settingsHeading')),
      h(
        'div',
        { class: 'scroll', tabindex: 0, role: 'region', 'aria-label': this.t('settingsHeading') },
        h(
          'table',
          { class: 'settings', 'data-testid': 'settings' },
          h('caption', {}, this.t('settingsCaption')),
          h(
            'thead',
            {},
            h(
              'tr',
              {},
              ...(['settingName', 'settingValue'] as const).map((id) => h('th', { scope: 'col' }, this.t(id))),
            ),
          ),
          h(
            'tbody',
            {},
            ...rows.map(({ path, value, assumed }) =>
              h(
                'tr',
                { class: assumed && 'assumed' },
                h('th', { scope: 'row' }, h('code', {}, path)),
                h('td', {}, value, assumed && this.star()),
              ),
            ),
          ),
        ),
      ),
      rows.some(({ assumed }) => assumed) && h('p', { class: 'footnote' }, `* ${this.t('settingAssumed')}`),
    );
  }

  private star(): HTMLElement {
    const label = this.t('settingAssumed');
    return h(
      'span',
      { title: label },
      h('span', { 'aria-hidden': 'true' }, ' *'),
      h('span', { class: 'visually-hidden' }, ` (${label})`),
    );
  }

  private t(id: MessageId): string {
    return this.language.text({ id, args: {} });
  }
}
