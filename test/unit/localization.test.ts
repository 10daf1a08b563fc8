import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { texts } from '../../src/messages';

const placeholders = (text: string) => [...text.matchAll(/\{\w+\}/g)].map((m) => m[0]).sort();

describe.each(['zh-tw', 'zh-cn'])('the %s translation', (language) => {
  const bundle = JSON.parse(readFileSync(`l10n/bundle.l10n.${language}.json`, 'utf8')) as Record<string, string>;

  it('has every text, with the same placeholders', () => {
    for (const text of Object.values(texts)) {
      expect(bundle, text).toHaveProperty([text]);
      expect(placeholders(bundle[text]!), text).toEqual(placeholders(text));
    }
  });

  it('has no text that is no longer used', () => {
    const known = new Set<string>(Object.values(texts));
    expect(Object.keys(bundle).filter((text) => !known.has(text))).toEqual([]);
  });
});
