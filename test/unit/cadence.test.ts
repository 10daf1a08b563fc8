/** Checkpoints that cannot be written: told once, tried again, and never where the run is another trainer's. */
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { message, UserError } from '../../src/core/messages/message';
import { checkpointsFolder } from '../../src/disk/runs';
import type { Model } from '../../src/trainer/engines/engine';
import { Checkpoints } from '../../src/trainer/training/cadence';
import { emptySums, Position } from '../../src/trainer/training/statistics';

const parameters = new Map([['weight', Float32Array.of(1, 2)]]);
const state = {
  parameters,
  buffers: new Map(),
  optimizer: { step: 1, firstMoment: parameters, secondMoment: parameters },
};
const model = { save: () => Promise.resolve(state) } as unknown as Model;
const position: Position = { epoch: 2, step: 0, seconds: 1, sums: emptySums() };

let folder: string;
let lost: boolean;
const checkpoints = () =>
  new Checkpoints(
    {
      folder,
      beside: () => ({ experiment: '', events: { bytes: 0, sha256: '' } }),
      check: () => {
        if (lost) throw new UserError(message('runFinished', { run: 'r' }));
      },
    },
    model,
    100,
  );

beforeEach(() => {
  lost = false;
  folder = fs.mkdtempSync(path.join(os.tmpdir(), 'convlab-cadence-'));
  fs.mkdirSync(path.join(folder, checkpointsFolder));
});
afterEach(() => fs.rmSync(folder, { recursive: true }));

const file = (name: string) => path.join(folder, checkpointsFolder, name);
/** The next write of this checkpoint fails as on a full disk. */
const fill = (name: string) => fs.symlinkSync('/dev/full', file(`${name}.safetensors.tmp`));

it.skipIf(process.platform !== 'linux')(
  'a failed checkpoint is told once; the next one has all that waited',
  async () => {
    const kept = checkpoints();
    fill('best');
    expect((await kept.attempt(position, 1))?.userMessage.id).toBe('diskFull');
    fill('best');
    expect(await kept.attempt(position)).toBeUndefined();
    expect(fs.existsSync(file('last.safetensors'))).toBe(false);
    expect(await kept.attempt(position)).toBeUndefined();
    expect(fs.existsSync(file('best.safetensors'))).toBe(true);
    expect(fs.existsSync(file('last.safetensors'))).toBe(true);
    // A new failure is news.
    fill('last');
    expect((await kept.attempt(position))?.userMessage.id).toBe('diskFull');
  },
);

it.skipIf(process.platform !== 'linux')('a checkpoint that the run cannot do without fails', async () => {
  fill('last');
  await expect(checkpoints().write(position)).rejects.toThrow(UserError);
});

it('a run that another trainer holds is not written to', async () => {
  lost = true;
  await expect(checkpoints().attempt(position)).rejects.toThrow(UserError);
  expect(fs.readdirSync(path.join(folder, checkpointsFolder))).toEqual([]);
});
