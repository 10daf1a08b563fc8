/** The view of engines on a fake of VS Code, with a fake trainer that says what the engines would. */
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { EngineTree } from '../../src/host/engineTree';
import type { LiveRuns } from '../../src/host/liveRuns';
import { Log } from '../../src/host/log';
import { nodeSetting } from '../../src/host/settings';
import { message } from '../../src/core/messages/message';
import type { EngineReport, MeasureRequest, NetworkSpeed } from '../../src/core/contracts/tasks';
import { configure, fake, l10n, reset, TreeItem } from './vscodeFake';

vi.mock('vscode', () => import('./vscodeFake'));

const speed = (network: 'lenet5' | 'vgg16', imagesPerSecond: number, exact = true): NetworkSpeed => ({
  shape: { network, channels: 3, size: 64, outputs: 1, batchSize: 32 },
  imagesPerSecond,
  evaluationImagesPerSecond: 3 * imagesPerSecond,
  exact,
  cached: true,
});
const noVulkan: EngineReport = {
  engine: 'webgpu',
  usable: false,
  preferred: false,
  reason: { id: 'webgpuNoVulkan', args: {} },
  action: { id: 'installVulkan', args: {} },
  speeds: [],
};
const onnx: EngineReport = {
  engine: 'onnx',
  usable: true,
  preferred: true,
  device: { kind: 'cpu', name: 'A processor', threads: 4 },
  speeds: [speed('lenet5', 12345.6), speed('vgg16', 1.26, false)],
};

let folder: string;
let tree: EngineTree;
let training: unknown[];
let changes: number;
beforeEach(() => {
  reset();
  folder = fs.mkdtempSync(path.join(os.tmpdir(), 'convlab-engines-'));
  fs.copyFileSync(path.join(import.meta.dirname, 'fakeTrainer.cjs'), path.join(folder, 'trainer.js'));
  training = [];
  changes = 0;
  const script = path.join(folder, 'trainer.js');
  tree = new EngineTree(() => ({ script, execPath: nodeSetting() }), { training } as unknown as LiveRuns, new Log());
  tree.onDidChangeTreeData(() => (changes += 1));
  say(noVulkan, onnx);
});
afterEach(() => {
  tree.dispose();
  vi.unstubAllEnvs();
  fs.rmSync(folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 });
});

const say = (...reports: EngineReport[]) => vi.stubEnv('FAKE_ENGINES', JSON.stringify(reports));
const run = (command: string, ...args: unknown[]) => fake.commands.get(command)!(...args);
const items = async (): Promise<{ engine: TreeItem; facts: TreeItem[] }[]> =>
  Promise.all(
    (await tree.getChildren()).map(async (node) => ({
      engine: tree.getTreeItem(node) as unknown as TreeItem,
      facts: (await tree.getChildren(node)).map((fact) => tree.getTreeItem(fact) as unknown as TreeItem),
    })),
  );
const outline = async () =>
  (await items()).map(({ engine, facts }) => [
    [engine.label, engine.description, engine.contextValue],
    facts.map(({ label, description }) => (description === undefined ? label : [label, description])),
  ]);
const commandOf = (item: TreeItem | undefined) =>
  (item as unknown as { command?: { command: string; arguments?: unknown[] } }).command!;
const measured = (): MeasureRequest =>
  JSON.parse(fs.readFileSync(path.join(folder, 'measure.json'), 'utf8')) as MeasureRequest;

