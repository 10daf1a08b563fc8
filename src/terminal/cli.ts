/**
 * `convlab`, the trainer on the terminal. It reads the command line, starts the same child process as the editor does,
 * and prints what it tells: lines and a progress bar for a person, or with --json one event per line for a program.
 */
import * as l10n from '@vscode/l10n';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { parseArgs } from 'node:util';
import stringWidth from 'string-width';
import packageJson from '../../package.json';
import {
  datasetNames,
  datasetTitles,
  nearest,
  Overrides,
  Preset,
  presetNames,
  ResolvedExperiment,
  resolveExperiment,
} from '../core/experiment';
import { ComparedRun, inCourseOrder, representatives } from '../core/comparison';
import { isMeasurable, longRun, roughDuration, speedWords } from '../core/estimates';
import { findExperiment, loadExperiments } from '../disk/experimentFiles';
import { bundleOf, Message, message, threadsMessage, UserError } from '../core/messages/message';
import { networkNames, networks } from '../core/networks/catalog';
import {
  DatasetReport,
  EngineReport,
  EngineRequest,
  EstimateRequest,
  NetworkSpeed,
  Request,
  TaskName,
} from '../core/contracts/tasks';
import { engineNames } from '../core/contracts/events';
import { comparedRun, listRuns, readRecord, summarize } from '../disk/runs';
import { comparable, runsFolderOf, storageFolder } from '../disk/places';
import { endError, startTask, Trainer, TrainerEnd, TrainerListener } from '../trainerClient';
import { comparisonTable } from './comparisonTable';
import { reportEngines } from '../trainer/tasks/engines';
import {
  complain,
  dataLine,
  JsonDisplay,
  PersonDisplay,
  say,
  sentence,
  sentences,
  StatusLine,
  t,
  translate,
} from './speech';
import { exportFormats, exportRun } from '../trainer/weights/export';

/** The exit statuses of the contract. */
const Exit = { ok: 0, failed: 1, usage: 2, stopped: 130 } as const;

/** Wrong usage: printed with the commands, exit status 2. */
class UsageError extends UserError {}

const root = path.join(__dirname, '..');
const experimentsFolder = path.join(root, 'experiments');
const languages = ['en', 'zh-TW', 'zh-CN'] as const;

const options = {
  preset: { type: 'string' },
  engine: { type: 'string' },
  epochs: { type: 'string' },
  seed: { type: 'string' },
  limit: { type: 'string' },
  threads: { type: 'string' },
  set: { type: 'string', multiple: true },
  data: { type: 'string' },
  start: { type: 'string' },
  resume: { type: 'string' },
  runs: { type: 'string' },
  format: { type: 'string' },
  out: { type: 'string' },
  lang: { type: 'string' },
  json: { type: 'boolean' },
  measure: { type: 'boolean' },
  network: { type: 'string', multiple: true },
  again: { type: 'boolean' },
  python: { type: 'string' },
  remove: { type: 'boolean' },
  help: { type: 'boolean', short: 'h' },
} as const;

type Values = {
  [Name in keyof typeof options]?: (typeof options)[Name] extends { multiple: true }
    ? string[]
    : (typeof options)[Name] extends { type: 'boolean' }
      ? boolean
      : string;
};

const commands = {
  list: {
    arguments: '',
    about: message('usageList'),
    options: ['lang', 'json'],
    run: list,
  },
  train: {
    arguments:
      '<id> [--preset course|quick] [--engine auto|tensorflow|webgpu|onnx] [--epochs N] [--seed N] [--limit N]\n' +
      '      [--set optimizer.learningRate=1e-4] [--start RUN|ID|FILE] [--threads N] [--data DIR] [--resume RUN]\n' +
      '      [--runs DIR] [--json]',
    about: message('usageTrain'),
    options: [
      ...['preset', 'engine', 'epochs', 'seed', 'limit', 'set', 'start', 'threads', 'data', 'resume', 'runs'],
      ...['lang', 'json', 'help'],
    ],
    run: train,
  },
  compare: {
    arguments: '[<run>…] [--runs DIR] [--json]',
    about: message('usageCompare'),
    options: ['runs', 'lang', 'json'],
    run: compare,
  },
  export: {
    arguments: '<run> --format onnx|pth [--out FILE] [--runs DIR] [--json]',
    about: message('usageExport'),
    options: ['format', 'out', 'runs', 'lang', 'json'],
    run: exportNetwork,
  },
  engines: {
    arguments: '[--measure [--network NAME]… [--again]] [--threads N] [--json]',
    about: message('usageEngines'),
    options: ['measure', 'network', 'again', 'threads', 'lang', 'json'],
    run: engines,
  },
  data: {
    arguments: `<${datasetNames.join('|')}> [--data DIR] [--json]`,
    about: message('usageData'),
    options: ['data', 'lang', 'json'],
    run: data,
  },
  setup: {
    arguments: 'tensorflow [--python FILE] [--remove]',
    about: message('usageSetup'),
    options: ['python', 'remove', 'lang'],
    run: setup,
  },
} satisfies Record<
  string,
  {
    arguments: string;
    about: Message;
    options: string[];
    run: (args: string[], values: Values) => Promise<number> | number;
  }
