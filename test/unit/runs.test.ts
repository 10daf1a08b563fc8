import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { resolveExperiment } from '../../src/core/experiment';
import { findExperiment } from '../../src/disk/experimentFiles';
import { listRuns, lockHolder, readEvents, readHistory, RunFolder, summarize } from '../../src/disk/runs';
import { runsFolderOf } from '../../src/disk/places';

const experiment = resolveExperiment(findExperiment('experiments', 'lenet5-mnist'), 'quick');
let workspace: string;
beforeEach(() => (workspace = fs.mkdtempSync(path.join(os.tmpdir(), 'convlab-runs-'))));
afterEach(() => fs.rmSync(workspace, { recursive: true, force: true }));

it('gives two runs that start in the same second folders of their own, and hides them from git', () => {
  const now = new Date('2026-01-02T03:04:05Z');
  const runs = [1, 2].map(() => RunFolder.create(runsFolderOf(workspace), experiment, '0', undefined, now));
  expect(runs.map((r) => path.basename(r.folder))).toEqual([
    '20260102-030405-lenet5-mnist',
    '20260102-030405-lenet5-mnist-2',
  ]);
  expect(fs.readFileSync(path.join(workspace, '.convlab', '.gitignore'), 'utf8')).toBe('*\n');
  runs.forEach((r) => r.close());
  expect(listRuns(runsFolderOf(workspace))).toHaveLength(2);
});

it('is locked while it is open, and a lock left by a dead process is taken over', () => {
  const run = RunFolder.create(runsFolderOf(workspace), experiment, '0');
  expect(lockHolder(run.folder)).toBe(process.pid);
  expect(() => RunFolder.open(run.folder)).toThrow(/being trained by another process/);
  run.close();
  expect(lockHolder(run.folder)).toBeUndefined();
  fs.writeFileSync(path.join(run.folder, 'lock'), '999999999');
  RunFolder.open(run.folder).close();
});

it('reads past a torn line and starts a new one behind it', () => {
  const run = RunFolder.create(runsFolderOf(workspace), experiment, '0');
  run.append([{ type: 'resumed', time: '', epoch: 1, step: 0 }]);
  run.close();
  fs.appendFileSync(path.join(run.folder, 'metrics.jsonl'), '{"type":"step","epo');
  const again = RunFolder.open(run.folder);
  again.append([{ type: 'stopped', reason: 'user', epoch: 1, step: 3 }]);
  again.close();
  expect(readEvents(run.folder).map((e) => e.type)).toEqual(['resumed', 'stopped']);
  expect(summarize(run.folder).state).toBe('stopped');
});

it('passes over what is not a run', () => {
  fs.mkdirSync(path.join(runsFolderOf(workspace), 'junk'), { recursive: true });
  expect(listRuns(runsFolderOf(workspace))).toEqual([]);
  expect(listRuns(path.join(workspace, 'nowhere'))).toEqual([]);
});

it('reads a run.json with a byte-order mark, and refuses one beyond all bounds without delaying the list', () => {
  const runs = runsFolderOf(workspace);
  const folders = [1, 2, 3, 4].map(() => {
    const run = RunFolder.create(runs, experiment, '0');
    run.close();
    return run.folder;
  });
  const files = folders.map((folder) => path.join(folder, 'run.json'));
  const text = fs.readFileSync(files[0]!, 'utf8');
  fs.writeFileSync(files[0]!, `\uFEFF${text}`);
  expect(summarize(folders[0]!).record.experiment.id).toBe(experiment.id);

  const deep = '['.repeat(20_000) + ']'.repeat(20_000);
  fs.writeFileSync(files[1]!, text.replace(/"title": "[^"]*"/, `"title": ${deep}`));
  expect(() => summarize(folders[1]!)).toThrow(/nested deeper/);
  fs.writeFileSync(files[2]!, text + ' '.repeat(2 << 20));
  expect(() => summarize(folders[2]!)).toThrow(/larger than/);

  const record = JSON.parse(text) as { experiment: Record<string, unknown> };
  for (let i = 0; i < 20_000; i++) record.experiment[`unknown${i}`] = i;
  fs.writeFileSync(files[3]!, JSON.stringify(record));
  let sentence = '';
  try {
    summarize(folders[3]!);
  } catch (error) {
    sentence = (error as Error).message;
  }
  expect(sentence).toContain('unknown19');
  expect(sentence).not.toContain('unknown20');
  expect(listRuns(runs).map((run) => run.folder)).toEqual([folders[0]]);
});

it('refuses events beyond all bounds, and links to what has no end, without delaying the list', () => {
  const runs = runsFolderOf(workspace);
  const create = () => {
    const run = RunFolder.create(runs, experiment, '0');
    run.close();
    return run.folder;
  };
  const whole = create();
  const events = (fill: (file: string) => void) => {
    const folder = create();
    const file = path.join(folder, 'metrics.jsonl');
    fs.rmSync(file);
    fill(file);
    return folder;
  };
  const deep = '['.repeat(20_000) + ']'.repeat(20_000);
  // Sparse: two gigabytes that take no room.
  const huge = events((file) => {
    fs.writeFileSync(file, '');
    fs.truncateSync(file, 2 ** 31);
  });
  expect(() => readHistory(huge)).toThrow(/metrics\.jsonl cannot be read: it is larger than/);
  const line = events((file) => fs.writeFileSync(file, `{"type":"step","x":"${'x'.repeat(2 << 20)}"}\n`));
  expect(() => readHistory(line)).toThrow(/metrics\.jsonl cannot be read: it is larger than/);
  const nested = events((file) => fs.writeFileSync(file, `{"type":"step","x":${deep}}\n`));
  expect(() => readHistory(nested)).toThrow(/metrics\.jsonl cannot be read: it is nested deeper than/);
  const odd = events((file) => fs.writeFileSync(file, 'null\n3\n"x"\n{"type":3}\n{"ty'));
  expect(readHistory(odd).epochs).toEqual([]);
  if (process.platform !== 'win32') {
    const endless = events((file) => fs.symlinkSync('/dev/zero', file));
    expect(() => readHistory(endless)).toThrow(/metrics\.jsonl cannot be read: it is not a file/);
    fs.symlinkSync('/dev/zero', path.join(whole, 'lock'));
  }
  const listed = listRuns(runs).map((run) => run.folder);
  expect(listed.sort()).toEqual([whole, odd].sort());
});
