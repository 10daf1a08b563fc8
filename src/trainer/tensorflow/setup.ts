/**
 * Makes native TensorFlow usable: installs @tensorflow/tfjs-node-gpu with npm into ConvLab's storage, with the TensorFlow
 * that it downloads or linked to one that Python has, and tries it out. main.ts runs it for `convlab setup tensorflow`
 * and the editor's command. Everything happens in a folder beside the final one, which takes its place at the very end.
 */
import fs from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { Message, message, UserError } from '../../core/messages/message';
import { makeFolder, replace } from '../../disk/files';
import { whyNoGpu } from './gpuLog';
import {
  packageFolder,
  packageName,
  packageVersion,
  recordFile,
  setupFolder,
  SetupRecord,
  Trial,
  tryOut,
} from './installation';
import { findProgram, ProgramEnd, ProgramOptions, runProgram } from '../programs';
import { nvidiaGpu } from '../engines/tfjs/provider';
import { pythonCandidates, PythonTensorflow, pythonTensorflow } from './python';

export interface SetupOptions {
  /** ConvLab's folder for what it installs. */
  readonly storage: string;
  /** The interpreter (or its environment's folder) whose TensorFlow is to be used; without it npm's is tried first. */
  readonly python?: string;
  /** Folders of virtual environments to search; only such as the user trusts, because their interpreter is run. */
  readonly environments?: readonly string[];
  readonly signal: AbortSignal;
  progress(message: Message): void;
  readonly findGpu?: typeof nvidiaGpu;
}

/** Headers of Node-API, which stay the same whatever Node compiles or loads the binding. */
const headersVersion = '1.9.0';
const minute = 60_000;
/** A download that has brought nothing for so long will bring nothing more. */
const stallMs = 2 * minute;

/** A TensorFlow that has been tried out, and where it is from. */
interface Tried extends Pick<SetupRecord, 'source' | 'python'> {
  readonly trial: Trial;
}

/**
 * Sets TensorFlow up, in place of what an earlier setup made. What was there stays when this one fails or is cancelled.
 * @returns what there is to say at the end
 * @throws UserError that names what is missing; the signal's reason when it is aborted
 */
export async function setUpTensorflow(options: SetupOptions): Promise<Message[]> {
  const { storage } = options;
  const final = setupFolder(storage);
  const temporary = `${final}.setup-${process.pid}`;
  try {
    makeFolder(storage);
    removeLeftovers(storage);
    fs.mkdirSync(temporary);
  } catch (error) {
    throw notWritable(storage, error);
  }
  try {
    const setup = new Setup(temporary, options);
    const { trial, source, python } = await setup.run();
    const gpu = await (options.findGpu ?? nvidiaGpu)();
    const record: SetupRecord = {
      source,
      python,
      tensorflow: trial.tensorflow,
      library: trial.library.startsWith(temporary) ? final + trial.library.slice(temporary.length) : trial.library,
      noGpu: gpu && !trial.gpu ? whyNoGpu(trial.log, gpu.name, trial.tensorflow, python) : undefined,
    };
    fs.writeFileSync(join(temporary, recordFile), `${JSON.stringify(record, null, 2)}\n`);
    options.signal.throwIfAborted();
    exchange(final, temporary);
    const { tensorflow, library, noGpu } = record;
    const device = trial.gpu ? (gpu?.name ?? 'CUDA') : 'CPU';
    return [message('setupDone', { tensorflow, library, device }), ...(noGpu ? [noGpu.reason, noGpu.action] : [])];
  } finally {
    fs.rmSync(temporary, { recursive: true, force: true });
  }
}

/** Removes what a setup made. @returns whether there was anything. @throws UserError while a run uses it (Windows) */
export function removeTensorflow(storage: string): boolean {
  const final = setupFolder(storage);
  if (fs.existsSync(storage)) removeLeftovers(storage);
  if (!fs.existsSync(final)) return false;
  exchange(final, undefined);
  return true;
}

class Setup {
  private readonly package: string;

  constructor(
    private readonly folder: string,
    private readonly options: SetupOptions,
  ) {
    this.package = packageFolder(folder);
  }

  async run(): Promise<Tried> {
    const { python } = this.options;
    if (python !== undefined) {
      // Before anything is downloaded: whether there is something to link to.
      this.options.progress(message('setupPython'));
      const tensorflow = await pythonTensorflow(python, this.folder, this.options.signal);
      await this.installPackage();
      return this.link(tensorflow);
    }
    await this.installPackage();
    const [own, failure] = await this.download().then(
      (tried) => [tried, undefined] as const,
      (error: unknown) => [undefined, error] as const,
    );
    if (failure !== undefined && !(failure instanceof UserError)) throw failure;
    const gpu = await (this.options.findGpu ?? nvidiaGpu)();
    if (own && (own.trial.gpu || !gpu)) return own;
    this.options.progress(message('setupPython'));
    const found = await this.findPython();
    if (!found) return own ?? Promise.reject(failure);
    return this.linkUnless(own, found);
  }