>;

function setLanguage(asked: string | undefined): void {
  if (asked !== undefined && !languages.some((l) => l.toLowerCase() === asked.toLowerCase())) {
    throw badOption('--lang', asked, message('expectedOneOf', { known: languages.join(', ') }));
  }
  const { LC_ALL, LC_MESSAGES, LANG } = process.env;
  const tag = (asked ?? LC_ALL ?? LC_MESSAGES ?? LANG ?? '').replace('_', '-');
  const name = bundleOf(tag);
  const file = name && path.join(root, 'l10n', `bundle.l10n.${name}.json`);
  if (file && fs.existsSync(file)) l10n.config({ contents: fs.readFileSync(file, 'utf8') });
}

const badOption = (option: string, value: string, expected: Message) =>
  new UsageError(message('badOption', { option, value, expected: t(expected) }));

function usage(): string {
  const lines = Object.entries(commands).map(
    ([name, c]) => `  convlab ${name} ${c.arguments}`.trimEnd() + `\n      ${t(c.about)}`,
  );
  return [t(message('usage')), ...lines, '', `  --lang ${languages.join('|')}`, t(message('usageExit'))].join('\n');
}

async function main(argv: readonly string[]): Promise<number> {
  try {
    const { values, positionals } = parse(argv);
    setLanguage(values.lang);
    const [command, ...rest] = positionals;
    if (values.help || command === undefined) {
      say(usage());
      return values.help ? Exit.ok : Exit.usage;
    }
    if (!Object.hasOwn(commands, command)) {
      const near = nearest(command, Object.keys(commands));
      throw new UsageError(
        near ? message('unknownCommandNearest', { command, nearest: near }) : message('unknownCommand', { command }),
      );
    }
    const chosen = commands[command as keyof typeof commands];
    const stray = Object.keys(values).find((name) => !(chosen.options as string[]).includes(name));
    if (stray) throw new UsageError(message('tooManyArguments', { command, argument: `--${stray}` }));
    return await chosen.run(rest, values);
  } catch (error) {
    if (error instanceof UserError) {
      complain(t(message('errorLine', { text: sentence(error) })));
      if (error instanceof UsageError) complain(`\n${usage()}`);
      return error instanceof UsageError ? Exit.usage : Exit.failed;
    }
    const reason = error instanceof Error ? error.message : String(error);
    complain(t(message('errorLine', { text: t(message('unexpectedError', { reason })) })));
    if (process.env['CONVLAB_DEBUG'] && error instanceof Error) complain(error.stack ?? '');
    return Exit.failed;
  }
}

function parse(argv: readonly string[]): { values: Values; positionals: string[] } {
  try {
    return parseArgs({ args: [...argv], options, allowPositionals: true, strict: true });
  } catch (error) {
    throw new UsageError(message('badOptions', { reason: (error as Error).message }));
  }
}

function list(args: string[], values: Values): number {
  if (args.length) throw new UsageError(message('tooManyArguments', { command: 'list', argument: args[0]! }));
  const files = loadExperiments(experimentsFolder);
  const rows = files.flatMap(({ experiment }) => (experiment ? [[experiment.id, translate(experiment.title)]] : []));
  const widths = [0, 1].map((column) => Math.max(0, ...rows.map((row) => stringWidth(row[column]!))));
  const cell = (text: string, column: number) => text + ' '.repeat(widths[column]! - stringWidth(text));
  for (const { experiment, error } of files) {
    if (error) {
      complain(t(message('warningLine', { text: sentence(error) })));
    } else if (values.json) {
      const { id, title, question, epochs, presets } = experiment;
      say(JSON.stringify({ id, title, question, epochs, presets: ['course', ...Object.keys(presets)] }));
    } else {
      const cells = [cell(experiment.id, 0), cell(translate(experiment.title), 1), translate(experiment.question)];
      say(cells.join('  ').trimEnd());
    }
  }
  return Exit.ok;
}