describe('the view tells', () => {
  test('of each engine its state, reason and action, or its device, threads and speeds', async () => {
    expect(await outline()).toEqual([
      [
        ['webgpu', 'not available', 'engine'],
        [
          'WebGPU needs Vulkan here, and its loader (libvulkan.so.1) is not installed.',
          'Install the Vulkan loader (Debian, Ubuntu: libvulkan1; Fedora: vulkan-loader) and the GPU’s driver.',
        ],
      ],
      [
        ['onnx', 'chosen', 'engine.measurable'],
        ['A processor', '4 threads', ['LeNet-5, 64×64', '12,346 images/s'], ['VGG-16, 64×64', 'about 1.3 images/s']],
      ],
    ]);
    const [, { engine }] = (await items()) as [unknown, { engine: TreeItem }];
    expect(engine.tooltip).toBe(
      'ONNX Runtime, which comes with ConvLab: for any CPU, with nothing else to install.\n\nA processor, 4 threads',
    );
  });

  test('of ONNX Runtime where it runs as WebAssembly, and why', async () => {
    const notes = [message('onnxNoNativeBuild', { machine: 'darwin-x64' }), message('onnxOnWebAssembly')];
    const web = { kind: 'cpu', name: 'WebAssembly, A processor', threads: 4 } as const;
    say({ ...onnx, device: web, notes, speeds: [] });
    const sentences = [
      'ONNX Runtime has no native code for darwin-x64 in this installation.',
      'onnx trains as WebAssembly instead, several times slower.',
    ];
    expect(await outline()).toEqual([
      [
        ['onnx', 'chosen', 'engine.measurable'],
        [...sentences, 'WebAssembly, A processor', '4 threads', 'Measure its speed'],
      ],
    ]);
    await run('convlab.explainEngine', 'onnx');
    expect(fake.notifications[0]!.text).toBe(`onnx: WebAssembly, A processor, 4 threads – ${sentences.join(' ')}`);
  });

  test('which engine the setting chooses', async () => {
    const states = async () => (await items()).map(({ engine }) => [engine.description, engine.iconPath!.id]);
    say({ ...onnx, preferred: false }, noVulkan, { ...onnx, engine: 'tensorflow' });
    expect(await states()).toEqual([
      ['ready', 'pass'],
      ['not available', 'circle-slash'],
      ['chosen', 'pass-filled'],
    ]);
    configure('convlab.engine', 'onnx');
    expect(changes).toBe(1);
    expect((await states())[0]).toEqual(['chosen', 'pass-filled']);
    expect((await states())[2]).toEqual(['ready', 'pass']);
    configure('convlab.engine', 'webgpu');
    expect((await states())[1]).toEqual(['set, but not available', 'warning']);
  });

  test('anew when the Node.js or the number of threads is another, or when asked', async () => {
    await items();
    say(onnx);
    expect(await outline()).toHaveLength(2);
    configure('convlab.threads', 3);
    expect(await outline()).toHaveLength(1);
    say(onnx, noVulkan);
    await run('convlab.refreshEngines');
    expect(await outline()).toHaveLength(2);
    expect(changes).toBe(2);
  });

  test('what went wrong when the trainer cannot say it, and looks again when that is clicked', async () => {
    configure('convlab.node', path.join(folder, 'no-node'));
    const [failed] = await items();
    expect(failed!.engine.label).toMatch(/^The trainer process could not be started: .*no-node/);
    expect(commandOf(failed!.engine)).toMatchObject({ command: 'convlab.refreshEngines' });
    fake.settings['convlab.node'] = '';
    await run('convlab.refreshEngines');
    expect(await outline()).toHaveLength(2);
  });

  test('in Chinese', async () => {
    const file = path.join(import.meta.dirname, '../../l10n/bundle.l10n.zh-tw.json');
    l10n.bundle = JSON.parse(fs.readFileSync(file, 'utf8')) as Record<string, string>;
    expect(await outline()).toEqual([
      [
        ['webgpu', '無法使用', 'engine'],
        [expect.stringMatching(/^WebGPU 在這裡需要 Vulkan/), expect.stringMatching(/^請安裝 Vulkan/)],
      ],
      [
        ['onnx', '使用中', 'engine.measurable'],
        ['A processor', '4 個執行緒', ['LeNet-5, 64×64', '每秒 12,346 張'], ['VGG-16, 64×64', '每秒約 1.3 張']],
      ],
    ]);
  });
});