  /** The package and what it needs, without TensorFlow itself. */
  private async installPackage(): Promise<void> {
    this.options.progress(message('setupPackage', { package: packageName }));
    const dependencies = { [packageName]: packageVersion, 'node-api-headers': headersVersion };
    fs.writeFileSync(join(this.folder, 'package.json'), JSON.stringify({ private: true, dependencies }));
    // No script of any package runs here; the one that downloads TensorFlow is called by name.
    const flags = ['--ignore-scripts', '--no-audit', '--no-fund', '--no-package-lock', '--fetch-retries=1'];
    const { status, log } = await this.npm(['install', ...flags], 10 * minute);
    if (status !== 0 || !fs.existsSync(this.package)) {
      const reason = status === 'timeout' ? 'timeout' : npmReason(log);
      throw new UserError(message('setupPackageFailed', { package: packageName, reason }), message('setupNpmAdvice'));
    }
  }

  /** The TensorFlow that the package's install script downloads, and its binding. */
  private async download(): Promise<Tried> {
    const libraries = join(this.package, 'deps', 'lib');
    let bytes = 0;
    let changed = Date.now();
    const stalled = () => {
      const now = bytesIn(join(this.package, 'deps'));
      if (now !== bytes) changed = Date.now();
      bytes = now;
      this.options.progress(message('setupDownload', { megabytes: Math.round(bytes / 1e6) }));
      return Date.now() - changed > stallMs;
    };
    this.options.progress(message('setupDownload', { megabytes: 0 }));
    const end = await this.npm(['rebuild', packageName, '--foreground-scripts'], 60 * minute, stalled);
    const library = entries(libraries).find((file) => /^(lib)?tensorflow\.(so|dll|2\.dylib|dylib)/.test(file));
    if (library === undefined) {
      const reason = end.status === 'timeout' ? 'timeout' : npmReason(end.log);
      throw new UserError(message('setupDownloadFailed', { reason }), message('setupDownloadAdvice'));
    }
    if (!this.hasBinding()) {
      // A mirror may have TensorFlow and not the binding.
      const framework = entries(libraries).find((file) => /^libtensorflow_framework\./.test(file));
      const link = [library, ...(framework ? [framework] : [])].map((file) => join(libraries, file));
      await this.compile(join(this.package, 'deps', 'include'), link, '$ORIGIN/../../deps/lib');
    }
    if (process.platform === 'win32') this.copyBesideBinding(join(libraries, library));
    return { trial: await this.tryOut(), source: 'npm' };
  }

  /** Windows looks for tensorflow.dll beside the binding, where the install script forgets to put it on Node 20 and later. */
  private copyBesideBinding(dll: string): void {
    const lib = join(this.package, 'lib');
    for (const version of entries(lib)) {
      const copy = join(lib, version, basename(dll));
      if (fs.existsSync(join(lib, version, bindingFile)) && !fs.existsSync(copy)) fs.copyFileSync(dll, copy);
    }
  }

  private async findPython(): Promise<PythonTensorflow | undefined> {
    for (const python of pythonCandidates(this.options.environments)) {
      try {
        return await pythonTensorflow(python, this.folder, this.options.signal);
      } catch (error) {
        if (!(error instanceof UserError)) throw error;
      }
    }
    return undefined;
  }

  /** Links to Python's TensorFlow; keeps `own`, if there is one, unless Python's is the one that uses the GPU. */
  private async linkUnless(own: Tried | undefined, found: PythonTensorflow): Promise<Tried> {
    const parts = ['lib', 'deps'].map((part) => join(this.package, part));
    if (!own) return this.link(found);
    parts.forEach((part) => replace(part, `${part}.npm`));
    let linked: Tried | undefined;
    try {
      linked = await this.link(found);
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
    }
    if (linked?.trial.gpu) {
      parts.forEach((part) => fs.rmSync(`${part}.npm`, { recursive: true }));
      return linked;
    }
    parts.forEach((part) => {
      fs.rmSync(part, { recursive: true, force: true });
      replace(`${part}.npm`, part);
    });
    return own;
  }

  private async link({ python, folder, libraries, include }: PythonTensorflow): Promise<Tried> {
    this.options.progress(message('setupLink', { folder }));
    await this.compile(include, libraries, dirname(libraries[0]));
    return { trial: await this.tryOut(), source: 'python', python };
  }