/** A run by its name inside the runs folder, or by a path. @throws UserError where there is none */
function runNamed(name: string, runsFolder: string): string {
  const folder = [path.resolve(runsFolder, name), path.resolve(name)].find((f) => fs.existsSync(f));
  if (folder === undefined) throw new UserError(message('runNotFound', { folder: path.resolve(runsFolder, name) }));
  return folder;
}

/** The rows of the runs named, or of those that stand for each experiment of the runs folder. */
function comparedRuns(names: readonly string[], runsFolder: string): ComparedRun[] {
  if (names.length === 0) return representatives(listRuns(runsFolder).map(comparedRun));
  return names.map((name) => comparedRun(summarize(runNamed(name, runsFolder))));
}

function compare(names: string[], values: Values): number {
  const runs = inCourseOrder(comparedRuns(names, path.resolve(values.runs ?? runsFolderOf('.'))));
  if (values.json) {
    for (const run of runs) say(JSON.stringify(run));
    return Exit.ok;
  }
  if (runs.length === 0) throw new UserError(message('compareNone'));
  say(comparisonTable(runs, t));
  return Exit.ok;
}

function exportNetwork([name, ...more]: string[], values: Values): number {
  if (name === undefined) throw new UsageError(message('missingArgument', { command: 'export', argument: '<run>' }));
  if (more.length) throw new UsageError(message('tooManyArguments', { command: 'export', argument: more[0]! }));
  if (values.format === undefined) {
    throw new UsageError(message('missingArgument', { command: 'export', argument: '--format' }));
  }
  const format = oneOf('--format', values.format, exportFormats);
  try {
    const run = runNamed(name, path.resolve(values.runs ?? runsFolderOf('.')));
    const file = path.resolve(values.out ?? `${path.basename(run)}.${format}`);
    exportRun(run, format, file);
    say(values.json ? JSON.stringify({ type: 'exported', file }) : t(message('exported', { file })));
    return Exit.ok;
  } catch (error) {
    if (values.json && error instanceof UserError) {
      say(JSON.stringify({ type: 'failed', message: error.userMessage, advice: error.advice }));
    }
    throw error;
  }
}

async function engines(args: string[], values: Values): Promise<number> {
  if (args.length) throw new UsageError(message('tooManyArguments', { command: 'engines', argument: args[0]! }));
  const threads = threadsFrom(values);
  const networkList = values.network?.map((name) => oneOf('--network', name, networkNames));
  const measuring = values.measure || values.network !== undefined || values.again;
  let status: number = Exit.ok;
  for (const report of await reportEngines({ threads }, packageJson.version)) {
    const { engine, device, reason, notes = [] } = report;
    if (!values.json) [engineLine(report), ...notes.map((note) => `  ${t(note)}`)].forEach(say);
    if (!device) {
      if (values.json) say(JSON.stringify(report));
      continue;
    }
    if (!values.json && reason) say(`  ${t(reason)}`);
    if (!measuring || !isMeasurable(report)) {
      if (values.json) say(JSON.stringify(report));
      else if (report.speeds.length > 0) report.speeds.forEach((speed) => say(speedLine(speed)));
      else if (isMeasurable(report)) say(`  ${t(message('engineUnmeasured'))}`);
      continue;
    }
    const speeds: NetworkSpeed[] = [];
    const end = await survey(
      'measure',
      { engine, threads, networks: networkList, again: values.again ?? false },
      (update) => {
        if (update.type === 'speed') {
          speeds.push(update.speed);
          if (!values.json) say(speedLine(update.speed));
        } else if (update.type === 'unmeasured') {
          const [network, why] = [networks[update.network].title, t(update.reason)];
          complain(t(message('warningLine', { text: t(message('unmeasuredLine', { network, reason: why })) })));
        }
      },
      (what) => t(message('measuringStops', { engine, what: t(what) })),
    );
    if (values.json) say(JSON.stringify({ ...report, speeds }));
    if (end.kind === 'stopped') {
      complain(t(message('measuringStopped')));
      return Exit.stopped;
    }
    if (end.kind === 'failed' || end.kind === 'crashed') {
      complain(t(message('errorLine', { text: sentence(endError(end)) })));
      status = Exit.failed;
    }
  }
  return status;
}

