/**
 * The trainer process: says hello, takes one task over its IPC channel, does it, says how it ended, and exits. When whoever
 * started it goes away, the channel closes; training then writes a checkpoint, a setup undoes what it did, and both exit.
 */
import packageJson from '../../package.json';
import { FromTrainer, TaskEnd, TaskName, ToTrainer } from '../core/contracts/tasks';
import { protocolVersion } from '../core/contracts/events';
import { message, UserError } from '../core/messages/message';
import { Stop } from './stop';
import { reportDataset } from './tasks/data';
import { reportEngines } from './tasks/engines';
import { estimate } from './tasks/estimate';
import { exampleSheet } from './tasks/examples';
import { measureEngine } from './tasks/measure';
import { setup } from './tasks/setup';
import type { Task } from './tasks/task';
import { train } from './tasks/train';
import { allow, startWatchdog } from './watchdog';

const tasks: { readonly [T in TaskName]: Task<T> } = {
  train: { work: train, tidies: true },
  setup: { work: setup, tidies: true },
  engines: { work: (request, { version }) => reportEngines(request, version) },
  measure: { work: measureEngine },
  estimate: { work: estimate },
  dataset: { work: reportDataset },
  examples: { work: exampleSheet },
};

const stopping = new AbortController();
let begun: TaskName | undefined;

function send<T extends TaskName>(fromTrainer: FromTrainer<T>): Promise<void> {
  return new Promise((resolve) => {
    if (!process.connected) return resolve();
    process.send!(fromTrainer, undefined, undefined, () => resolve());
  });
}

async function begin<T extends TaskName>({
  protocol,
  task,
  request,
}: Extract<ToTrainer<T>, { type: 'begin' }>): Promise<void> {
  let end: TaskEnd<T>;
  try {
    if (protocol !== protocolVersion) {
      throw new UserError(message('trainerVersion', { theirs: protocolVersion, ours: protocol }));
    }
    stopping.signal.throwIfAborted();
    const result = await tasks[task].work(request, {
      version: packageJson.version,
      signal: stopping.signal,
      progress: (text) => void send({ type: 'progress', message: text }),
      update: (update) => void send({ type: 'update', update }),
      stopTakes: (seconds) => {
        allow(seconds);
        void send({ type: 'stopTakes', seconds });
      },
    });
    end = { kind: 'finished', result };
  } catch (error) {
    if (error instanceof Stop) end = { kind: 'stopped' };
    else if (error instanceof UserError) end = { kind: 'failed', message: error.userMessage, advice: error.advice };
    else throw error;
  }
  await send({ type: 'ended', end });
  process.exit(end.kind === 'failed' ? 1 : 0);
}

if (!process.send) {
  console.error('This is ConvLab’s trainer process; start it with “convlab train”.');
  process.exit(2);
}
startWatchdog();
// A terminal may send Ctrl+C to it, too; the parent decides what it means.
process.on('SIGINT', () => undefined);
process.on('SIGTERM', () => stopping.abort(new Stop('user')));
process.on('SIGHUP', () => stopping.abort(new Stop('user')));
process.on('disconnect', () => {
  stopping.abort(new Stop('editorGone'));
  if (begun === undefined || !tasks[begun].tidies) process.exit(0);
});
process.on('message', (toTrainer: ToTrainer) => {
  if (toTrainer.type === 'stop') {
    stopping.abort(new Stop('user'));
  } else if (begun === undefined) {
    begun = toTrainer.task;
    void begin(toTrainer);
  }
});
void send({ type: 'hello', protocol: protocolVersion });
