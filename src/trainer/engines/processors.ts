/**
 * How many threads of the processor a computation may use: what the process is allowed of the machine (affinity, a
 * container's or a cluster's quota), and how many of these are cores of their own. The engines ask for their default,
 * choose.ts for the most.
 */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { availableParallelism, cpus } from 'node:os';
import { dirname, join } from 'node:path';

/** What there is to ask; other than this machine only in tests. */
export interface ProcessorSources {
  readonly platform: NodeJS.Platform;
  /** Logical processors of the machine, and those that this process may run on. */
  readonly logical: number;
  readonly allowed: number;
  /** A file's text; undefined where it cannot be read. */
  file(path: string): string | undefined;
  /** What a program prints; undefined where it cannot be run. */
  output(program: string, args: readonly string[]): string | undefined;
}

const thisMachine = (): ProcessorSources => ({
  platform: process.platform,
  logical: cpus().length,
  allowed: availableParallelism(),
  file(path) {
    try {
      return readFileSync(path, 'utf8');
    } catch {
      return undefined;
    }
  },
  output(program, args) {
    try {
      return execFileSync(program, args, {
        encoding: 'utf8',
        timeout: 5000,
        windowsHide: true,
        stdio: ['ignore', 'pipe', 'ignore'],
      });
    } catch {
      return undefined;
    }
  },
});

/** The most threads that are of use: the logical processors that this process may run on. */
export function mostThreads({ platform, logical, allowed, file } = thisMachine()): number {
  const list = platform === 'linux' ? allowedProcessors(file) : undefined;
  return Math.max(1, Math.min(logical || 1, list?.size ?? allowed));
}

let found: number | undefined;

/**
 * Threads by default: the allowed cores without hyper-threading, because a second thread on one core only takes the first
 * one's cache, and no more than a quota of processor time lets run at once.
 */
export function defaultThreads(sources?: ProcessorSources): number {
  if (sources) return threadsOf(sources);
  return (found ??= threadsOf(thisMachine()));
}

function threadsOf(sources: ProcessorSources): number {
  const most = mostThreads(sources);
  const cores = coresOf(sources) ?? most;
  const quota = sources.platform === 'linux' ? cpuQuota(sources.file) : undefined;
  return Math.max(1, Math.min(most, cores, Math.floor(quota ?? Infinity)));
}

/** Cores that this process may run on; undefined where the system does not tell. */
function coresOf({ platform, file, output }: ProcessorSources): number | undefined {
  if (platform === 'linux') return linuxCores(file('/proc/cpuinfo') ?? '', allowedProcessors(file));
  const told =
    platform === 'darwin'
      ? output('/usr/sbin/sysctl', ['-n', 'hw.physicalcpu'])
      : platform === 'win32'
        ? output(
            join(process.env['SystemRoot'] ?? 'C:\\Windows', 'System32\\WindowsPowerShell\\v1.0\\powershell.exe'),
            [
              ...['-NoProfile', '-NonInteractive', '-Command'],
              '(Get-CimInstance Win32_Processor | Measure-Object -Property NumberOfCores -Sum).Sum',
            ],
          )
        : undefined;
  const cores = Number(told?.trim() || NaN);
  return Number.isInteger(cores) && cores > 0 ? cores : undefined;
}

function linuxCores(cpuinfo: string, allowed: ReadonlySet<number> | undefined): number | undefined {
  const cores = new Set<string>();
  let [processor, chip, core] = [-1, '', ''];
  for (const line of `${cpuinfo}\n`.split('\n')) {
    if (line.startsWith('processor')) processor = Number(line.split(':')[1]);
    if (line.startsWith('physical id')) chip = line;
    if (line.startsWith('core id')) core = line;
    if (line === '' && core && (allowed?.has(processor) ?? true)) cores.add(`${chip} ${core}`);
  }
  return cores.size > 0 ? cores.size : undefined;
}

/** The numbers of the processors that this process may run on: under `taskset`, or in a cluster's job. */
function allowedProcessors(file: ProcessorSources['file']): Set<number> | undefined {
  const list = /^Cpus_allowed_list:\s*(\S+)$/m.exec(file('/proc/self/status') ?? '')?.[1];
  if (list === undefined) return undefined;
  const numbers = list.split(',').flatMap((range) => {
    const [from = NaN, to = from] = range.split('-').map(Number);
    return Array.from({ length: to - from + 1 }, (_, i) => from + i);
  });
  return new Set(numbers);
}

/** Processors' worth of time that the control groups of this process let it have; undefined where there is no bound. */
function cpuQuota(file: ProcessorSources['file']): number | undefined {
  const quotas: number[] = [];
  for (const line of (file('/proc/self/cgroup') ?? '').split('\n')) {
    const [, controllers = '', group] = /^\d+:([^:]*):(\/.*)$/.exec(line) ?? [];
    if (group === undefined) continue;
    const isSecond = controllers === '';
    if (!isSecond && !controllers.split(',').includes('cpu')) continue;
    const root = isSecond ? '/sys/fs/cgroup' : '/sys/fs/cgroup/cpu';
    // A group has no more than those above it; in a container its own may not be visible.
    for (let at = group; ; at = dirname(at)) {
      const folder = join(root, at);
      const [quota, period] = isSecond
        ? (file(join(folder, 'cpu.max')) ?? '').trim().split(' ').map(Number)
        : [file(join(folder, 'cpu.cfs_quota_us')), file(join(folder, 'cpu.cfs_period_us'))].map((t) =>
            Number(t ?? NaN),
          );
      if (quota! > 0 && period! > 0) quotas.push(quota! / period!);
      if (at === '/') break;
    }
  }
  return quotas.length > 0 ? Math.min(...quotas) : undefined;
}