function engineLine({ engine, device, preferred, reason, action }: EngineReport): string {
  if (!device) {
    return t(message('engineUnusableLine', { engine, reason: sentences(reason!, action) }));
  }
  const words = [device.name, ...(device.threads === undefined ? [] : [t(threadsMessage(device.threads))])].join(', ');
  return t(message(preferred ? 'enginePreferredLine' : 'engineUsableLine', { engine, device: words }));
}

function speedLine({ shape, imagesPerSecond, exact }: NetworkSpeed): string {
  const { network, size, batchSize } = shape;
  const rate = speedWords(imagesPerSecond, (whole) => whole.toLocaleString('en'));
  return t(
    message(exact ? 'speedLine' : 'speedLineTold', { network: networks[network].title, size, batch: batchSize, rate }),
  );
}

/**
 * Has a trainer measure, estimate or see to a dataset, at the priority that training has here, with what it is doing on the
 * last line of a terminal. A signal stops it: the result is then 'stopped'.
 */
async function survey<T extends Exclude<TaskName, 'train'>>(
  task: T,
  request: Request<T>,
  onUpdate: TrainerListener<T>['onUpdate'],
  words: (what: Message) => string = t,
): Promise<TrainerEnd<T>> {
  const status = new StatusLine();
  const trainer = startTask(
    task,
    request,
    { script: path.join(__dirname, 'trainer.js'), graceMs: 20_000 },
    {
      onUpdate: (update) => {
        status.clear();
        onUpdate?.(update);
      },
      onProgress: (what) => status.show(words(what)),
      onLog: (line) => {
        status.clear();
        complain(line);
      },
    },
  );
  const release = stopOnSignals(trainer, () => undefined);
  const end = await trainer.ended;
  release();
  status.clear();
  return end;
}

async function data([name, ...more]: string[], values: Values): Promise<number> {
  if (name === undefined) throw new UsageError(message('missingArgument', { command: 'data', argument: '<dataset>' }));
  if (more.length) throw new UsageError(message('tooManyArguments', { command: 'data', argument: more[0]! }));
  const dataset = datasetNames.find((d) => d === name);
  if (!dataset) throw new UsageError(message('datasetUnknown', { name, known: datasetNames.join(', ') }));
  const dataFolder = values.data === undefined ? undefined : path.resolve(values.data);
  const request = { dataset, verify: true, dataFolder, searchFolders: [process.cwd()] };
  const end = await survey('dataset', request, undefined);
  if (end.kind === 'failed' || end.kind === 'crashed') throw endError(end);
  if (end.kind === 'stopped') return Exit.stopped;
  if (values.json) say(JSON.stringify(end.result));
  else sayDataset(end.result);
  return Exit.ok;
}

function sayDataset({ dataset, provenance, folder, classes, parts, leftOut }: DatasetReport): void {
  const count = classes.reduce((n, c) => n + c.count, 0);
  const figures = { dataset: t(datasetTitles[dataset]), classes: classes.length, folder: folder ?? '–' };
  const names = classes.map((c) => `${c.name} ${c.count}`).join(', ');
  const { train, test } = parts;
  if (train !== undefined && test !== undefined) say(t(message('datasetVerified', { ...figures, train, test })));
  else say(t(message('imagesVerified', { ...figures, count, names, left: leftOut.count })));
  for (const reason of leftOut.reasons) complain(t(message('warningLine', { text: t(reason) })));
  say(dataLine(provenance));
}

