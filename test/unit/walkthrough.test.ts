/** The walkthrough: what its links, events and pictures name is there. The end-to-end tests follow one of its links. */
import * as fs from 'node:fs';
import { expect, test } from 'vitest';

interface Step {
  readonly id: string;
  readonly title: string;
  readonly description: string;
  readonly media: { readonly image: string | Record<string, string>; readonly altText: string };
  readonly completionEvents: readonly string[];
}
const { contributes } = JSON.parse(fs.readFileSync('package.json', 'utf8')) as {
  contributes: {
    commands: { command: string }[];
    views: Record<string, { id: string }[]>;
    walkthroughs: { id: string; title: string; description: string; steps: Step[] }[];
  };
};
const views = Object.values(contributes.views).flatMap((list) => list.map(({ id }) => id));
const commands = new Set([
  ...contributes.commands.map(({ command }) => command),
  ...views.map((view) => `${view}.focus`),
]);
const [walkthrough] = contributes.walkthroughs;
const { steps } = walkthrough!;

test('has five steps, of which the last is a trained network', () => {
  expect(steps.map(({ id }) => id)).toEqual(['experiments', 'data', 'predict', 'train', 'read']);
  // Set by the window when a run finishes (notices.ts).
  expect(steps.at(-1)!.completionEvents).toEqual(['onContext:convlab.trained']);
});

test.each(['package.nls.json', 'package.nls.zh-tw.json', 'package.nls.zh-cn.json'])('%s links to commands', (file) => {
  const nls = JSON.parse(fs.readFileSync(file, 'utf8')) as Record<string, string>;
  const text = (key: string) => nls[key.replaceAll('%', '')] ?? '';
  const linked = steps.flatMap(({ description }) =>
    [...text(description).matchAll(/\(command:([^)]+)\)/g)].map(([, command]) => command!),
  );
  expect(linked).toHaveLength(4);
  expect(linked.filter((command) => !commands.has(command))).toEqual([]);
  for (const { title, media } of steps) expect([text(title), text(media.altText)]).not.toContain('');
});

test('shows pictures that the package has', () => {
  const pictures = steps.flatMap(({ media: { image } }) =>
    typeof image === 'string' ? [image] : Object.values(image),
  );
  expect(pictures.filter((picture) => !fs.existsSync(picture))).toEqual([]);
  // .vsix files hold these folders (.vscodeignore).
  expect(pictures.filter((picture) => !/^(docs\/images|media)\//.test(picture))).toEqual([]);
});

test('waits for what can happen', () => {
  const events = steps.flatMap(({ completionEvents }) => completionEvents);
  const possible = (event: string) => {
    const [kind, what = ''] = event.split(':') as [string, string?];
    if (kind === 'onCommand') return commands.has(what);
    if (kind === 'onView') return views.includes(what);
    return event === 'onStepSelected' || event === 'onContext:convlab.trained';
  };
  expect(events.filter((event) => !possible(event))).toEqual([]);
});
