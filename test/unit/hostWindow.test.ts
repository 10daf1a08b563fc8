/** The extension as a window sees it: activated on a fake of VS Code, with a fake trainer in its dist folder. */
import * as fs from 'node:fs';
import { createRequire, syncBuiltinESMExports } from 'node:module';
import * as path from 'node:path';
import { beforeEach, describe, expect, test, vi } from 'vitest';
import { loadExperiments } from '../../src/disk/experimentFiles';
import type { EstimateRequest, TrainRequest } from '../../src/core/contracts/tasks';
import type { ToRun } from '../../src/core/contracts/pages';
import { runsFolderOf } from '../../src/disk/places';
import { env, fake, Uri } from './vscodeFake';
import {
  root,
  workspace,
  extension,
  repository,
  manifest,
  lenet,
  open,
  close,
  until,
  run,
  texts,
  runFolders,
  states,
  snapshots,
  train,
  trainingUntilSteps,
  draw,
  outline,
  Drawn,
} from './window';

vi.mock('vscode', () => import('./vscodeFake'));

describe('package.json', () => {
  test('every command is there, and no other', () => {
    open();
    expect([...fake.commands.keys()].sort()).toEqual(manifest.contributes.commands.map((c) => c.command).sort());
  });

  test('menus name commands that exist, and every training command an experiment', () => {
    const known = manifest.contributes.commands.map((c) => c.command);
    const inMenus = Object.values(manifest.contributes.menus)
      .flat()
      .map((c) => c.command);
    expect(inMenus.filter((command) => !known.includes(command))).toEqual([]);
    const ids = known.flatMap((command) => /^convlab\.train\.(.+)$/.exec(command)?.[1] ?? []);
    const experiments = loadExperiments(path.join(repository, 'experiments')).map(({ experiment }) => experiment!);
    // In the order of the notes, the first of them LeNet-5.
    expect(ids).toEqual(experiments.map(({ id }) => id));
    expect(ids[0]).toBe('lenet5-mnist');
    const english = JSON.parse(fs.readFileSync(path.join(repository, 'package.nls.json'), 'utf8')) as object;
    for (const { id, title } of experiments) {
      expect(english).toMatchObject({ [`command.train.${id}`]: `Train ${title}` });
    }
  });

  test('settings that name folders are not taken from untrusted workspaces', () => {
    const folders = Object.keys(manifest.contributes.configuration.properties).filter((name) =>
      name.endsWith('Folder'),
    );
    expect(folders.length).toBeGreaterThan(0);
    expect(manifest.capabilities.untrustedWorkspaces.restrictedConfigurations.sort()).toEqual(folders.sort());
    // The one that names a program is not taken from any workspace.
    expect(manifest.contributes.configuration.properties['convlab.node']!.scope).toBe('machine');
  });
});

describe('activation', () => {
  test('reads no file', () => {
    // The namespace that `import * as fs` gives cannot be spied on; the object behind it can.
    const object = createRequire(import.meta.url)('node:fs') as typeof fs;
    const spies = (['readFileSync', 'readdirSync', 'statSync', 'openSync'] as const).map((name) =>
      vi.spyOn(object, name),
    );
    syncBuiltinESMExports();
    try {
      open();
      expect(spies.flatMap((spy) => spy.mock.calls as unknown[])).toEqual([]);
      // So that this test can fail: the tree reads.
      void fake.tree!.getChildren();
      expect(spies.flatMap((spy) => spy.mock.calls as unknown[]).length).toBeGreaterThan(0);
    } finally {
      vi.restoreAllMocks();
      syncBuiltinESMExports();
    }
  });
});