async function setup([what, ...more]: string[], values: Values): Promise<number> {
  if (what !== 'tensorflow') {
    throw new UsageError(message('missingArgument', { command: 'setup', argument: 'tensorflow' }));
  }
  if (more.length) throw new UsageError(message('tooManyArguments', { command: 'setup', argument: more[0]! }));
  const { remove } = values;
  // A bare name is looked for on the PATH.
  const bare = values.python !== undefined && path.basename(values.python) === values.python;
  const python = values.python === undefined || bare ? values.python : path.resolve(values.python);
  const status = new StatusLine();
  let stage: string | undefined;
  const trainer = startTask(
    'setup',
    { storage: storageFolder(), remove, python },
    { script: path.join(__dirname, 'trainer.js') },
    {
      onProgress: (text) => {
        status.show(t(text));
        // Where there is no status line, each stage is told once.
        if (!status.visible && text.id !== stage) complain(t(text));
        stage = text.id;
      },
      onLog: complain,
    },
  );
  const release = stopOnSignals(trainer, () => undefined);
  const end = await trainer.ended;
  release();
  status.clear();
  if (end.kind === 'failed' || end.kind === 'crashed') throw endError(end);
  if (end.kind === 'stopped') {
    complain(t(message('setupCancelled')));
    return Exit.stopped;
  }
  for (const text of end.result) say(t(text));
  return Exit.ok;
}

function wholeNumber(option: string, text: string, least: number): number {
  const n = Number(text);
  if (!/^\d+$/.test(text) || !Number.isSafeInteger(n) || n < least) {
    throw badOption(option, text, message('expectedWhole', { least }));
  }
  return n;
}

function oneOf<T extends string>(option: string, text: string, known: readonly T[]): T {
  const found = known.find((k) => k === text);
  if (found === undefined) throw badOption(option, text, message('expectedOneOf', { known: known.join(', ') }));
  return found;
}

/**
 * What --start names, as network.weights says it: a file of weights, a finished run of the runs folder, or an experiment
 * whose newest one it is to be.
 * @throws UserError where there is neither
 */
function startFrom(name: string, runsFolder: string): ResolvedExperiment['network']['weights'] {
  const file = path.resolve(name);
  if (fs.statSync(file, { throwIfNoEntry: false })?.isFile()) return { file };
  const run = [path.resolve(runsFolder, name), file].find((f) => fs.existsSync(f));
  if (run === undefined) {
    if (loadExperiments(experimentsFolder).some(({ experiment }) => experiment?.id === name))
      return { experiment: name };
    throw new UserError(message('startNotFound', { name, folder: runsFolder }));
  }
  mustBeIn(run, runsFolder);
  return { run: path.basename(run) };
}

/** @throws UserError for a run that is not in the runs folder */
function mustBeIn(run: string, runsFolder: string): void {
  if (
    fs.existsSync(runsFolder) &&
    comparable(path.dirname(fs.realpathSync.native(run))) === comparable(fs.realpathSync.native(runsFolder))
  )
    return;
  throw new UserError(message('resumeOutside', { run, folder: runsFolder }), message('resumeOutsideAdvice'));
}

function overridesFrom(values: Values, runsFolder: string): Overrides {
  const overrides: Record<string, unknown> = {};
  for (const pair of values.set ?? []) {
    const at = pair.indexOf('=');
    if (at < 1) throw badOption('--set', pair, message('expectedSetting'));
    const text = pair.slice(at + 1);
    try {
      overrides[pair.slice(0, at)] = JSON.parse(text);
    } catch {
      // A word that is not JSON stands for itself, so that names need no quotes.
      overrides[pair.slice(0, at)] = text;
    }
  }
  for (const [name, least] of [
    ['epochs', 1],
    ['seed', 0],
    ['limit', 1],
  ] as const) {
    const text = values[name];
    if (text !== undefined) overrides[name] = wholeNumber(`--${name}`, text, least);
  }
  if (values.start !== undefined) overrides['network.weights'] = startFrom(values.start, runsFolder);
  return overrides;
}

/** The experiment to train and, when going on with a run, its folder. */
function whatToTrain(
  [id, ...more]: string[],
  values: Values,
  runsFolder: string,
): { experiment: ResolvedExperiment; resume?: string } {
  if (more.length) throw new UsageError(message('tooManyArguments', { command: 'train', argument: more[0]! }));
  if (values.resume === undefined) {
    if (id === undefined) throw new UsageError(message('missingArgument', { command: 'train', argument: '<id>' }));
    const preset: Preset = values.preset === undefined ? 'course' : oneOf('--preset', values.preset, presetNames);
    return {
      experiment: resolveExperiment(findExperiment(experimentsFolder, id), preset, overridesFrom(values, runsFolder)),
    };
  }
  // A name inside the runs folder, or a path to a folder inside it.
  const resume = runNamed(values.resume, runsFolder);
  mustBeIn(resume, runsFolder);
  for (const option of ['preset', 'epochs', 'seed', 'limit', 'set', 'start'] as const) {
    if (values[option] !== undefined) {
      throw new UsageError(message('tooManyArguments', { command: 'train --resume', argument: `--${option}` }));
    }
  }
  return { experiment: readRecord(resume).experiment, resume };
}

