/** How many threads a computation gets by default and at most, on machines that are only described. */
import { expect, test } from 'vitest';
import { defaultThreads, mostThreads, ProcessorSources } from '../../src/trainer/engines/processors';

/** Four cores on one chip, each with two hardware threads: processors 0 and 4 are on the first core, and so on. */
const cpuinfo = Array.from(
  { length: 8 },
  (_, i) => `processor\t: ${i}\nphysical id\t: 0\ncore id\t\t: ${i % 4}\n`,
).join('\n');

const machine = (
  files: Record<string, string>,
  { output = undefined, ...more }: Partial<Omit<ProcessorSources, 'output'>> & { output?: string } = {},
): ProcessorSources => ({
  platform: 'linux',
  logical: 8,
  allowed: 8,
  file: (path) => files[path],
  output: () => output,
  ...more,
});
const linux = { '/proc/cpuinfo': cpuinfo, '/proc/self/status': 'Name:\tnode\nCpus_allowed_list:\t0-7\n' };

test.each<[string, ProcessorSources, number, number]>([
  ['hyper-threading doubles no cores', machine(linux), 4, 8],
  [
    'taskset leaves two processors of one core',
    machine({ ...linux, '/proc/self/status': 'Cpus_allowed_list:\t1,5\n' }),
    1,
    2,
  ],
  [
    'a container’s quota of two and a half processors',
    machine({ ...linux, '/proc/self/cgroup': '0::/\n', '/sys/fs/cgroup/cpu.max': '250000 100000\n' }),
    2,
    8,
  ],
  [
    'a quota of a group above, none of its own',
    machine({
      ...linux,
      '/proc/self/cgroup': '0::/job/step\n',
      '/sys/fs/cgroup/job/step/cpu.max': 'max 100000\n',
      '/sys/fs/cgroup/job/cpu.max': '50000 100000\n',
    }),
    1,
    8,
  ],
  [
    'a quota of the first version of control groups',
    machine({
      ...linux,
      '/proc/self/cgroup': '3:cpu,cpuacct:/docker/a\n1:memory:/docker/a\n',
      '/sys/fs/cgroup/cpu/cpu.cfs_quota_us': '300000\n',
      '/sys/fs/cgroup/cpu/cpu.cfs_period_us': '100000\n',
    }),
    3,
    8,
  ],
  ['an Intel Mac', machine({}, { platform: 'darwin', output: '4\n' }), 4, 8],
  ['Windows', machine({}, { platform: 'win32', output: '4\r\n' }), 4, 8],
  ['a system that does not tell its cores', machine({}, { platform: 'win32', output: 'no such class' }), 8, 8],
  ['a Linux that tells nothing', machine({}), 8, 8],
])('%s', (_, sources, usual, most) => {
  expect(defaultThreads(sources)).toBe(usual);
  expect(mostThreads(sources)).toBe(most);
});