describe('training', () => {
  test('the command trains, the panel follows, the end is announced', async () => {
    fake.answer = (text) => (text.includes('test accuracy') ? 'Show chart' : undefined);
    open();
    const panel = await train('finish');
    await until(() => states(panel).at(-1) === 'finished');
    expect(panel.title).toBe('LeNet-5 on MNIST');
    await until(() => texts().includes('LeNet-5 on MNIST: test accuracy 0.9876'));
    await until(() => panel.revealed === 1);
    expect(fake.panels).toHaveLength(1);
    expect(fake.statusBar!.visible).toBe(false);
    const contexts = fake.executed.filter(({ command }) => command === 'setContext').map(({ args }) => args);
    expect(contexts).toEqual([
      ['convlab.training', true],
      ['convlab.training', false],
      ['convlab.trained', true],
    ]);
    // What was sent adds up to the run: each event once.
    const sent = panel.sent as ToRun[];
    const last = sent.findLastIndex((m) => m.type === 'snapshot');
    const events = sent
      .slice(last)
      .flatMap((m) => (m.type === 'snapshot' ? m.snapshot.events : m.type === 'changes' ? m.events : []));
    expect(events.map((e) => e.type)).toEqual(['started', 'step', 'step', 'step', 'step', 'epoch', 'finished']);
    expect(snapshots(panel).at(-1)).toMatchObject({ run: path.basename(runFolders()[0]!) });
  });

  test('a quick pick asks for the preset and shows what each would do; leaving it trains nothing', async () => {
    fake.settings['convlab.preset'] = 'ask';
    fake.settings['convlab.epochs'] = 4;
    const asked: unknown[] = [];
    fake.pick = (items) => {
      asked.push(items.map((item) => [item.label, (item as { description?: string }).description]));
      return undefined;
    };
    open();
    await run(lenet);
    expect(asked).toEqual([
      [
        ['course', '4 epochs · 55,000 examples · measuring…'],
        ['quick', '4 epochs · 20,000 examples · measuring…'],
      ],
    ]);
    expect([fake.panels, runFolders()]).toEqual([[], []]);
    expect(fake.quickPicks.map(({ disposed }) => disposed)).toEqual([true]);
  });

  describe('the question for the preset', () => {
    const descriptions = () => fake.quickPicks[0]!.items.map((item) => item.description);
    const size = ['10 epochs · 55,000 examples', '3 epochs · 20,000 examples'];
    let answer: (label: string | undefined) => void;
    beforeEach(() => {
      fake.settings['convlab.preset'] = 'ask';
      fake.pick = () => new Promise((resolve) => (answer = resolve));
    });

    test('fills in how long each would take without moving the choice', async () => {
      vi.stubEnv('FAKE_ESTIMATES', '[7300,170]');
      fake.settings['convlab.threads'] = 3;
      open();
      const asked = run(lenet) as Promise<void>;
      await until(() => fake.quickPicks.length > 0);
      const [quickPick] = fake.quickPicks;
      expect(descriptions()).toEqual(size.map((text) => `${text} · measuring…`));
      quickPick!.activeItems = quickPick!.items.slice(1);
      await until(() => descriptions().every((text) => !text!.includes('measuring')));
      expect(descriptions()).toEqual([`${size[0]} · about 2 h`, `${size[1]} · about 3 min`]);
      expect(quickPick!.activeItems.map((item) => item.label)).toEqual(['quick']);
      const request = JSON.parse(
        fs.readFileSync(path.join(extension, 'dist/estimate.json'), 'utf8'),
      ) as EstimateRequest;
      expect(request).toMatchObject({
        threads: 3,
        engine: 'auto',
        measure: true,
        runsFolders: [runsFolderOf(workspace)],
      });
      expect(request.experiments.map((e) => [e.id, e.preset])).toEqual([
        ['lenet5-mnist', 'course'],
        ['lenet5-mnist', 'quick'],
      ]);
      answer('quick');
      await asked;
      await until(() => texts().length > 0);
      expect(runFolders()).toHaveLength(1);
    });

    test('speaks the language of the window', async () => {
      vi.stubEnv('FAKE_ESTIMATES', '[7300,170]');
      env.language = 'zh-tw';
      open();
      const asked = run(lenet) as Promise<void>;
      await until(() => fake.quickPicks[0] && descriptions()[1]!.includes('約'));
      expect(descriptions().map((text) => text!.split(' · ').at(-1))).toEqual(['約 2 小時', '約 3 分鐘']);
      answer(undefined);
      await asked;
    });

    test('leaves out what cannot be told, and measures nothing beside a training', async () => {
      vi.stubEnv('FAKE_ESTIMATES', '[null,40]');
      fake.settings['convlab.preset'] = 'quick';
      open();
      await trainingUntilSteps();
      fake.settings['convlab.preset'] = 'ask';
      const asked = run(lenet) as Promise<void>;
      await until(() => fake.quickPicks[0] && descriptions().every((text) => !text!.includes('measuring')));
      expect(descriptions()).toEqual([size[0], `${size[1]} · about 40 s`]);
      const request = JSON.parse(
        fs.readFileSync(path.join(extension, 'dist/estimate.json'), 'utf8'),
      ) as EstimateRequest;
      expect(request.measure).toBe(false);
      answer(undefined);
      await asked;
    });

    test('is asked without a figure where the estimate fails, which the log tells', async () => {
      open();
      const asked = run(lenet) as Promise<void>;
      await until(() => fake.quickPicks[0] && descriptions().every((text) => !text!.includes('measuring')));
      expect(descriptions()).toEqual(size);
      expect(fake.log.join('\n')).toMatch(/warn estimate: The trainer process ended unexpectedly/);
      expect(texts()).toEqual([]);
      answer(undefined);
      await asked;
      expect(runFolders()).toEqual([]);
    });
  });

  test('“Train…” asks for network, dataset and preset, and the settings shorten the run', async () => {
    Object.assign(fake.settings, { 'convlab.preset': 'ask', 'convlab.epochs': 2, 'convlab.limit': 640 });
    const questions: (string | undefined)[] = [];
    fake.pick = (items, { placeHolder }) => {
      questions.push(placeHolder);
      return items.map((item) => item.label).find((label) => ['LeNet-5', 'MNIST', 'quick'].includes(label));
    };
    open();
    await run('convlab.train');
    expect(questions).toEqual(['Which network?', 'On which dataset?', 'Which preset?']);
    await until(() => texts().length > 0);
    const { experiment } = JSON.parse(fs.readFileSync(path.join(runFolders()[0]!, 'run.json'), 'utf8')) as {
      experiment: unknown;
    };
    expect(experiment).toMatchObject({ id: 'lenet5-mnist', preset: 'quick', epochs: 2, limit: 640 });
  });

  test('the setting for the number of examples is a cap: a preset with fewer keeps them', async () => {
    fake.settings['convlab.limit'] = 30_000;
    const limitOf = async (preset: string) => {
      fake.settings['convlab.preset'] = preset;
      const before = runFolders();
      await train('finish');
      await until(() => texts().length === before.length + 1);
      const folder = runFolders().find((name) => !before.includes(name))!;
      const record = JSON.parse(fs.readFileSync(path.join(folder, 'run.json'), 'utf8')) as {
        experiment: { limit?: number };
      };
      return record.experiment.limit;
    };
    open();
    expect(await limitOf('quick')).toBe(20_000);
    expect(await limitOf('course')).toBe(30_000);
  });

  test('status bar: the epoch of one run, the number of several', async () => {
    open();
    await trainingUntilSteps();
    expect(fake.statusBar).toMatchObject({ visible: true, text: '$(loading~spin) LeNet-5 1/3' });
    expect(fake.statusBar!.tooltip).toContain('Training loss 2.2000');
    await run(lenet);
    await until(() => fake.statusBar!.text === '$(loading~spin) ConvLab: 2 runs');
  });

  test('a failure is told in a sentence, with the way to the log', async () => {
    open();
    const panel = await train('fail');
    await until(() => states(panel).at(-1) === 'failed');
    await until(() => fake.notifications.length > 0);
    expect(fake.notifications).toEqual([
      {
        kind: 'error',
        text: 'The loss became NaN in epoch 1, step 1: training has diverged.',
        buttons: ['Show log'],
      },
    ]);
  });

  test('a setting that makes no sense is named, and nothing is trained', async () => {
    fake.settings['convlab.epochs'] = 2.5;
    open();
    await run(lenet);
    expect(texts()).toEqual([
      'The setting convlab.epochs cannot be used: expected a whole number from 0 to 10000, found 2.5',
    ]);
    expect(fake.panels).toEqual([]);
  });

  test('a defect is a sentence too, with its stack in the log', async () => {
    open();
    await run('convlab.openRun', {
      kind: 'run',
      get line(): never {
        throw new TypeError('no such thing');
      },
    });
    expect(texts()).toEqual([
      'Something went wrong inside ConvLab (no such thing). The details are in the log; please report them.',
    ]);
    expect(fake.log.join('\n')).toMatch(/TypeError: no such thing\s+at /);
  });
});

