/**
 * ESLint's rule `convlab/floors`, which eslint.config.mjs switches on for src: a file imports from its own floor of the
 * house or from those that its floor stands on (docs/architecture.md), and no file reaches itself by its imports. Imports
 * of types count too: they are what a reader has to follow, though no program runs into them.
 */
import * as fs from 'node:fs';
import * as path from 'node:path';
import ts from 'typescript';

/** A floor's folder or file in src, and the floors that it stands on. */
const floors = [
  { name: 'core', at: 'core/', on: [] },
  { name: 'disk', at: 'disk/', on: ['core'] },
  { name: 'trainerClient', at: 'trainerClient.ts', on: ['core', 'disk'] },
  { name: 'trainer', at: 'trainer/', on: ['core', 'disk', 'trainerClient'] },
  { name: 'terminal', at: 'terminal/', on: ['core', 'disk', 'trainerClient', 'trainer'] },
  { name: 'host', at: 'host/', on: ['core', 'disk', 'trainerClient'] },
  { name: 'extension', at: 'extension.ts', on: ['core', 'disk', 'trainerClient', 'host'] },
  { name: 'webview', at: 'webview/', on: ['core'] },
];

/** Where a relative import leads; undefined where no TypeScript file is there. */
function resolve(file, specifier) {
  if (!specifier.startsWith('.')) return undefined;
  const target = path.resolve(path.dirname(file), specifier);
  return [target, `${target}.ts`, path.join(target, 'index.ts')].find(
    (candidate) => candidate.endsWith('.ts') && fs.existsSync(candidate),
  );
}

/** Every import, export from, import() and import type of a text. */
const importsIn = (text) => ts.preProcessFile(text, true, true).importedFiles;

/** Files that a file on the disk imports. An editor keeps ESLint for hours, so a changed file is read again. */
const known = new Map();
function importedBy(file) {
  const { mtimeMs } = fs.statSync(file);
  const before = known.get(file);
  if (before?.mtimeMs === mtimeMs) return before.targets;
  const targets = importsIn(fs.readFileSync(file, 'utf8')).flatMap(({ fileName }) => resolve(file, fileName) ?? []);
  known.set(file, { mtimeMs, targets });
  return targets;
}

/** The shortest way of imports between two files, with both; undefined where there is none. */
function way(from, to) {
  const cameFrom = new Map([[from, undefined]]);
  for (const file of cameFrom.keys()) {
    if (file === to) {
      const files = [];
      for (let at = file; at; at = cameFrom.get(at)) files.unshift(at);
      return files;
    }
    for (const target of importedBy(file)) if (!cameFrom.has(target)) cameFrom.set(target, file);
  }
  return undefined;
}

/** @type {import('eslint').Rule.RuleModule} */
export const floorsRule = {
  meta: {
    type: 'problem',
    schema: [],
    messages: {
      upwards: '{{from}} may not import {{to}}: it stands on {{on}}.',
      homeless:
        '{{file}} is on no floor of the house: give it one in scripts/eslintFloors.mjs and docs/architecture.md.',
      circle: 'A circle of imports: {{files}}.',
    },
  },
  create(context) {
    const src = path.join(context.cwd, 'src') + path.sep;
    const inSrc = (file) => path.relative(src, file).split(path.sep).join('/');
    const floorOf = (file) =>
      floors.find(({ at }) => (at.endsWith('/') ? inSrc(file).startsWith(at) : inSrc(file) === at));
    return {
      Program(program) {
        const file = context.filename;
        const from = floorOf(file);
        if (!from) return context.report({ node: program, messageId: 'homeless', data: { file: inSrc(file) } });
        for (const { fileName, pos, end } of importsIn(context.sourceCode.text)) {
          const target = resolve(file, fileName);
          if (!target?.startsWith(src)) continue;
          const at = (index) => context.sourceCode.getLocFromIndex(index);
          const loc = { start: at(pos), end: at(end) };
          const to = floorOf(target);
          if (to && to !== from && !from.on.includes(to.name)) {
            const on = from.on.join(', ') || 'nothing';
            context.report({ loc, messageId: 'upwards', data: { from: from.name, to: to.name, on } });
          }
          const back = way(target, file);
          if (back) {
            const files = [file, ...back].map(inSrc).join(' → ');
            context.report({ loc, messageId: 'circle', data: { files } });
          }
        }
      },
    };
  },
};
