/**
 * The panel's buttons, tabs and progress bar. Buttons and tabs are those of @vscode/webview-ui-toolkit, which is no longer
 * developed: no other file names it, so that replacing it means rewriting this one. (The toolkit styles itself through
 * adoptedStyleSheets and the DOM API, which the panel's content security policy allows.) It has no determinate progress
 * bar, and its data grid is made for editing cells; the bar is drawn here, and tables are plain tables.
 */
import {
  provideVSCodeDesignSystem,
  vsCodeButton,
  vsCodePanels,
  vsCodePanelTab,
  vsCodePanelView,
} from '@vscode/webview-ui-toolkit';
import { h } from './dom';

/** Defines the custom elements; once per page, before any control is made. */
export function registerControls(): void {
  provideVSCodeDesignSystem().register(vsCodeButton(), vsCodePanels(), vsCodePanelTab(), vsCodePanelView());
}

function custom(tag: string, attributes: Readonly<Record<string, string>>): HTMLElement {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
}

export interface Button {
  readonly element: HTMLElement;
  setVisible(visible: boolean): void;
  setEnabled(enabled: boolean): void;
}

export function button(
  label: string,
  options: { readonly appearance: 'primary' | 'secondary'; readonly testId: string },
  pressed: () => void,
): Button {
  const element = custom('vscode-button', { appearance: options.appearance, 'data-testid': options.testId });
  element.textContent = label;
  element.addEventListener('click', () => {
    // The element itself is not a form control; only the <button> inside it refuses clicks when disabled.
    if (!element.hasAttribute('disabled')) pressed();
  });
  return {
    element,
    setVisible: (visible) => element.toggleAttribute('hidden', !visible),
    setEnabled: (enabled) => element.toggleAttribute('disabled', !enabled),
  };
}

export interface Tab {
  /** Becomes the tab's data-testid, 'tab-…', and names it in {@link Tabs.selected}. */
  readonly id: string;
  readonly label: string;
  readonly content: HTMLElement;
}

export interface Tabs {
  readonly element: HTMLElement;
  /** The id of the tab that is shown. */
  readonly selected: string;
}

/** @param selected the id of the tab to begin with; the first one where no tab has it */
export function tabs(
  label: string,
  list: readonly Tab[],
  selected: string | undefined,
  changed: (id: string) => void,
): Tabs {
  const start = list.find((tab) => tab.id === selected) ?? list[0]!;
  let current = start.id;
  const element = custom('vscode-panels', { 'aria-label': label, activeid: `tab-${start.id}` });
  for (const { id, label } of list) {
    const tab = custom('vscode-panel-tab', { id: `tab-${id}`, 'data-testid': `tab-${id}` });
    tab.textContent = label;
    element.append(tab);
  }
  for (const { id, content } of list) {
    const view = custom('vscode-panel-view', { id: `view-${id}` });
    view.append(content);
    element.append(view);
  }
  element.addEventListener('change', (event) => {
    if (event.target !== element) return;
    // The property, as the attribute follows only after the event.
    const id = (element as HTMLElement & { activeid?: string }).activeid?.replace(/^tab-/, '') ?? '';
    if (id === current || !list.some((tab) => tab.id === id)) return;
    current = id;
    changed(id);
  });
  return {
    element,
    get selected() {
      return current;
    },
  };
}

export interface ProgressBar {
  readonly element: HTMLElement;
  /** @param share 0 to 1; undefined while there is nothing to measure by */
  set(share: number | undefined): void;
}

export function progressBar(label: string, testId: string): ProgressBar {
  const bar = h('div', { class: 'progress-bar' });
  const element = h(
    'div',
    {
      class: 'progress',
      role: 'progressbar',
      'aria-label': label,
      'aria-valuemin': 0,
      'aria-valuemax': 100,
      'data-testid': testId,
    },
    bar,
  );
  return {
    element,
    set(share) {
      element.classList.toggle('indeterminate', share === undefined);
      if (share === undefined) {
        element.removeAttribute('aria-valuenow');
        bar.style.removeProperty('transform');
        return;
      }
      element.setAttribute('aria-valuenow', String(Math.round(share * 100)));
      bar.style.setProperty('transform', `scaleX(${share.toFixed(5)})`);
    },
  };
}