describe('the tree', () => {
  test('shows experiments as the notes group them, and runs below', async () => {
    open();
    const group = (title: string, ...children: string[]) => [
      title,
      undefined,
      'group',
      children.map((label) => [label, '', label.startsWith('Summary') ? 'comparison' : 'experiment', []]),
    ];
    expect(outline(await draw())).toEqual([
      group('LeNet-5', 'LeNet-5 on MNIST'),
      group(
        'AlexNet',
        'AlexNet on MNIST',
        'AlexNet on CIFAR-10 without cats and dogs',
        'AlexNet on Cats vs Dogs, pretrained',
        'AlexNet on Cats vs Dogs, from scratch',
        'AlexNet on Cats vs Dogs, augmented',
      ),
      group('VGG-16', 'VGG-16 on Cats vs Dogs'),
      group('ResNet-18', 'ResNet-18 on Cats vs Dogs'),
      group('Comparison', 'Summary table and curves'),
      group(
        'TensorFlow appendix',
        'AlexNet (Keras) on Cats vs Dogs',
        'VGG-16 (Keras) on Cats vs Dogs',
        'ResNet-50 (Keras) on Cats vs Dogs',
      ),
    ]);
    await train('finish');
    await until(() => texts().length > 0);
    const changed = new Promise<void>((resolve) => fake.tree!.onDidChangeTreeData(resolve));
    await changed;
    const [[, , , [experiment]]] = outline(await draw()) as [[unknown, unknown, unknown, unknown[][]]];
    expect(experiment!.slice(0, 3)).toEqual(['LeNet-5 on MNIST', '0.9876', 'experiment']);
    expect(experiment![3]).toEqual([
      [expect.stringMatching(/Jan [12]/), 'quick · finished · 0.9876', 'run.finished', []],
    ]);
  });

  test('the figure of an experiment without a test set is said to be of the validation set', async () => {
    open();
    await run('convlab.train.alexnet-keras-catdog');
    await until(() => texts().includes('AlexNet (Keras) on Cats vs Dogs: validation accuracy 0.9876'));
    await vi.waitFor(async () => {
      const experiment = (await draw()).flatMap(({ children }) => children).find(({ children }) => children.length > 0);
      expect(experiment?.item.description).toBe('0.9876 validation');
      expect(experiment?.item.tooltip).toContain('Best final validation accuracy: 0.9876');
      expect(experiment?.children[0]!.item.description).toBe('quick · finished · 0.9876 validation');
    });
  });

  test('a run under way can be stopped from its experiment and from itself', async () => {
    open();
    const panel = await trainingUntilSteps();
    const [group] = await draw();
    const [experiment] = group!.children;
    const [line] = experiment!.children;
    expect([experiment!.item.contextValue, line!.item.contextValue]).toEqual(['experiment.running', 'run.running']);
    expect(experiment!.item.iconPath?.id).toBe('loading~spin');
    await run('convlab.stop', experiment!.node);
    await until(() => states(panel).at(-1) === 'stopped');
    await run('convlab.stop', line!.node);
    expect(texts()).toEqual([]);
  });

  test('a run made elsewhere appears without a file watcher, while the tree is visible', async () => {
    open();
    await train('finish');
    await until(() => texts().length > 0);
    const shown = async () => (await draw())[0]!.children[0]!.children.length;
    await vi.waitFor(async () => expect(await shown()).toBe(1), { timeout: 10_000 });
    const appear = (name: string) =>
      fs.cpSync(runFolders()[0]!, path.join(runsFolderOf(workspace), name), { recursive: true });
    const redrawn = new Promise<void>((resolve) => fake.tree!.onDidChangeTreeData(resolve));
    appear('second');
    await redrawn;
    expect(await shown()).toBe(2);
    // Hidden, it does not look; shown again, it does at once.
    fake.visibility.fire({ visible: false });
    appear('third');
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(await shown()).toBe(2);
    fake.visibility.fire({ visible: true });
    await vi.waitFor(async () => expect(await shown()).toBe(3), { timeout: 2000 });
  });

  test('an experiment file that is none is an item that says why', async () => {
    fs.writeFileSync(path.join(extension, 'experiments/odd.json'), '{ "id": "odd", "titel": "Odd" }');
    open();
    const groups = await draw();
    const { item, children } = groups.at(-1)!;
    expect([item.label, children.length]).toEqual(['Unusable experiment files', 1]);
    const odd = children[0]!.item;
    expect([odd.label, odd.tooltip]).toEqual(['odd.json', expect.stringContaining('did you mean “title”?')]);
  });

  test('a run of an experiment that is gone stays visible', async () => {
    open();
    await train('finish');
    await until(() => texts().length > 0);
    await close();
    const file = path.join(extension, 'experiments/lenet5-mnist.json');
    fs.writeFileSync(file, fs.readFileSync(file, 'utf8').replace('"lenet5-mnist"', '"renamed"'));
    open();
    const groups = outline(await draw()) as [string, unknown, unknown, unknown[]][];
    const counts = Object.fromEntries(groups.map(([label, , , children]) => [label, children.length]));
    expect(counts).toMatchObject({ 'LeNet-5': 1, Comparison: 1, 'Other runs': 1 });
  });
});

