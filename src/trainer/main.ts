/**
 * The trainer process: says hello, takes one request over its IPC channel, trains, and exits. When whoever started it
 * goes away, the channel closes; it then writes a checkpoint and exits too.
 */
import packageJson from '../../package.json';
import { message, UserError } from '../messages';
import { parseResolved } from '../experiment';
import { FromTrainer, protocolVersion, RunEvent, ToTrainer } from '../protocol';
import { run } from './run';

/** Events are sent at most this often, so that a fast network does not drown its reader in messages. */
const sendIntervalMs = 80;

let stopReason: 'user' | 'editorGone' | undefined;
let pending: RunEvent[] = [];
let sendTimer: NodeJS.Timeout | undefined;

function send(fromTrainer: FromTrainer): Promise<void> {
  return new Promise((resolve) => {
    if (!process.connected) return resolve();
    process.send!(fromTrainer, undefined, undefined, () => resolve());
  });
}

function flush(): Promise<void> {
  clearTimeout(sendTimer);
  sendTimer = undefined;
  if (pending.length === 0) return Promise.resolve();
  const events = pending;
  pending = [];
  return send({ type: 'events', events });
}

function emit(events: readonly RunEvent[]): void {
  pending.push(...events);
  sendTimer ??= setTimeout(() => void flush(), sendIntervalMs);
}

async function train(toTrainer: Extract<ToTrainer, { type: 'train' }>): Promise<void> {
  let outcome: Awaited<ReturnType<typeof run>> = 'failed';
  try {
    if (toTrainer.protocol !== protocolVersion) {
      throw new UserError(message('trainerVersion', { theirs: protocolVersion, ours: toTrainer.protocol }));
    }
    const experiment = parseResolved(toTrainer.request.experiment, toTrainer.request.experiment?.id ?? 'experiment');
    outcome = await run(
      { ...toTrainer.request, experiment },
      {
        version: packageJson.version,
        emit,
        progress: (text) => void send({ type: 'progress', message: text }),
        runFolder: (folder) => void send({ type: 'run', folder }),
        stopRequested: () => stopReason,
      },
    );
  } catch (error) {
    if (error instanceof UserError) emit([{ type: 'failed', message: error.userMessage, advice: error.advice }]);
    else throw error;
  }
  await flush();
  process.exit(outcome === 'failed' ? 1 : 0);
}

if (!process.send) {
  console.error('This is ConvLab’s trainer process; start it with “convlab train”.');
  process.exit(2);
}
// A terminal sends Ctrl+C to the whole process group; the parent decides what it means.
process.on('SIGINT', () => undefined);
process.on('SIGTERM', () => (stopReason ??= 'user'));
process.on('disconnect', () => {
  stopReason ??= 'editorGone';
  // Nothing to lose before a run has begun; afterwards the loop writes its checkpoint and exits by itself.
  if (!begun) process.exit(0);
});
let begun = false;
process.on('message', (toTrainer: ToTrainer) => {
  if (toTrainer.type === 'stop') {
    stopReason ??= 'user';
  } else if (!begun) {
    begun = true;
    void train(toTrainer);
  }
});
void send({ type: 'hello', protocol: protocolVersion });
