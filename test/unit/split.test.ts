import * as fs from 'node:fs';
import * as path from 'node:path';
import { describe, expect, it } from 'vitest';
import { numpyShuffled } from '../../src/core/numpyShuffle';
import type { ResolvedExperiment } from '../../src/core/experiment';
import type { Part } from '../../src/trainer/data/split';
import { Candidate, drawSplit, readSplit, StoredSplit, writeSplit } from '../../src/trainer/data/split';
import { temporaryFolder } from './drawnImages';

/** What test/golden/split.py has Keras say. */
const golden = JSON.parse(fs.readFileSync(path.join(import.meta.dirname, '../golden/split.json'), 'utf8')) as {
  names: string[];
  splits: { seed: number; training: string[]; validation: string[] }[];
  thousand: number[];
};

type Asked = { train: number; validation: number; test?: number };
const experiment = (
  split: Asked,
  seed = 1,
  limit?: number,
): Pick<ResolvedExperiment, 'dataset' | 'seed' | 'limit'> => ({
  dataset: { name: 'cat-dog', split },
  seed,
  limit,
});
const course: Asked = { train: 0.8, validation: 0.1, test: 0.1 };

/** Candidates by class and, where given, part: 'cat' → [n in no part], or {train: n, test: m}. */
function candidates(...classes: (number | Partial<Record<Part, number>>)[]): Candidate[] {
  const made = classes.flatMap((asked, label) =>
    typeof asked === 'number'
      ? Array.from({ length: asked }, (_, i) => ({ name: `${label}/${String(i).padStart(5, '0')}`, label, bytes: 1 }))
      : (Object.entries(asked) as [Part, number][]).flatMap(([part, n]) =>
          Array.from({ length: n }, (_, i) => ({ name: `${part}/${label}/${i}`, label, bytes: 1, part })),
        ),
  );
  return made.sort((a, b) => (a.name < b.name ? -1 : 1));
}

function draw(images: Candidate[], asked: ReturnType<typeof experiment>) {
  const allotments = drawSplit(images, ['cat', 'dog'], asked, 'here');
  const names = (part: Part) =>
    allotments.filter((a) => a.part === part).flatMap(({ order, wanted }) => order.slice(0, wanted).map((e) => e.name));
  const count = (part: Part, label: number) =>
    allotments.filter((a) => a.part === part && a.label === label).reduce((n, { wanted }) => n + wanted, 0);
  return { names, count };
}