describe('deleting', () => {
  const lines = async () => (await draw())[0]!.children[0]!.children;

  test('asks, then moves the run to the trash and closes its panel', async () => {
    open();
    const panel = await train('finish');
    await until(() => texts().length > 0);
    const [line] = await lines();
    await run('convlab.deleteRun', line!.node);
    expect(runFolders()).toHaveLength(1);
    fake.answer = (_text, buttons) => buttons.find((button) => button === 'Delete');
    await run('convlab.deleteRun', line!.node);
    expect([runFolders(), panel.disposed]).toEqual([[], true]);
  });

  test('where there is no trash it asks again', async () => {
    open();
    await train('finish');
    await until(() => texts().length > 0);
    fake.trash = false;
    fake.answer = (_text, buttons) => buttons.find((button) => button === 'Delete');
    const [line] = await lines();
    await run('convlab.deleteRun', line!.node);
    expect(runFolders()).toHaveLength(1);
    fake.answer = (_text, buttons) => buttons.find((button) => button.startsWith('Delete'));
    await run('convlab.deleteRun', line!.node);
    expect(runFolders()).toEqual([]);
  });

  test('a run under way is not deleted', async () => {
    open();
    await trainingUntilSteps();
    const [line] = await lines();
    fake.answer = (_text, buttons) => buttons.find((button) => button.startsWith('Delete'));
    await run('convlab.deleteRun', line!.node);
    expect(texts()).toEqual([expect.stringContaining('is being trained by another process')]);
    expect(runFolders()).toHaveLength(1);
  });
});

