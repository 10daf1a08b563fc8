/** Words from a folder as they are shown: nothing in them steers a terminal, turns the writing round or becomes a link. */
import { describe, expect, it } from 'vitest';
import { printable, unlinked } from '../../src/core/messages/plain';
import { texts } from '../../src/core/messages/texts';

/** What VS Code's notifications take for a link (src/vs/base/common/linkedText.ts). */
const link = /\[([^\]]+)\]\(((?:https?:\/\/|command:|file:)[^)\s]+)(?: (["'])(.+?)(\3))?\)/i;

describe('printable', () => {
  it('shows control characters instead of obeying them', () => {
    expect(printable('a\u001b[2J\u001b]0;title\u0007b')).toBe('a␛[2J␛]0;title␇b');
    expect(printable('over\rwritten\r\nnext\tcell\u2028line')).toBe('over written next cell line');
    expect(printable('\u007f\u009b31m')).toBe('␡�31m');
    for (let code = 0; code < 0xa0; code++) {
      if (code >= 0x20 && code < 0x7f) continue;
      expect(printable(`x${String.fromCharCode(code)}y`)).toMatch(/^x[ \u2400-\u2421\ufffd]y$/u);
    }
  });

  it('leaves out what turns the writing round, and halves of characters', () => {
    expect(printable('cat\u202egnp.exe\u2066\u200f\u061c')).toBe('catgnp.exe');
    expect(printable('half \ud800 of one')).toBe('half � of one');
  });

  it('leaves lines where a log needs them, and nothing else', () => {
    expect(printable('Error: x\r\n\tat y\u001b[1m\rz', 'lines')).toBe('Error: x\n\tat y␛[1m z');
  });

  it('changes nothing of ordinary text, nor what it has made itself', () => {
    for (const text of ['LeNet-5 · 影像分類 “été” 👩‍🔬 [0.98] (best) $5', 'שלום']) expect(printable(text)).toBe(text);
    const made = printable('a\u001b\u202e\u0000\n');
    expect(printable(made)).toBe(made);
  });
});

describe('unlinked', () => {
  it.each([
    '[Go on](command:workbench.action.quit)',
    '[Go on](COMMAND:x "a title")',
    'see [x](https://example.org) and [y](file:///etc/passwd)',
    '![image](https://example.org/x.png)',
    // What is left out must not make a link of what was none.
    '[Go on]\u202e(command:x)',
    '[[a]](command:x)',
  ])('leaves no link in %j', (text) => {
    expect(unlinked(text)).not.toMatch(link);
    expect(unlinked(text)).not.toMatch(/\]\(/);
  });

  it('keeps the words, and makes no icon of them', () => {
    expect(unlinked('[Go on](command:x)')).toBe('[Go on] (command:x)');
    expect(unlinked('$(error) $\u200f(x)')).toBe('$ (error) $ (x)');
    expect(unlinked('f(x) [0] (y)')).toBe('f(x) [0] (y)');
  });

  it('is needed for values alone: no text of ours holds a link or an icon', () => {
    for (const text of Object.values(texts)) expect(unlinked(text.replace(/\n/g, ' '))).toBe(text.replace(/\n/g, ' '));
  });
});
