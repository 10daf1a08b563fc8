/** The trainer as a process among others: its priority, and how many threads it computes with. */
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { resolveExperiment } from '../../src/core/experiment';
import { findExperiment } from '../../src/disk/experimentFiles';
import type { Message } from '../../src/core/messages/message';
import type { StartedEvent } from '../../src/core/contracts/events';
import { startTask } from '../../src/trainerClient';
import { temporaryFolder } from './convlab';

let runs: string;
beforeEach(() => (runs = temporaryFolder()));
afterEach(() => fs.rmSync(runs, { recursive: true, force: true }));

interface Seen {
  readonly started: StartedEvent;
  readonly priority: number;
  /** Of each of its threads; on Linux alone. */
  readonly niceness: readonly number[];
  readonly warnings: readonly Message[];
}

/** Starts a trainer, looks at it while it trains, and ends it. */
async function look(options: { threads?: number; lowPriority?: boolean }): Promise<Seen> {
  const { threads, lowPriority } = options;
  const experiment = resolveExperiment(findExperiment('experiments', 'lenet5-mnist'), 'course', { epochs: 1000 });
  let started: StartedEvent | undefined;
  let seen: Seen | undefined;
  const warnings: Message[] = [];
  const trainer = startTask(
    'train',
    { experiment, engine: 'onnx', threads, runsFolder: runs },
    { script: path.resolve('dist/trainer.js'), lowPriority },
    {
      onUpdate: (update) => {
        for (const event of update.type === 'events' ? update.events : []) {
          if (event.type === 'started') started = event;
          if (event.type === 'warning') warnings.push(event.message);
          if (event.type !== 'step' || seen) continue;
          const pid = trainer.pid!;
          seen = { started: started!, priority: os.getPriority(pid), niceness: nicenessOf(pid), warnings };
          // Node starts some of its threads when it first needs them: the look that sees most of them counts. By the end
          // of the epoch there would be more that compute.
          setTimeout(() => {
            const later = nicenessOf(pid);
            if (later.length > seen!.niceness.length) seen = { ...seen!, niceness: later };
            trainer.kill();
          }, 200);
        }
      },
    },
  );
  await trainer.ended;
  return seen!;
}

function nicenessOf(pid: number): number[] {
  if (process.platform !== 'linux') return [];
  return fs.readdirSync(`/proc/${pid}/task`).map((thread) => {
    const stat = fs.readFileSync(`/proc/${pid}/task/${thread}/stat`, 'utf8');
    // proc(5): field 19, counted from the one after the name in parentheses, which is the third.
    return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19 - 3]);
  });
}

const onLinux = it.skipIf(process.platform !== 'linux');

describe('priority', () => {
  it('is low in an editor, so that typing comes first, and as usual in a terminal', async () => {
    const own = os.getPriority();
    expect(own).toBeLessThan(os.constants.priority.PRIORITY_LOW);
    expect((await look({ lowPriority: true, threads: 1 })).priority).toBe(os.constants.priority.PRIORITY_LOW);
    expect((await look({ threads: 1 })).priority).toBe(own);
  });

  onLinux('is low for the threads that compute, too', async () => {
    const low = (seen: Seen) => seen.niceness.filter((n) => n === os.constants.priority.PRIORITY_LOW).length;
    const most = os.availableParallelism();
    const one = await look({ lowPriority: true, threads: 1 });
    const all = await look({ lowPriority: true, threads: most });
    // The main thread computes and has helpers; Node's own threads, which were there before, keep their priority.
    expect(low(all) - low(one)).toBe(most - 1);
  });
});

describe('threads', () => {
  onLinux('are as many as there are physical cores by default', async () => {
    const { started } = await look({});
    const cores = new Set(
      fs
        .readdirSync('/sys/devices/system/cpu')
        .filter((name) => /^cpu\d+$/.test(name))
        .map((cpu) => {
          const read = (file: string) => fs.readFileSync(`/sys/devices/system/cpu/${cpu}/topology/${file}`, 'utf8');
          return `${read('physical_package_id')} ${read('core_id')}`;
        }),
    );
    // A container may be given fewer than the machine has.
    expect(started.threads).toBe(Math.min(cores.size, os.cpus().length));
  });

  onLinux('are as many as asked for', async () => {
    const most = os.availableParallelism();
    const [one, all] = [await look({ threads: 1 }), await look({ threads: most })];
    expect([one.started.threads, all.started.threads]).toEqual([1, most]);
    expect(all.niceness.length - one.niceness.length).toBe(most - 1);
    expect(all.warnings).toEqual([]);
  });

  it('are never more than the processors there are, which is said', async () => {
    const most = os.availableParallelism();
    const { started, warnings } = await look({ threads: 1000 });
    expect(started.threads).toBe(most);
    expect(warnings).toEqual([{ id: 'threadsCapped', args: { asked: 1000, most } }]);
  });
});
