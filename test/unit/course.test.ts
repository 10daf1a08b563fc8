/** docs/course.md, walked item by item: what it says of experiments, networks and documents is so. */
import * as fs from 'node:fs';
import { describe, expect, it } from 'vitest';
import { networkOf, parseExperiment, resolveExperiment } from '../../src/core/experiment';
import { parameterCount } from '../../src/core/networks/network';
import type { Network } from '../../src/core/networks/network';

const rows = fs
  .readFileSync('docs/course.md', 'utf8')
  .split('\n')
  .filter((line) => line.startsWith('|') && !/^\| (Item|-)/.test(line))
  .map(
    (line) =>
      line
        .split('|')
        .slice(1, -1)
        .map((cell) => cell.trim()) as [string, string, string],
  );

const claimsOf = (cells: readonly string[]) => [...cells.join(' ').matchAll(/`([^`]+)`/g)].map(([, claim]) => claim!);

const files = fs.readdirSync('experiments').map((name) => `experiments/${name}`);
const experiments = new Map(
  files.map((file) => {
    const experiment = resolveExperiment(parseExperiment(fs.readFileSync(file, 'utf8'), file), 'course');
    return [experiment.id, experiment] as const;
  }),
);
/** As the experiments of the course build them: with their own size and outputs. */
const networks = new Map<string, Network>();
for (const experiment of experiments.values()) {
  // The course's AlexNet is that of cats vs dogs, with one output.
  if (experiment.id !== 'alexnet-mnist' && experiment.id !== 'alexnet-cifar8')
    networks.set(experiment.network.name, networkOf(experiment));
}

const at = (value: unknown, path: string): unknown =>
  path.split('.').reduce<unknown>((inner, key) => (inner as Record<string, unknown> | undefined)?.[key], value);

function check(claim: string): boolean {
  const document = /^(\S+\.\w+) “(.+)”$/.exec(claim);
  if (document) {
    expect(fs.readFileSync(document[1]!, 'utf8')).toContain(document[2]);
    return true;
  }
  const stated = /^([\w-]+): (?:(shape|count) )?(\S+) = (.+)$/.exec(claim);
  if (!stated) return false;
  const [, name, what, key, value] = stated as unknown as [string, string, string | undefined, string, string];
  const expected: unknown = JSON.parse(value);
  const experiment = experiments.get(name);
  if (experiment) {
    expect(at(experiment, key), claim).toEqual(expected);
    return true;
  }
  const network = networks.get(name);
  expect(network, `${name} is an experiment or a network of one`).toBeDefined();
  if (what === 'shape') expect(network!.parameters.find((p) => p.name === key)?.shape, claim).toEqual(expected);
  else if (what === 'count') expect(network!.nodes.filter(({ op }) => op.kind === key).length, claim).toBe(expected);
  else expect([key, parameterCount(network!)], claim).toEqual(['parameters', expected]);
  return true;
}

describe('the notes’ items', () => {
  it('are all there', () => {
    // Fewer rows mean that this page no longer walks the notes.
    expect(rows.length).toBeGreaterThanOrEqual(35);
    const said = rows.flatMap(claimsOf).join('\n');
    for (const id of experiments.keys()) if (id !== 'alexnet-cifar8') expect(said).toContain(`${id}: `);
  });

  it.each(rows)('%s', (...cells) => {
    const checked = claimsOf(cells).map(check);
    expect(checked.filter(Boolean).length, 'something of the row is looked up').toBeGreaterThan(0);
  });
});
