/**
 * Answers a question that the toolkit asks while it is being loaded: whether the browser knows :focus-visible. It tries
 * by putting a <style> element into the page, which the panel's content security policy refuses; the toolkit would then
 * outline whatever was clicked, and every panel would log a violation. Here the probe gets a constructed style sheet
 * instead, so that it finds out the truth. Imported by controls.ts, before the toolkit.
 */

const createElement = document.createElement.bind(document);

Object.defineProperty(document, 'createElement', {
  configurable: true,
  value: (tag: string, options?: ElementCreationOptions) => {
    if (tag !== 'style') return createElement(tag, options);
    return Object.defineProperty(createElement('meta'), 'sheet', { value: new CSSStyleSheet() });
  },
});

/** To be called as soon as the toolkit has been loaded. */
export function endFocusProbe(): void {
  delete (document as { createElement?: unknown }).createElement;
}