describe('an action', () => {
  test('is spelled out where the user has to act', async () => {
    const [webgpu] = await items();
    const { command, arguments: args } = commandOf(webgpu!.facts[1]);
    await run(command, ...args!);
    expect(fake.notifications).toEqual([
      {
        kind: 'information',
        text: expect.stringMatching(/^webgpu: WebGPU needs Vulkan here.* Install the Vulkan loader/),
        buttons: [],
      },
    ]);
  });

  test('has a button where the editor can act', async () => {
    const reason = { id: 'webgpuElectron', args: {} } as const;
    say({ ...noVulkan, reason, action: { id: 'setNode', args: {} } });
    const [webgpu] = await items();
    expect(webgpu!.facts.map(({ label }) => label).at(-1)).toBe('Set the Node.js that trains');
    expect(commandOf(webgpu!.facts.at(-1))).toMatchObject({
      command: 'workbench.action.openSettings',
      arguments: ['convlab.node'],
    });
    fake.answer = (_, [button]) => button;
    await run('convlab.explainEngine', 'webgpu');
    expect(fake.executed).toEqual([{ command: 'workbench.action.openSettings', args: ['convlab.node'] }]);
  });

  test('sets TensorFlow up where it is not', async () => {
    const [reason, action] = [message('tensorflowNotSetUp'), message('tensorflowSetUp')];
    say({ ...noVulkan, engine: 'tensorflow', reason, action });
    const [tensorflow] = await items();
    expect(tensorflow!.facts.map(({ label }) => label).at(-1)).toBe('Set up TensorFlow…');
    expect(commandOf(tensorflow!.facts.at(-1))).toMatchObject({ command: 'convlab.setUpTensorflow' });
  });

  test('is to measure where nothing is measured yet', async () => {
    configure('convlab.threads', 2);
    say({ ...onnx, speeds: [] });
    const [engine] = await items();
    const { command, arguments: args } = commandOf(engine!.facts.at(-1));
    say(onnx);
    await run(command, ...args!);
    expect(measured()).toEqual({ engine: 'onnx', threads: 2, again: false });
    expect(fake.progress).toEqual(['Measuring LeNet-5 at 32×32…']);
    expect((await items())[0]!.facts).toHaveLength(4);
    expect(fake.notifications).toEqual([]);
  });
});

describe('measuring', () => {
  test('begins anew where all is measured, and goes on where it was cancelled', async () => {
    const [, node] = await tree.getChildren();
    vi.stubEnv('FAKE_TRAINER', 'wait');
    const cancelled = run('convlab.measureEngine', node);
    await vi.waitFor(() => expect(fake.progress).toHaveLength(1), { timeout: 10_000 });
    fake.cancel.fire();
    await cancelled;
    expect(measured().again).toBe(true);
    vi.stubEnv('FAKE_TRAINER', 'finish');
    await run('convlab.measureEngine', node);
    expect(measured().again).toBe(false);
    await run('convlab.measureEngine', node);
    expect(measured().again).toBe(true);
    expect(fake.notifications).toEqual([]);
  });

  test('is refused beside a training', async () => {
    training.push({});
    await run('convlab.measureEngine', 'onnx');
    expect(fs.existsSync(path.join(folder, 'measure.json'))).toBe(false);
    expect(fake.notifications[0]!.text).toMatch(/^A run is in progress.*Measure after it ends/);
  });

  test('offers the engines that can be measured, no emulated one among them', async () => {
    const reason = { id: 'engineEmulates', args: { engine: 'webgpu', device: 'llvmpipe' } } as const;
    say({ ...noVulkan, usable: true, device: { kind: 'cpu', name: 'llvmpipe' }, reason, action: undefined }, onnx);
    const asked: string[][] = [];
    fake.pick = (choices) => {
      asked.push(choices.map(({ label }) => label));
      return 'onnx';
    };
    await run('convlab.measureEngine');
    expect(asked).toEqual([['onnx']]);
    expect(measured().engine).toBe('onnx');
    expect((await items())[0]!.engine).toMatchObject({ description: 'ready', contextValue: 'engine' });
  });

  test('says which network has no speed, and why', async () => {
    vi.stubEnv('FAKE_TRAINER', 'unmeasured');
    await run('convlab.measureEngine', 'onnx');
    expect(fake.notifications).toEqual([
      { kind: 'warning', text: expect.stringMatching(/^VGG-16 could not be measured: .*no memory/), buttons: [] },
    ]);
  });
});
