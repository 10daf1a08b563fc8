/**
 * The trainer process: says hello, takes one task over its IPC channel (to train, to measure speeds, to estimate how long
 * training would take, to tell of engines or a dataset, to show examples, or to set native TensorFlow up), does it, and
 * exits. When whoever started it goes away, the channel closes; training then writes a checkpoint, a setup undoes what it
 * did, and both exit.
 */
import packageJson from '../../package.json';
import { Message, message, UserError } from '../core/messages/message';
import { parseResolved } from '../core/experiment';
import { FromTrainer, Machine, ToTrainer, TrainerTask } from '../core/contracts/tasks';
import { protocolVersion, RunEvent } from '../core/contracts/events';
import { exampleSheet } from './tasks/examples';
import { reportDataset } from './tasks/data';
import { setupFolder } from './tensorflow/installation';
import { removeTensorflow, setUpTensorflow } from './tensorflow/setup';
import { estimate } from './tasks/estimate';
import { reportEngines } from './tasks/engines';
import { measureEngine, Stopped } from './tasks/measure';
import { run } from './training/run';

/** Events are sent at most this often, so that a fast network does not drown its reader in messages. */
const sendIntervalMs = 80;

let stopReason: 'user' | 'editorGone' | undefined;
const stopped = new AbortController();

function askToStop(reason: 'user' | 'editorGone'): void {
  stopReason ??= reason;
  stopped.abort();
}

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

type Asked<Type extends TrainerTask['type']> = Extract<ToTrainer, { type: Type }>;

function checkVersion(theirs: number): void {
  if (theirs !== protocolVersion)
    throw new UserError(message('trainerVersion', { theirs: protocolVersion, ours: theirs }));
}

async function train({ protocol, request }: Asked<'train'>): Promise<void> {
  let outcome: Awaited<ReturnType<typeof run>> = 'failed';
  try {
    checkVersion(protocol);
    const experiment = parseResolved(request.experiment, request.experiment?.id ?? 'experiment');
    outcome = await run(
      { ...request, experiment },
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

/** Does a task that is not a run, and tells how that ended. */
async function survey(task: Asked<Exclude<TrainerTask['type'], 'train' | 'setup'>>): Promise<void> {
  let end: Extract<FromTrainer, { type: 'ended' }>['end'] = { kind: 'finished' };
  const surroundings = {
    version: packageJson.version,
    machine: (machine: Machine) => void send({ type: 'machine', machine }),
    progress: (text: Message) => void send({ type: 'progress', message: text }),
    stopRequested: () => stopReason !== undefined,
  };
  const { progress, stopRequested } = surroundings;
  const pause = async () => {
    await new Promise((resolve) => setImmediate(resolve));
    if (stopRequested()) throw new Stopped();
  };
  try {
    checkVersion(task.protocol);
    if (task.type === 'engines') {
      await send({ type: 'engines', engines: await reportEngines(task.request, packageJson.version) });
    } else if (task.type === 'measure') {
      await measureEngine(task.request, {
        ...surroundings,
        speed: (speed) => void send({ type: 'speed', speed }),
        unmeasured: (network, reason) => void send({ type: 'unmeasured', network, reason }),
      });
    } else if (task.type === 'dataset') {
      await send({ type: 'dataset', report: await reportDataset(task.request, { progress, pause }) });
    } else if (task.type === 'examples') {
      const experiment = parseResolved(task.request.experiment, task.request.experiment?.id ?? 'experiment');
      const sheet = await exampleSheet({ ...task.request, experiment }, { progress, pause });
      await send({ type: 'examples', sheet });
    } else {
      const experiments = task.request.experiments.map((e) => parseResolved(e, e?.id ?? 'experiment'));
      await estimate(
        { ...task.request, experiments },
        { ...surroundings, estimate: (told) => void send({ type: 'estimate', estimate: told }) },
      );
    }
  } catch (error) {
    if (error instanceof Stopped) end = { kind: 'stopped' };
    else if (error instanceof UserError) end = { kind: 'failed', message: error.userMessage, advice: error.advice };
    else throw error;
  }
  await send({ type: 'ended', end });
  process.exit(end.kind === 'failed' ? 1 : 0);
}

async function setUp({ protocol, request }: Asked<'setup'>): Promise<void> {
  let end: Extract<FromTrainer, { type: 'ended' }>['end'];
  try {
    checkVersion(protocol);
    const progress = (text: Message) => void send({ type: 'progress', message: text });
    const messages = request.remove
      ? [removed(request.storage)]
      : await setUpTensorflow({ ...request, signal: stopped.signal, progress });
    end = { kind: 'finished', messages };
  } catch (error) {
    if (stopped.signal.aborted) end = { kind: 'stopped' };
    else if (error instanceof UserError) end = { kind: 'failed', message: error.userMessage, advice: error.advice };
    else throw error;
  }
  await send({ type: 'ended', end });
  process.exit(end.kind === 'failed' ? 1 : 0);
}

function removed(storage: string): Message {
  const folder = setupFolder(storage);
  return removeTensorflow(storage) ? message('setupRemoved', { folder }) : message('setupNothingToRemove', { folder });
}

if (!process.send) {
  console.error('This is ConvLab’s trainer process; start it with “convlab train”.');
  process.exit(2);
}
// A terminal sends Ctrl+C to the whole process group; the parent decides what it means.
process.on('SIGINT', () => undefined);
process.on('SIGTERM', () => askToStop('user'));
process.on('disconnect', () => {
  askToStop('editorGone');
  // A run writes a checkpoint first and a setup clears up; the others have nothing to lose.
  if (begun !== 'train' && begun !== 'setup') process.exit(0);
});
let begun: TrainerTask['type'] | undefined;
process.on('message', (toTrainer: ToTrainer) => {
  if (toTrainer.type === 'stop') {
    askToStop('user');
  } else if (begun === undefined) {
    begun = toTrainer.type;
    if (toTrainer.type === 'train') void train(toTrainer);
    else if (toTrainer.type === 'setup') void setUp(toTrainer);
    else void survey(toTrainer);
  }
});
void send({ type: 'hello', protocol: protocolVersion });