describe('starting from a run', () => {
  const written = <T>(name: string) =>
    JSON.parse(fs.readFileSync(path.join(extension, 'dist', `${name}.json`), 'utf8')) as T;
  /** A finished run of this experiment, as the tree knows it. */
  async function finished(id: string): Promise<unknown> {
    await run(`convlab.train.${id}`);
    await until(() => texts().length > 0);
    const find = (drawn: readonly Drawn[]): Drawn | undefined =>
      drawn.flatMap((d) => (d.item.contextValue === 'run.finished' ? [d] : (find(d.children) ?? [])))[0];
    return find(await draw())!.node;
  }

  test('asks which experiment of the same network, and trains it from the run, beside it', async () => {
    open();
    const elsewhere = path.join(root, 'elsewhere');
    fake.settings['convlab.runsFolder'] = elsewhere;
    fake.settings['convlab.weightsFolder'] = 'weights';
    const node = await finished('alexnet-cifar8');
    const [source] = runFolders(elsewhere);
    fake.settings['convlab.runsFolder'] = '';
    const offered: string[] = [];
    fake.pick = (items, { placeHolder }) => {
      expect(placeHolder).toBe('Which experiment should start from it?');
      offered.push(...items.map((item) => item.label));
      return 'AlexNet on Cats vs Dogs, augmented';
    };
    await run('convlab.startFromRun', node);
    await until(() => runFolders(elsewhere).length === 2);
    expect(offered).toContain('AlexNet on MNIST');
    expect(offered.filter((label) => !label.startsWith('AlexNet on'))).toEqual([]);
    const request = written<TrainRequest>('train');
    expect(request.experiment.id).toBe('alexnet-catdog');
    expect(request.experiment.network.weights).toEqual({ run: path.basename(source!) });
    expect(request.runsFolder).toBe(elsewhere);
    expect(request.weightsFolder).toBe(path.join(workspace, 'weights'));
  });

  test('leaves it where nothing is chosen, and refuses a run that has not finished', async () => {
    open();
    const node = (await finished('lenet5-mnist')) as { line: object };
    await run('convlab.startFromRun', node);
    expect(runFolders()).toHaveLength(1);
    await run('convlab.startFromRun', { kind: 'run', line: { ...node.line, state: 'stopped' } });
    expect(texts().at(-1)).toMatch(/has not finished/);
    expect(runFolders()).toHaveLength(1);
  });

  test.each([
    [{}, {}],
    [
      { 'http.proxy': 'http://proxy:8080', 'http.noProxy': ['localhost', '.school'] },
      { HTTP_PROXY: 'http://proxy:8080', https_proxy: 'http://proxy:8080', NO_PROXY: 'localhost,.school' },
    ],
    [
      { 'http.proxy': 'http://proxy:8080', 'http.proxyStrictSSL': false },
      {
        ...{ HTTP_PROXY: 'http://proxy:8080', https_proxy: 'http://proxy:8080' },
        ...{ NODE_TLS_REJECT_UNAUTHORIZED: '0', npm_config_strict_ssl: 'false' },
      },
    ],
    [{ 'http.proxyStrictSSL': false }, { NODE_TLS_REJECT_UNAUTHORIZED: '0', npm_config_strict_ssl: 'false' }],
    [{ 'http.proxy': 'http://proxy:8080', 'http.proxyStrictSSL': false, 'http.proxySupport': 'off' }, {}],
  ])('hands the trainer the editor’s proxy: %o', async (settings, expected) => {
    const certificates = ['NODE_TLS_REJECT_UNAUTHORIZED', 'npm_config_strict_ssl'];
    for (const name of ['HTTP_PROXY', 'https_proxy', 'NO_PROXY', ...certificates]) vi.stubEnv(name, undefined);
    Object.assign(fake.settings, settings);
    open();
    await train('finish');
    await until(() => texts().length > 0);
    expect(written('proxy')).toEqual(expected);
  });
});

