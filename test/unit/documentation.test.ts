/** The documents that name files: what they name is there, so that whoever follows them arrives. */
import * as fs from 'node:fs';
import * as path from 'node:path';
import { expect, it } from 'vitest';

/** What is made by a command and is in no clone. */
const made = /^(dist|out|node_modules|\.convlab)(\/|$)/;

/** Paths of this repository between backticks: they begin with one of its folders; `x.{a,b}` and `*` are no single file. */
function pathsIn(text: string): string[] {
  const folders = fs.readdirSync('.', { withFileTypes: true }).filter((entry) => entry.isDirectory());
  const words = [...text.matchAll(/`([^`\n]+)`/g)].flatMap(([, code]) => code!.split(/\s+/));
  return words
    .filter((word) => folders.some(({ name }) => word.startsWith(`${name}/`)))
    .filter((word) => !made.test(word) && !/[*{<…[]|[A-Z]{3,}/.test(word));
}

it.each(['docs/architecture.md', 'CONTRIBUTING.md', 'README.md', 'SECURITY.md'])(
  '%s names only files that are there',
  (document) => {
    const named = pathsIn(fs.readFileSync(document, 'utf8'));
    expect(named.filter((name) => !fs.existsSync(name))).toEqual([]);
  },
);

it('the architecture names enough files for that to mean something', () => {
  const named = pathsIn(fs.readFileSync('docs/architecture.md', 'utf8'));
  expect(new Set(named).size).toBeGreaterThan(15);
});

it('links between documents lead somewhere', () => {
  const documents = [
    'README.md',
    'CONTRIBUTING.md',
    'SECURITY.md',
    ...fs.readdirSync('docs').map((name) => `docs/${name}`),
  ];
  const broken = documents
    .filter((name) => name.endsWith('.md'))
    .flatMap((document) =>
      [...fs.readFileSync(document, 'utf8').matchAll(/\]\((?!https?:|#|mailto:)([^)#\s]+)/g)]
        .map(([, target]) => path.join(path.dirname(document), target!))
        .filter((target) => !fs.existsSync(target)),
    );
  expect(broken).toEqual([]);
});
