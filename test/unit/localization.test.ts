/** Every text has its two Chinese translations, with the same placeholders, and no translation is left over. */
import * as fs from 'node:fs';
import * as path from 'node:path';
import { describe, expect, test } from 'vitest';
import { loadExperiments } from '../../src/disk/experimentFiles';
import { texts } from '../../src/core/messages/texts';

const root = path.join(import.meta.dirname, '../..');
const readJson = (file: string) => JSON.parse(fs.readFileSync(path.join(root, file), 'utf8')) as Record<string, string>;
const placeholders = (text: string) => [...text.matchAll(/\{\w+\}/g)].map(([name]) => name).sort();

/** Titles and questions of experiments are shown translated too. */
const ofExperiments = loadExperiments(path.join(root, 'experiments')).flatMap(({ experiment }) =>
  experiment ? [experiment.title, experiment.question] : [],
);
const english = [...new Set<string>([...Object.values(texts), ...ofExperiments])].filter(Boolean);
const manifest = readJson('package.nls.json');

describe.each(['zh-tw', 'zh-cn'])('%s', (language) => {
  const bundle = readJson(`l10n/bundle.l10n.${language}.json`);
  const nls = readJson(`package.nls.${language}.json`);

  test('translates every text', () => {
    expect(english.filter((text) => !bundle[text])).toEqual([]);
  });

  test('translates nothing that is not said', () => {
    expect(Object.keys(bundle).filter((text) => !english.includes(text))).toEqual([]);
  });

  test('keeps the placeholders', () => {
    const changed = Object.entries(bundle).filter(
      ([text, translation]) => placeholders(text).join() !== placeholders(translation).join(),
    );
    expect(changed).toEqual([]);
  });

  test('has the texts of package.json', () => {
    expect(Object.keys(nls).sort()).toEqual(Object.keys(manifest).sort());
    expect(Object.entries(nls).filter(([, text]) => !text.trim())).toEqual([]);
  });

  test('is written in the characters of its country', () => {
    // Characters of everyday words that differ between the two ways of writing.
    const foreign = language === 'zh-tw' ? /[训练网络实验运数据这]/ : /[訓練網絡實驗運數據這]/;
    expect([...Object.values(bundle), ...Object.values(nls)].filter((text) => foreign.test(text))).toEqual([]);
  });
});

test('package.json names no text that does not exist, and none exists that it does not name', () => {
  const named = [...fs.readFileSync(path.join(root, 'package.json'), 'utf8').matchAll(/"%([^%"]+)%"/g)].map(
    (m) => m[1],
  );
  expect([...new Set(named)].sort()).toEqual(Object.keys(manifest).sort());
});