describe('a split', () => {
  it('has the notes’ proportions in every class and no image twice', () => {
    const { names, count } = draw(candidates(1000, 500), experiment(course));
    expect([0, 1].map((label) => [count('train', label), count('validation', label), count('test', label)])).toEqual([
      [800, 100, 100],
      [400, 50, 50],
    ]);
    const all = [...names('train'), ...names('validation'), ...names('test')];
    expect(new Set(all).size).toBe(1500);
  });

  it('is a function of the seed', () => {
    const images = candidates(200, 200);
    const once = draw(images, experiment(course)).names('test');
    expect(draw(images, experiment(course)).names('test')).toEqual(once);
    expect(draw(images, experiment(course, 2)).names('test')).not.toEqual(once);
    // A random choice, not the first or the last ones.
    expect(once.some((name) => Number(name.slice(2)) < 100) && once.some((name) => Number(name.slice(2)) >= 100)).toBe(
      true,
    );
  });

  it('under a limit is a part of the whole one, in proportion', () => {
    const images = candidates(1000, 1000);
    const whole = draw(images, experiment(course));
    const limited = draw(images, experiment(course, 1, 400));
    expect([limited.count('train', 0), limited.count('train', 1)]).toEqual([200, 200]);
    expect([limited.count('validation', 0), limited.count('test', 1)]).toEqual([25, 25]);
    for (const part of ['train', 'validation', 'test'] as const) {
      const all = new Set(whole.names(part));
      expect(limited.names(part).every((name) => all.has(name))).toBe(true);
    }
  });

  it('keeps what the folder assigns and splits the rest off its training images', () => {
    const images = candidates({ train: 900, test: 100 }, { train: 900, test: 100 });
    const { names, count } = draw(images, experiment(course));
    expect(names('test').every((name) => name.startsWith('test/'))).toBe(true);
    expect([count('train', 0), count('validation', 0), count('test', 0)]).toEqual([800, 100, 100]);
    expect([...names('train'), ...names('validation')].every((name) => name.startsWith('train/'))).toBe(true);
  });

  it('has no test part where the experiment asks for none', () => {
    const { count } = draw(candidates(100, 100), experiment({ train: 0.8, validation: 0.2 }));
    expect([count('train', 0), count('validation', 0), count('test', 0)]).toEqual([80, 20, 0]);
  });

  it('of a folder is Keras’s where the experiment says so', () => {
    const classes = ['cat', 'dog'];
    const images = golden.names
      .map((name): Candidate => ({ name, label: classes.indexOf(name.split('/')[0]!), bytes: 1 }))
      .sort((a, b) => (a.name < b.name ? -1 : 1));
    for (const { seed, training, validation } of golden.splits) {
      const asked = {
        dataset: { name: 'cat-dog', split: { train: 0.8, validation: 0.2 }, splitBy: 'keras' },
        seed,
      } as const;
      const { names } = draw(images, { ...asked, limit: undefined });
      // By class: which images are in a part is what counts, the order is drawn anew in each epoch.
      expect(names('train').sort()).toEqual([...training].sort());
      expect(names('validation').sort()).toEqual([...validation].sort());
    }
    const thousand = Array.from({ length: 1000 }, (_, i) => i);
    expect(numpyShuffled(thousand, 42)).toEqual(golden.thousand);
  });

  it('takes numbers of images too', () => {
    const { count } = draw(candidates(100, 300), experiment({ train: 200, validation: 40 }));
    expect([count('train', 0), count('train', 1), count('validation', 0), count('validation', 1)]).toEqual([
      50, 150, 10, 30,
    ]);
  });

  it('leaves no part of a small class empty, and says where that cannot be', () => {
    const { count } = draw(candidates(3, 5), experiment(course));
    expect([count('train', 0), count('validation', 0), count('test', 0)]).toEqual([1, 1, 1]);
    expect([count('train', 1), count('validation', 1), count('test', 1)]).toEqual([3, 1, 1]);
    expect(() => draw(candidates(1, 1), experiment(course))).toThrow(
      'here has 1 images of “cat”; splitting them takes at least 3. Add images, or choose another folder.',
    );
    expect(() => draw(candidates(50, 50), experiment({ train: 90, validation: 20 }))).toThrow(
      /asks for 110 .* has 100/,
    );
  });
});

describe('split.json', () => {
  const split: StoredSplit = {
    format: 1,
    source: 'folder',
    root: '/images',
    classNames: ['cat', 'dog'],
    parts: {
      train: [
        { name: 'cat/貓 1.jpg', label: 0, bytes: 10 },
        { name: 'dog/2.jpg', label: 1, bytes: 11 },
      ],
      validation: [{ name: 'dog/3.jpg', label: 1, bytes: 12 }],
      test: [],
    },
  };
  const text = (run: string) => fs.readFileSync(path.join(run, 'split.json'), 'utf8');

  it('gives back what was written', () => {
    const run = temporaryFolder();
    expect(readSplit(run)).toBeUndefined();
    writeSplit(run, split);
    expect(readSplit(run)).toEqual(split);
    const marked = { ...split, pixels: 2 };
    writeSplit(run, marked);
    expect(readSplit(run)).toEqual(marked);
    // One image a line.
    expect(
      text(run)
        .split('\n')
        .filter((line) => line.includes('.jpg')),
    ).toHaveLength(3);
  });

  it.each([
    ['cat/貓 1.jpg', '../secret.jpg', /name/],
    ['cat/貓 1.jpg', '/etc/passwd', /name/],
    ['cat/貓 1.jpg', 'cat\\\\..\\\\..\\\\x.jpg', /name/],
    ['"format":1', '"format":2', /format 2/],
    ['"cat/貓 1.jpg",0', '"cat/1.jpg",7', /label 7/],
  ])('with %s changed to %s is refused', (from, to, reason) => {
    const run = temporaryFolder();
    writeSplit(run, split);
    const altered = text(run).replace(from, to);
    expect(altered).not.toBe(text(run));
    fs.writeFileSync(path.join(run, 'split.json'), altered);
    expect(() => readSplit(run)).toThrow(reason);
  });
});