  /**
   * Builds the package's binding against a TensorFlow. It consists of two files that use TensorFlow's C interface and
   * Node-API alone, so a compiler is all it takes: neither node-gyp with its Python and make nor headers of one Node.
   * @param rpath where the libraries are looked for at run time
   */
  private async compile(include: string, libraries: readonly string[], rpath: string): Promise<void> {
    const compiler = process.env['CXX'] ? findProgram(process.env['CXX']) : findProgram('c++', 'g++', 'clang++');
    if (compiler === undefined) {
      const advice = { linux: 'compilerLinux', darwin: 'compilerMac' } as const;
      throw new UserError(
        message('compilerMissing'),
        message(advice[process.platform as 'linux' | 'darwin'] ?? 'compilerOther'),
      );
    }
    const target = join(this.package, 'lib', 'napi-v8');
    makeFolder(target);
    const sources = ['tfjs_backend.cc', 'tfjs_binding.cc'].map((file) => join(this.package, 'binding', file));
    const headers = join(this.folder, 'node_modules', 'node-api-headers', 'include');
    const { status, log } = await runProgram(
      compiler,
      [
        '-std=c++17', '-O2', '-fPIC', '-shared', '-DNAPI_VERSION=8', `-I${headers}`, `-I${include}`, ...sources,
        '-o', join(target, bindingFile), ...libraries, `-Wl,-rpath,${rpath}`,
        ...(process.platform === 'darwin' ? ['-undefined', 'dynamic_lookup'] : []),
      ], // prettier-ignore
      this.program(10 * minute),
    );
    if (status !== 0) {
      const reason = /error: .*/.exec(log)?.[0] ?? log.trim().split('\n').at(-1) ?? '';
      throw new UserError(message('compileFailed', { compiler, reason: reason || String(status) }));
    }
  }

  private hasBinding(): boolean {
    const lib = join(this.package, 'lib');
    return entries(lib).some((version) => fs.existsSync(join(lib, version, bindingFile)));
  }

  private async tryOut(): Promise<Trial> {
    this.options.progress(message('setupTrial'));
    try {
      return await tryOut(this.package, this.options.signal);
    } catch (error) {
      this.options.signal.throwIfAborted();
      const reason = error instanceof Error ? error.message : String(error);
      throw new UserError(message('setupTrialFailed', { reason }), message('setupTrialAdvice'), { cause: error });
    }
  }

  private npm(args: readonly string[], timeoutMs: number, stalled?: () => boolean): Promise<ProgramEnd> {
    const npm = findProgram('npm');
    if (npm === undefined) throw new UserError(message('npmMissing'), message('npmAdvice'));
    return runProgram(npm, args, { ...this.program(timeoutMs), stalled });
  }

  private program(timeoutMs: number): ProgramOptions {
    return { cwd: this.folder, signal: this.options.signal, timeoutMs };
  }
}

const bindingFile = 'tfjs_binding.node';

const entries = (folder: string): string[] => (fs.existsSync(folder) ? fs.readdirSync(folder) : []);

function bytesIn(folder: string): number {
  let sum = 0;
  for (const entry of fs.existsSync(folder) ? fs.readdirSync(folder, { withFileTypes: true }) : []) {
    const path = join(folder, entry.name);
    sum += entry.isDirectory() ? bytesIn(path) : (fs.lstatSync(path, { throwIfNoEntry: false })?.size ?? 0);
  }
  return sum;
}

/** The line of npm's log that says what went wrong: the script's own error, or npm's. */
function npmReason(log: string): string {
  const lines = log.split('\n').map((line) => line.trim());
  const told =
    lines.find((line) => /^(\w*Error: |npm (error|ERR!) (network |request |FetchError))/.test(line)) ??
    lines.find((line) => /^npm (error|ERR!) (?!code |errno |syscall |address |port |A complete log)/.test(line));
  return told?.replace(/^npm (error|ERR!) /, '') ?? 'npm';
}

/** Removes what setups left behind whose process was killed. */
function removeLeftovers(storage: string): void {
  for (const name of fs.readdirSync(storage)) {
    const pid = /^tensorflow\.(?:setup|old)-(\d+)$/.exec(name)?.[1];
    if (pid !== undefined && !isAlive(Number(pid))) {
      fs.rmSync(join(storage, name), { recursive: true, force: true });
    }
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

/** Puts `successor`, or nothing, in the place of a folder, by renaming alone. */
function exchange(final: string, successor: string | undefined): void {
  const old = `${final}.old-${process.pid}`;
  try {
    if (fs.existsSync(final)) replace(final, old);
    if (successor !== undefined) replace(successor, final);
  } catch (error) {
    if (fs.existsSync(old) && !fs.existsSync(final)) replace(old, final);
    // Windows refuses while a process has a library of the folder loaded.
    if (['EPERM', 'EBUSY', 'EACCES'].includes((error as NodeJS.ErrnoException).code ?? '')) {
      throw new UserError(message('setupInUse', { folder: final }), message('setupInUseAdvice'), { cause: error });
    }
    throw notWritable(dirname(final), error);
  }
  fs.rmSync(old, { recursive: true, force: true });
}

function notWritable(folder: string, error: unknown): UserError {
  const reason = (error as NodeJS.ErrnoException).code ?? String(error);
  return new UserError(message('setupNotWritable', { folder, reason }), message('setupNotWritableAdvice'), {
    cause: error,
  });
}