describe('exporting', () => {
  const lines = async () => (await draw())[0]!.children[0]!.children;
  /** A terminal that writes down how it was called, and then does what the body says. */
  const terminal = (body: string) =>
    fs.writeFileSync(
      path.join(extension, 'dist/cli.js'),
      `const args = process.argv.slice(2);
       require('node:fs').writeFileSync(${JSON.stringify(path.join(root, 'called.json'))}, JSON.stringify(args));
       ${body}`,
    );
  const called = () => JSON.parse(fs.readFileSync(path.join(root, 'called.json'), 'utf8')) as string[];

  test.each([
    ['net.pth', 'pth'],
    ['net.onnx', 'onnx'],
    ['net', 'onnx'],
  ])('to %s runs the terminal’s export as %s, and offers to show the file', async (name, format) => {
    open();
    await train('finish');
    await until(() => texts().length > 0);
    const [line] = await lines();
    terminal('');
    await run('convlab.exportRun', line!.node);
    // Nothing was named, so nothing was done.
    expect(fs.existsSync(path.join(root, 'called.json'))).toBe(false);
    const out = path.join(root, name);
    fake.save = ({ defaultUri, filters }) => {
      expect(defaultUri.fsPath).toBe(path.join(workspace, `${path.basename(runFolders()[0]!)}.onnx`));
      expect(filters).toEqual({ 'ONNX model': ['onnx'], 'PyTorch state dict': ['pth'] });
      return Uri.file(out);
    };
    fake.answer = (_text, buttons) => buttons.find((button) => button === 'Show file');
    await run('convlab.exportRun', line!.node);
    // The editor's own dialog has asked already.
    expect(called()).toEqual(['export', runFolders()[0], '--format', format, '--out', out, '--force', '--json']);
    expect(texts().at(-1)).toBe(`Exported to ${out}`);
    expect(fake.executed.at(-1)).toMatchObject({ command: 'revealFileInOS' });
  });

  test('that fails says why, in the sentence of the terminal', async () => {
    open();
    await train('finish');
    await until(() => texts().length > 0);
    const [line] = await lines();
    fake.save = () => Uri.file(path.join(root, 'net.onnx'));
    terminal(`console.log(JSON.stringify({ type: 'failed', message: { id: 'runNotFinished', args: { run: 'x' } } }));
      process.exitCode = 1;`);
    await run('convlab.exportRun', line!.node);
    expect(texts().at(-1)).toBe('The run x has not finished.');
    terminal(`console.error('one\\nlast words'); process.exit(3);`);
    await run('convlab.exportRun', line!.node);
    expect(texts().at(-1)).toBe('The export ended unexpectedly (last words).');
    fake.save = () => Uri.from({ scheme: 'vscode-vfs', path: '/net.onnx' });
    await run('convlab.exportRun', line!.node);
    expect(texts().at(-1)).toMatch(/to a file on disk only, not to vscode-vfs:/);
  });
});