async function train(args: string[], values: Values): Promise<number> {
  const runsFolder = path.resolve(
    values.runs ??
      (values.resume !== undefined && fs.existsSync(values.resume) ? path.dirname(values.resume) : runsFolderOf('.')),
  );
  const engine: EngineRequest = oneOf('--engine', values.engine ?? 'auto', ['auto', ...engineNames]);
  const keepEngine = values.engine === undefined;
  const threads = threadsFrom(values);
  const { experiment, resume } = whatToTrain(args, values, runsFolder);
  const display = values.json ? new JsonDisplay() : new PersonDisplay();
  const dataFolder = values.data === undefined ? undefined : path.resolve(values.data);
  const searchFolders = [process.cwd()];
  if (!values.json && resume === undefined) {
    const request = { engine, threads, runsFolders: [runsFolder], dataFolder, searchFolders };
    if ((await sayEstimate(experiment, values, request)) === 'stopped') return Exit.stopped;
  }
  const trainer = startTask(
    'train',
    { experiment, engine, keepEngine, threads, runsFolder, resume, dataFolder, searchFolders },
    { script: path.join(__dirname, 'trainer.js') },
    {
      onUpdate: (update) => {
        if (update.type === 'run') display.run(update.folder);
        else update.events.forEach((event) => display.event(event));
      },
      onProgress: (text) => display.progress(text),
      onLog: complain,
    },
  );
  const release = stopOnSignals(trainer, () => display.progress(message('stopping')));
  const end = await trainer.ended;
  release();
  display.end();
  if (end.kind === 'failed' || end.kind === 'crashed') {
    display.failure(endError(end), end.kind === 'crashed');
    return Exit.failed;
  }
  return end.kind === 'finished' ? Exit.ok : Exit.stopped;
}

const threadsFrom = (values: Values): number | undefined =>
  values.threads === undefined ? undefined : wholeNumber('--threads', values.threads, 1);

/**
 * Says how long a run will take, and how long a quick one would where that is long. What cannot be estimated is not
 * spoken of: the run itself tells what is wrong.
 */
async function sayEstimate(
  experiment: ResolvedExperiment,
  values: Values,
  request: Omit<EstimateRequest, 'experiments' | 'measure'>,
): Promise<'stopped' | undefined> {
  const course = experiment.preset === 'course';
  const estimate = async (of: ResolvedExperiment) => {
    let name: string = request.engine;
    let seconds: number | undefined;
    // A quick run is not worth seconds of measuring.
    const end = await survey('estimate', { ...request, experiments: [of], measure: course }, (update) => {
      if (update.type === 'machine') name = update.machine.engine;
      else seconds = update.estimate.seconds;
    });
    return { stopped: end.kind === 'stopped', seconds, engine: name };
  };
  const { stopped, seconds, engine } = await estimate(experiment);
  if (stopped) return 'stopped';
  if (seconds === undefined) return undefined;
  say(t(message('estimateLine', { time: t(roughDuration(seconds)), engine })));
  const file = findExperiment(experimentsFolder, experiment.id);
  if (!course || seconds <= longRun || !file.presets.quick) return undefined;
  const quick = await estimate(resolveExperiment(file, 'quick', overridesFrom(values, request.runsFolders[0]!)));
  if (quick.stopped) return 'stopped';
  // Overrides can make it no shorter.
  if (quick.seconds !== undefined && quick.seconds < seconds) {
    say(t(message('estimateQuickLine', { time: t(roughDuration(quick.seconds)) })));
  }
  return undefined;
}

/** The first signal asks the trainer to stop, the second ends it. */
function stopOnSignals(trainer: Trainer, onStop: () => void): () => void {
  let asked = false;
  const stop = () => {
    if (asked) return trainer.kill();
    asked = true;
    onStop();
    void trainer.stop();
  };
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
  signals.forEach((signal) => process.on(signal, stop));
  return () => signals.forEach((signal) => process.removeListener(signal, stop));
}

// A reader that goes away (`| head`) is no error of ours.
process.stdout.on('error', () => process.exit(Exit.ok));
void main(process.argv.slice(2)).then((status) => {
  process.exitCode = status;
});
