/**
 * The confusion matrix of the final test, as a table whose cells are tinted by the share of their row, with each class's
 * share recognised and the most frequent mistake in words.
 */
import type { History } from '../core/history';
import { message } from '../core/messages/message';
import type { FinishedEvent } from '../core/contracts/events';
import { h } from './dom';
import type { Language } from './language';

export class ConfusionMatrix {
  readonly element = h('div', { class: 'tab-content' });
  private shown: FinishedEvent | undefined | null = null;

  constructor(private readonly language: Language) {}

  update({ finished, started }: History): void {
    if (finished === this.shown) return;
    this.shown = finished;
    if (!finished) {
      this.element.replaceChildren(h('p', { class: 'empty' }, this.language.text(message('confusionLater'))));
      return;
    }
    const { confusion } = finished;
    const names = confusion.map((_, i) => started?.classNames[i] ?? String(i));
    this.element.replaceChildren(
      h('p', {}, this.mistake(confusion, names)),
      // Not the table's caption, which could be no narrower than the table.
      h('p', { id: 'confusion-explanation', class: 'explanation' }, this.language.text(message('confusionCaption'))),
      this.table(confusion, names),
    );
  }

  private table(confusion: FinishedEvent['confusion'], names: readonly string[]): HTMLElement {
    const { language } = this;
    const rows = confusion.map((row, truth) => {
      const total = row.reduce((sum, count) => sum + count, 0);
      const cells = row.map((count, chosen) => {
        const share = total ? count / total : 0;
        const cell = h(
          'td',
          {
            class: `heat${truth === chosen ? ' right' : ''}${count === 0 ? ' none' : ''}`,
            title: language.percent(share),
          },
          language.count(count),
        );
        // The cube root keeps the few mistakes of a good network visible beside its full diagonal.
        cell.style.setProperty('--heat', Math.cbrt(share).toFixed(3));
        return cell;
      });
      const recall = h('td', { class: 'recall' }, total ? language.percent(row[truth]! / total) : '–');
      return h('tr', {}, h('th', { scope: 'row' }, names[truth]), ...cells, recall);
    });
    const text = language.text.bind(language);
    return h(
      'div',
      { class: 'scroll', tabindex: 0, role: 'region', 'aria-label': text(message('tabConfusion')) },
      h(
        'table',
        { class: 'confusion', 'data-testid': 'confusion', 'aria-describedby': 'confusion-explanation' },
        h(
          'thead',
          {},
          h(
            'tr',
            {},
            h('td'),
            h('th', { scope: 'colgroup', colspan: names.length, class: 'group' }, text(message('confusionPredicted'))),
            h('td'),
          ),
          h(
            'tr',
            {},
            h('th', { scope: 'col', class: 'corner' }, text(message('confusionTrue'))),
            ...names.map((name) => h('th', { scope: 'col' }, name)),
            h(
              'th',
              { scope: 'col', class: 'recall', title: text(message('confusionRecallExplained')) },
              text(message('confusionRecall')),
            ),
          ),
        ),
        h('tbody', {}, ...rows),
      ),
    );
  }

  private mistake(confusion: FinishedEvent['confusion'], names: readonly string[]): string {
    let truth = -1;
    let chosen = -1;
    confusion.forEach((row, i) =>
      row.forEach((count, j) => {
        if (i !== j && count > (truth < 0 ? 0 : confusion[truth]![chosen]!)) [truth, chosen] = [i, j];
      }),
    );
    if (truth < 0) return this.language.text(message('confusionNone'));
    const row = confusion[truth]!;
    return this.language.text(
      message('confusionMost', {
        count: this.language.count(row[chosen]!),
        total: this.language.count(row.reduce((sum, count) => sum + count, 0)),
        truth: names[truth]!,
        chosen: names[chosen]!,
      }),
    );
  }
}