describe('folders', () => {
  const trainedIn = async (): Promise<string> => {
    open();
    const panel = await train('finish');
    await until(() => texts().length > 0);
    expect(states(panel).at(-1)).toBe('finished');
    return /training in (.*), engine/.exec(fake.log.join('\n'))![1]!;
  };

  test('no folder open: the extension’s own storage, and the view says so', async () => {
    fake.folders = [];
    expect(await trainedIn()).toBe(path.join(root, 'global/runs'));
    expect(fake.view!.message).toContain('No folder is open');
  });

  test('a virtual workspace counts as none', async () => {
    fake.folders = [Uri.from({ scheme: 'vscode-vfs', path: '/github/course' })];
    expect(await trainedIn()).toBe(path.join(root, 'global/runs'));
  });

  test('several folders: the first', async () => {
    fake.folders.push(Uri.file(path.join(root, 'second')));
    expect(await trainedIn()).toBe(runsFolderOf(workspace));
    expect(fake.view!.message).toBeUndefined();
  });

  test.each([
    ['my runs', () => path.join(workspace, 'my runs')],
    ['../beside', () => path.join(root, 'beside')],
    ['/absolute', () => undefined],
  ])('the setting %j', async (value, expected) => {
    fake.settings['convlab.runsFolder'] = value === '/absolute' ? path.join(root, 'elsewhere') : value;
    expect(await trainedIn()).toBe(expected() ?? path.join(root, 'elsewhere'));
  });

  test('a relative path with no folder open is refused', async () => {
    fake.folders = [];
    fake.settings['convlab.runsFolder'] = 'runs';
    open();
    await run(lenet);
    expect(texts()).toEqual([
      'The setting convlab.runsFolder cannot be used: “runs” is a relative path and no folder is open',
    ]);
  });
});
