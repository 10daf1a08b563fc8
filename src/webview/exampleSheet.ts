/**
 * A contact sheet: training images as they are and as augmentation makes them in each epoch, or, where nothing augments
 * them, as the network meets them. The panel has one in a tab (panel.ts), and one has a page of its own (examples.ts).
 */
import { message } from '../core/messages/message';
import { MessageId } from '../core/messages/texts';
import type { ExamplesAnswer } from '../core/contracts/pages';
import type { ExampleSheet } from '../core/contracts/tasks';
import { h } from './dom';
import type { Language } from './language';

/** Images of at most so many pixels are shown enlarged, each pixel a square. */
const smallSize = 64;

type Example = ExampleSheet['examples'][number];

export class ExampleSheetView {
  readonly element = h('div', { class: 'tab-content example-sheet', 'data-testid': 'examples', 'aria-live': 'polite' });

  constructor(private readonly language: Language) {}

  show(answer: ExamplesAnswer): void {
    switch (answer.kind) {
      case 'status':
        return this.element.replaceChildren(h('p', { class: 'empty' }, this.language.text(answer.message)));
      case 'failed':
        return this.element.replaceChildren(
          h(
            'div',
            { class: 'notice error', role: 'alert' },
            h('p', {}, this.language.text(answer.message)),
            answer.advice && h('p', { class: 'advice' }, this.language.text(answer.advice)),
          ),
        );
      case 'sheet':
        return this.element.replaceChildren(...this.sheet(answer.sheet));
    }
  }

  private sheet(sheet: ExampleSheet): HTMLElement[] {
    const { title, source, terms, note } = sheet.provenance;
    const used = this.language.text(message('dataUsed', { title, source, terms: this.language.text(terms) }));
    const more = note && this.language.text(message('dataNote', { note: this.language.text(note) }));
    this.element.classList.toggle('small', sheet.size <= smallSize);
    return [
      sheet.epochs.length > 0 ? this.augmented(sheet) : this.plain(sheet),
      h('p', { class: 'footnote' }, [used, more].filter(Boolean).join(' ')),
    ];
  }

  private augmented({ epochs, examples }: ExampleSheet): HTMLElement {
    const heads = [
      this.t('examplesAsIs'),
      ...epochs.map((epoch) => `${this.t('epoch')} ${this.language.count(epoch)}`),
    ];
    return h(
      'div',
      { class: 'scroll', tabindex: 0, role: 'region', 'aria-label': this.t('tabExamples') },
      h(
        'table',
        { class: 'examples', 'data-testid': 'example-table' },
        h('caption', {}, this.t('examplesAugmented')),
        h('thead', {}, h('tr', {}, h('td', {}), ...heads.map((head) => h('th', { scope: 'col' }, head)))),
        h(
          'tbody',
          {},
          ...examples.map((example) =>
            h(
              'tr',
              {},
              h('th', { scope: 'row', title: example.name }, example.className),
              ...example.images.map((image, i) => h('td', {}, this.image(example, image, heads[i]!))),
            ),
          ),
        ),
      ),
    );
  }

  private plain({ examples }: ExampleSheet): HTMLElement {
    return h(
      'div',
      {},
      h('p', { class: 'caption' }, this.t('examplesPlain')),
      h(
        'div',
        { class: 'example-grid', 'data-testid': 'example-grid' },
        ...examples.map((example) =>
          h('figure', {}, this.image(example, example.images[0]!, ''), h('figcaption', {}, example.className)),
        ),
      ),
    );
  }

  private image({ name, className }: Example, source: string, what: string): HTMLElement {
    const alt = [className, what].filter(Boolean).join(', ');
    return h('img', { src: source, alt, title: `${name}${what && ` – ${what}`}` });
  }

  private t(id: MessageId): string {
    return this.language.text({ id, args: {} });
  }
}
