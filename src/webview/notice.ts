/** What a page says when it cannot go on: a sentence and what to do next, in place of everything else. Both pages use it. */
import { message } from '../core/messages/message';
import { protocolVersion } from '../core/contracts/events';
import { h } from './dom';
import { Language } from './language';

export function showError(root: HTMLElement, sentence: string, advice: string): void {
  root.replaceChildren(
    h(
      'div',
      { class: 'notice error', role: 'alert', 'data-testid': 'error' },
      h('p', {}, sentence),
      h('p', { class: 'advice' }, advice),
    ),
  );
}

/** In English, since what comes from another version cannot be trusted to bring translations. */
export function versionsDiffer(root: HTMLElement, theirs: number): void {
  const language = new Language('en', {});
  showError(
    root,
    language.text(message('panelVersion', { ours: protocolVersion, theirs })),
    language.text(message('panelVersionAdvice')),
  );
}
