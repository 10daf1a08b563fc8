/**
 * The table of epochs: the figures of the training chart for those who read rather than look. Rows are appended while
 * the run goes on; only a resumption, which takes epochs back, builds them anew.
 */
import type { History } from '../core/history';
import { MessageId } from '../core/messages/texts';
import { message } from '../core/messages/message';
import type { EpochEvent } from '../core/contracts/events';
import { h } from './dom';
import type { Language } from './language';

const columns: readonly MessageId[] = [
  'epoch',
  'trainLoss',
  'trainAccuracy',
  'validationLoss',
  'validationAccuracy',
  'learningRate',
  'epochSeconds',
];

export class EpochTable {
  readonly element: HTMLElement;
  private readonly empty: HTMLElement;
  private readonly table: HTMLElement;
  private readonly body = h('tbody');
  private shown: EpochEvent[] = [];
  private best = -1;

  constructor(private readonly language: Language) {
    const t = (id: MessageId) => language.text({ id, args: {} });
    this.empty = h('p', { class: 'empty' }, t('epochsLater'));
    this.table = h(
      'div',
      { class: 'scroll', tabindex: 0, role: 'region', 'aria-label': t('tabEpochs'), hidden: true },
      h(
        'table',
        { class: 'figures', 'data-testid': 'epoch-table' },
        h('caption', {}, t('epochsCaption')),
        h('thead', {}, h('tr', {}, ...columns.map((id) => h('th', { scope: 'col' }, t(id))))),
        this.body,
      ),
    );
    this.element = h('div', { class: 'tab-content' }, this.empty, this.table);
  }

  update(history: History): void {
    const { epochs } = history;
    const last = this.shown.length - 1;
    if (epochs.length < this.shown.length || (last >= 0 && epochs[last] !== this.shown[last])) {
      this.body.replaceChildren();
      this.shown = [];
      this.best = -1;
    }
    for (const epoch of epochs.slice(this.shown.length)) {
      this.body.append(this.row(epoch));
      this.shown.push(epoch);
    }
    const best = history.bestEpoch ? epochs.indexOf(history.bestEpoch) : -1;
    if (best !== this.best) {
      this.mark(this.best, false);
      this.mark(best, true);
      this.best = best;
    }
    this.empty.hidden = epochs.length > 0;
    this.table.hidden = epochs.length === 0;
  }

  private row(epoch: EpochEvent): HTMLElement {
    const { language } = this;
    return h(
      'tr',
      {},
      h('th', { scope: 'row' }, String(epoch.epoch)),
      h('td', {}, language.figure(epoch.trainLoss)),
      h('td', {}, language.figure(epoch.trainAccuracy)),
      h('td', {}, language.figure(epoch.validationLoss)),
      h('td', {}, language.figure(epoch.validationAccuracy)),
      h('td', {}, language.learningRate(epoch.learningRate)),
      h('td', {}, language.duration(epoch.seconds, true)),
    );
  }

  private mark(index: number, best: boolean): void {
    const row = this.body.children[index];
    if (!row) return;
    row.classList.toggle('best', best);
    row.querySelector('.star')?.remove();
    if (best) {
      const label = this.language.text(message('bestEpochMark'));
      row.children[4]?.prepend(h('span', { class: 'star', role: 'img', 'aria-label': label, title: label }, '★'));
    }
  }
}
