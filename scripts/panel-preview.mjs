/**
 * Shows the panel outside VS Code: bundles src/webview, loads it in headless Chromium under the content security policy
 * of the real panel with VS Code's theme variables, feeds it a run and photographs it, so that its looks can be judged
 * and its speed measured. The run is a recorded one (--run) or made up here: its figures mean nothing.
 *
 *   node scripts/panel-preview.mjs [--out DIR] [--scene NAME] [--theme NAME] [--width PX] [--height PX]
 *                                  [--language en|zh-tw|zh-cn] [--tab NAME] [--run metrics.jsonl]
 *   node scripts/panel-preview.mjs --measure [--steps 10000]
 *
 * What the pages do is tested in test/pages. Without --scene, --theme or --width it photographs all of them. It fails on console errors and on whatever the
 * policy refuses. CONVLAB_CHROMIUM names the browser (default /usr/bin/chromium).
 */
import { build } from 'esbuild';
import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { chromium } from 'playwright-core';

const root = path.resolve(import.meta.dirname, '..');
const { values: options } = parseArgs({
  options: {
    out: { type: 'string', default: path.join(root, 'out', 'panel') },
    scene: { type: 'string', multiple: true },
    theme: { type: 'string', multiple: true },
    width: { type: 'string', multiple: true },
    height: { type: 'string', default: '900' },
    language: { type: 'string', default: 'en' },
    tab: { type: 'string' },
    run: { type: 'string' },
    measure: { type: 'boolean', default: false },
    steps: { type: 'string', default: '10000' },
  },
});

const fonts = {
  'font-family': "system-ui, 'Ubuntu', 'DejaVu Sans', 'Noto Sans CJK TC', sans-serif",
  'font-size': '13px',
  'font-weight': 'normal',
  'editor-font-family': "'DejaVu Sans Mono', monospace",
};
/** The variables that the panel and its controls read, with the values of VS Code's own themes. */
const themes = {
  dark: {
    kind: 'vscode-dark',
    variables: {
      foreground: '#cccccc',
      'editor-foreground': '#cccccc',
      'editor-background': '#1f1f1f',
      descriptionForeground: '#9d9d9d',
      focusBorder: '#0078d4',
      'panel-border': '#2b2b2b',
      'charts-red': '#f14c4c',
      'charts-blue': '#3794ff',
      'charts-green': '#89d185',
      'charts-purple': '#b180d7',
      'charts-orange': '#d18616',
      'charts-yellow': '#cca700',
      'charts-foreground': '#cccccc',
      'button-background': '#0078d4',
      'button-foreground': '#ffffff',
      'button-hoverBackground': '#026ec1',
      'button-border': '#ffffff12',
      'button-secondaryBackground': '#313131',
      'button-secondaryForeground': '#cccccc',
      'button-secondaryHoverBackground': '#3c3c3c',
      'progressBar-background': '#0078d4',
      'panelTitle-activeBorder': '#0078d4',
      'panelTitle-activeForeground': '#cccccc',
      'panelTitle-inactiveForeground': '#9d9d9d',
      'list-hoverBackground': '#2a2d2e',
      'toolbar-hoverBackground': '#5a5d5e50',
      'inputValidation-infoBackground': '#063b49',
      'inputValidation-infoBorder': '#007acc',
      'inputValidation-warningBackground': '#352a05',
      'inputValidation-warningBorder': '#b89500',
      'inputValidation-errorBackground': '#5a1d1d',
      'inputValidation-errorBorder': '#be1100',
      'editorHoverWidget-background': '#202020',
      'editorHoverWidget-foreground': '#cccccc',
      'editorHoverWidget-border': '#454545',
    },
  },
  light: {
    kind: 'vscode-light',
    variables: {
      foreground: '#3b3b3b',
      'editor-foreground': '#3b3b3b',
      'editor-background': '#ffffff',
      descriptionForeground: '#3b3b3b',
      focusBorder: '#005fb8',
      'panel-border': '#e5e5e5',
      'charts-red': '#e51400',
      'charts-blue': '#1a85ff',
      'charts-green': '#388a34',
      'charts-purple': '#652d90',
      'charts-orange': '#d18616',
      'charts-yellow': '#bf8803',
      'charts-foreground': '#3b3b3b',
      'button-background': '#005fb8',
      'button-foreground': '#ffffff',
      'button-hoverBackground': '#0258a8',
      'button-border': '#0000001a',
      'button-secondaryBackground': '#e5e5e5',
      'button-secondaryForeground': '#3b3b3b',
      'button-secondaryHoverBackground': '#cccccc',
      'progressBar-background': '#005fb8',
      'panelTitle-activeBorder': '#005fb8',
      'panelTitle-activeForeground': '#3b3b3b',
      'panelTitle-inactiveForeground': '#3b3b3b',
      'list-hoverBackground': '#f2f2f2',
      'toolbar-hoverBackground': '#b8b8b850',
      'inputValidation-infoBackground': '#d6ecf2',
      'inputValidation-infoBorder': '#007acc',
      'inputValidation-warningBackground': '#f6f5d2',
      'inputValidation-warningBorder': '#b89500',
      'inputValidation-errorBackground': '#f2dede',
      'inputValidation-errorBorder': '#be1100',
      'editorHoverWidget-background': '#f8f8f8',
      'editorHoverWidget-foreground': '#3b3b3b',
      'editorHoverWidget-border': '#c8c8c8',
    },
  },
  'high-contrast': {
    kind: 'vscode-high-contrast',
    variables: {
      foreground: '#ffffff',
      'editor-foreground': '#ffffff',
      'editor-background': '#000000',
      descriptionForeground: '#ffffffb3',
      focusBorder: '#f38518',
      'panel-border': '#6fc3df',
      contrastBorder: '#6fc3df',
      contrastActiveBorder: '#f38518',
      'charts-red': '#f48771',
      'charts-blue': '#3794ff',
      'charts-green': '#89d185',
      'charts-purple': '#b180d7',
      'charts-orange': '#ab5a00',
      'charts-yellow': '#cca700',
      'charts-foreground': '#ffffff',
      'button-foreground': '#ffffff',
      'button-border': '#6fc3df',
      'button-secondaryForeground': '#ffffff',
      'progressBar-background': '#6fc3df',
      'panelTitle-activeBorder': '#6fc3df',
      'panelTitle-activeForeground': '#ffffff',
      'panelTitle-inactiveForeground': '#ffffff',
      'inputValidation-infoBackground': '#000000',
      'inputValidation-infoBorder': '#6fc3df',
      'inputValidation-warningBackground': '#000000',
      'inputValidation-warningBorder': '#6fc3df',
      'inputValidation-errorBackground': '#000000',
      'inputValidation-errorBorder': '#6fc3df',
      'editorHoverWidget-background': '#0c141f',
      'editorHoverWidget-foreground': '#ffffff',
      'editorHoverWidget-border': '#6fc3df',
    },
  },
  'high-contrast-light': {
    kind: 'vscode-high-contrast-light',
    variables: {
      foreground: '#292929',
      'editor-foreground': '#292929',
      'editor-background': '#ffffff',
      descriptionForeground: '#292929b3',
      focusBorder: '#006bbd',
      'panel-border': '#0f4a85',
      contrastBorder: '#0f4a85',
      contrastActiveBorder: '#006bbd',
      'charts-red': '#b5200d',
      'charts-blue': '#1a85ff',
      'charts-green': '#374e06',
      'charts-purple': '#652d90',
      'charts-orange': '#0f4a85',
      'charts-yellow': '#895503',
      'charts-foreground': '#292929',
      'button-background': '#0f4a85',
      'button-foreground': '#ffffff',
      'button-border': '#0f4a85',
      'button-secondaryBackground': '#ffffff',
      'button-secondaryForeground': '#292929',
      'progressBar-background': '#0f4a85',
      'panelTitle-activeBorder': '#b5200d',
      'panelTitle-activeForeground': '#292929',
      'panelTitle-inactiveForeground': '#292929',
      'inputValidation-infoBackground': '#ffffff',
      'inputValidation-infoBorder': '#0f4a85',
      'inputValidation-warningBackground': '#ffffff',
      'inputValidation-warningBorder': '#0f4a85',
      'inputValidation-errorBackground': '#ffffff',
      'inputValidation-errorBorder': '#0f4a85',
      'editorHoverWidget-background': '#ffffff',
      'editorHoverWidget-foreground': '#292929',
      'editorHoverWidget-border': '#0f4a85',
    },
  },
};

const bundled = await build({
  entryPoints: { panel: path.join(root, 'src/webview/panel.ts') },
  bundle: true,
  format: 'iife',
  platform: 'browser',
  target: 'chrome128',
  minify: true,
  outdir: 'out',
  write: false,
});
const script = bundled.outputFiles.find((file) => file.path.endsWith('.js')).text;
const styles = bundled.outputFiles.find((file) => file.path.endsWith('.css')).text;

/** The experiment files' own code, so that the made-up runs carry settings as a trainer would send them. */
const { parseExperiment, resolveExperiment } = await importBundled('src/core/experiment.ts');
const { protocolVersion } = await importBundled('src/core/contracts/events.ts');

async function importBundled(file) {
  const { outputFiles } = await build({
    entryPoints: [path.join(root, file)],
    bundle: true,
    format: 'esm',
    platform: 'node',
    write: false,
  });
  return import(`data:text/javascript;base64,${Buffer.from(outputFiles[0].contents).toString('base64')}`);
}

/** Numbers from 0 to 1 that are the same at every call of this script. */
function generator(seed) {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

const digits = ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9'];
const lenetLayers = ['conv1', 'conv2', 'fc1', 'fc2', 'fc3'];
const alexnetLayers = [
  'features.0',
  'features.3',
  'features.6',
  'features.8',
  'features.10',
  'classifier.1',
  'classifier.4',
  'classifier.6',
];
const resnetLayers = [
  'conv1',
  ...[1, 2, 3, 4].flatMap((stage) =>
    [0, 1].flatMap((block) => [`layer${stage}.${block}.conv1`, `layer${stage}.${block}.conv2`]),
  ),
  'fc',
];

/** A made-up run of a given shape, cut off after `epochsDone` epochs and a share of the next. */
function madeUp({
  id = 'lenet5-mnist',
  overrides = {},
  layers = lenetLayers,
  classes = digits,
  stepsPerEpoch = 860,
  every = 10,
  epochsDone,
  share = 0,
  curve,
  seed = 1,
  title,
  question,
}) {
  const file = path.join(
    root,
    'experiments',
    `${existsSync(path.join(root, 'experiments', `${id}.json`)) ? id : 'lenet5-mnist'}.json`,
  );
  const experiment = resolveExperiment(parseExperiment(readFileSync(file, 'utf8'), file), 'course', overrides);
  const random = generator(seed);
  const { epochs } = experiment;
  const left = (epoch, step) => Math.max(1, ((epochs - epoch + 1) * stepsPerEpoch - step) * 0.042);
  const events = [
    {
      type: 'started',
      protocol: protocolVersion,
      time: '2025-01-01T09:30:00Z',
      experiment,
      engine: 'onnx',
      engineReasons: [
        { id: 'engineChosenOnnx', args: {} },
        { id: 'engineNotChosenReason', args: { engine: 'tensorflow', reason: 'the package is not installed' } },
      ],
      device: 'a processor with 8 threads',
      versions: { convlab: '0.1.0', 'onnxruntime-node': '1.30.0', node: '20.20.2' },
      parameterCount: 61706,
      stepsPerEpoch,
      examples: { train: 55000, validation: 5000, test: 10000 },
      classNames: classes,
    },
  ];
  for (let epoch = 1; epoch <= Math.min(epochs, epochsDone + (share > 0 ? 1 : 0)); epoch++) {
    const last = epoch <= epochsDone ? stepsPerEpoch : Math.floor(stepsPerEpoch * share);
    for (let step = every - 1; step < last; step += every) {
      const x = epoch - 1 + step / stepsPerEpoch;
      const { loss } = curve(x);
      const spread = (random() + random() + random() - 1.5) * 0.5;
      events.push({
        type: 'step',
        epoch,
        step,
        loss: loss * Math.exp(spread),
        imagesPerSecond: 1480 + 60 * random(),
        secondsLeft: left(epoch, step),
      });
    }
    if (epoch > epochsDone) break;
    const middle = curve(epoch - 0.5);
    const end = curve(epoch);
    events.push({
      type: 'epoch',
      epoch,
      trainLoss: middle.loss,
      trainAccuracy: middle.accuracy,
      validationLoss: end.validationLoss,
      validationAccuracy: end.validationAccuracy + (random() - 0.5) * end.noise,
      learningRate: experiment.optimizer.learningRate,
      seconds: 36 + random(),
      imagesPerSecond: 1500,
      layers: layers.map((layer, i) => ({
        layer,
        gradientNorm:
          0.4 * middle.loss * Math.exp((0.35 * (i - layers.length / 2)) / Math.sqrt(layers.length) + 0.2 * random()),
        updateRatio:
          experiment.optimizer.learningRate * 2.4 * Math.exp(-epoch / 8 + i / layers.length + 0.1 * random()),
        ...(i < layers.length - 1 ? { deadShare: Math.min(1, 0.02 * i + 0.01 * epoch * random()) } : {}),
      })),
      logitStd: 4.5 * (1 - Math.exp(-epoch / 2)),
    });
  }
  return {
    experiment,
    events,
    run: `2025-01-01T09-30-00-${id}`,
    title: title ?? experiment.title,
    question: question ?? experiment.question,
  };
}

const learns = (x) => ({
  loss: 0.022 + 0.5 * Math.exp(-x * 1.1) + 1.75 * Math.exp(-x * 14),
  accuracy: 0.995 - 0.14 * Math.exp(-x * 1.1) - 0.6 * Math.exp(-x * 14),
  validationLoss: 0.035 + 0.3 * Math.exp(-x * 1.2),
  validationAccuracy: 0.9885 - 0.07 * Math.exp(-x * 1.2),
  noise: 0.002,
});
const overfits = (x) => ({
  loss: 0.03 + 0.66 * Math.exp(-x / 14),
  accuracy: 0.99 - 0.49 * Math.exp(-x / 14),
  validationLoss: 0.69 * Math.exp(-x / 10) + 0.012 * x,
  validationAccuracy: 0.81 - 0.31 * Math.exp(-x / 8),
  noise: 0.03,
});
const stuck = (x) => ({
  loss: x < 0.06 ? 0.69 + 2.4 * Math.exp(-(((x - 0.02) / 0.012) ** 2)) : 0.6932,
  accuracy: 0.502 + 0.01 * Math.sin(x * 5),
  validationLoss: 0.6931,
  validationAccuracy: 0.5,
  noise: 0.02,
});
const mostly = (accuracy, count = 1000) =>
  digits.map((_, i) =>
    digits.map((_, j) =>
      i === j ? Math.round(count * (accuracy - 0.002 * (i % 4))) : (i * 7 + j * 3) % 5 === 0 ? 1 + ((i * j) % 7) : 0,
    ),
  );
const finishedEvent = {
  type: 'finished',
  testLoss: 0.0341,
  testAccuracy: 0.9891,
  testedOnTestSet: true,
  bestEpoch: 9,
  bestValidationAccuracy: 0.9896,
  confusion: mostly(0.989),
  seconds: 371,
};
/** The last event, with the best epoch that the epochs before it show. */
function finish(run, changes = {}) {
  const epochs = run.events.filter((event) => event.type === 'epoch');
  const best = epochs.reduce((a, b) => (b.validationAccuracy > a.validationAccuracy ? b : a));
  const end = { ...finishedEvent, bestEpoch: best.epoch, bestValidationAccuracy: best.validationAccuracy, ...changes };
  return { ...run, events: [...run.events, end], state: 'finished' };
}
const catdog = {
  layers: alexnetLayers,
  classes: ['cat', 'dog'],
  stepsPerEpoch: 63,
  every: 1,
};

const scenes = {
  starting: () => ({
    ...madeUp({ epochsDone: 0, curve: learns }),
    events: [],
    state: 'starting',
    status: { id: 'loadingData', args: { dataset: 'MNIST' } },
  }),
  early: () => ({ ...madeUp({ epochsDone: 0, share: 0.35, curve: learns }), state: 'running' }),
  running: () => {
    const run = madeUp({ epochsDone: 3, share: 0.4, curve: learns });
    run.events.splice(1, 0, {
      type: 'warning',
      message: { id: 'checkpointFallback', args: { reason: 'cut short', epoch: 2, step: 120 } },
    });
    return { ...run, state: 'running' };
  },
  finished: () => {
    return finish(madeUp({ epochsDone: 10, curve: learns }));
  },
  failed: () => {
    const run = madeUp({ epochsDone: 2, share: 0.2, curve: learns });
    run.events.push({
      type: 'failed',
      message: { id: 'lossNotFinite', args: { loss: 'NaN', epoch: 3, step: 172 } },
      advice: { id: 'lossNotFiniteAdvice', args: { learningRate: '0.001' } },
    });
    return { ...run, state: 'failed' };
  },
  interrupted: () => ({ ...madeUp({ epochsDone: 4, share: 0.7, curve: learns }), state: 'interrupted' }),
  overfits: () => {
    const run = madeUp({
      ...catdog,
      epochsDone: 80,
      overrides: { epochs: 80 },
      curve: overfits,
      title: 'AlexNet on Cats vs Dogs, augmented',
      question: 'Does augmentation and a ten times smaller step get AlexNet moving?',
    });
    const confusion = [
      [412, 88],
      [103, 397],
    ];
    return finish(run, { testedOnTestSet: false, testLoss: 0.8123, testAccuracy: 0.809, confusion, seconds: 7521 });
  },
  stuck: () => ({
    ...madeUp({
      ...catdog,
      epochsDone: 6,
      share: 0.5,
      overrides: { epochs: 10 },
      curve: stuck,
      title: 'AlexNet on Cats vs Dogs from scratch',
      question: 'Why does AlexNet get stuck without pretrained weights?',
    }),
    state: 'running',
  }),
  deep: () => ({
    ...madeUp({
      ...catdog,
      layers: resnetLayers,
      epochsDone: 12,
      share: 0.5,
      overrides: { epochs: 20 },
      curve: overfits,
      title: 'ResNet-18 on Cats vs Dogs, augmented',
      question: 'Do shortcuts make training steadier?',
    }),
    state: 'running',
  }),
};
if (options.run) {
  const events = readFileSync(options.run, 'utf8')
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line));
  const { experiment } = events.find((event) => event.type === 'started');
  const last = events.at(-1).type;
  const state = ['finished', 'failed', 'stopped'].includes(last) ? last : 'interrupted';
  for (const name of Object.keys(scenes)) delete scenes[name];
  scenes.recorded = () => ({
    events,
    state,
    run: path.basename(path.dirname(path.resolve(options.run))),
    title: experiment.title,
    question: experiment.question,
  });
}

function snapshot(scene, language) {
  const bundle = path.join(root, 'l10n', `bundle.l10n.${language}.json`);
  const { run, title, question, state, status, events } = scene;
  const translations = language !== 'en' && existsSync(bundle) ? JSON.parse(readFileSync(bundle, 'utf8')) : {};
  return {
    type: 'snapshot',
    protocol: protocolVersion,
    language,
    translations,
    snapshot: { run, title, question, state, status, events },
  };
}

const page_ = `<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src http://panel.preview 'nonce-styles'; script-src 'nonce-preview'; font-src http://panel.preview; img-src http://panel.preview data:">
<meta property="csp-nonce" content="styles">
<link rel="stylesheet" href="panel.css">
</head>
<body>
<script nonce="preview" src="panel.js"></script>
</body>
</html>`;

const browser = await chromium.launch({
  executablePath: process.env.CONVLAB_CHROMIUM ?? '/usr/bin/chromium',
  args: [
    '--no-sandbox',
    '--disable-gpu',
    '--disable-background-networking',
    '--disable-component-update',
    '--disable-sync',
  ],
});
const complaints = [];

/** A page with the panel, in a theme, before its first snapshot. */
async function open(theme, width, height) {
  const page = await browser.newPage({ viewport: { width, height }, deviceScaleFactor: options.measure ? 1 : 1.5 });
  page.on('console', (line) => ['error', 'warning'].includes(line.type()) && complaints.push(line.text()));
  page.on('pageerror', (error) => complaints.push(String(error.stack)));
  await page.route('**/*', (route) => {
    const name = new URL(route.request().url()).pathname;
    if (name === '/panel.js') return route.fulfill({ contentType: 'text/javascript', body: script });
    if (name === '/panel.css') return route.fulfill({ contentType: 'text/css', body: styles });
    if (name === '/') return route.fulfill({ contentType: 'text/html', body: page_ });
    return route.fulfill({ status: 404, body: '' });
  });
  await page.addInitScript(
    ({ kind, variables, tab }) => {
      let state = tab ? { run: '', tab } : undefined;
      window.sent = [];
      window.acquireVsCodeApi = () => ({
        postMessage: (message) => window.sent.push(message),
        getState: () => state,
        setState: (value) => (state = value),
      });
      window.setTheme = ({ kind, variables }) => {
        document.documentElement.removeAttribute('style');
        for (const [name, value] of Object.entries(variables))
          document.documentElement.style.setProperty(`--vscode-${name}`, value);
        document.body.className = kind;
        document.body.dataset.vscodeThemeKind = kind;
      };
      document.addEventListener('DOMContentLoaded', () => window.setTheme({ kind, variables }));
    },
    { kind: themes[theme].kind, variables: { ...fonts, ...themes[theme].variables }, tab: options.tab },
  );
  await page.goto('http://panel.preview/');
  await page.waitForFunction(() => window.sent.some((message) => message.type === 'ready'));
  return page;
}

const settle = (page) =>
  page.evaluate(
    () => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done, 60)))),
  );

async function photograph() {
  mkdirSync(options.out, { recursive: true });
  const widths = (options.width ?? ['900']).map(Number);
  for (const theme of options.theme ?? ['dark', 'light', 'high-contrast']) {
    for (const name of options.scene ?? Object.keys(scenes)) {
      for (const width of widths) {
        const page = await open(theme, width, Number(options.height));
        await page.evaluate((message) => window.postMessage(message), snapshot(scenes[name](), options.language));
        await page.waitForSelector('[data-testid=state]');
        await settle(page);
        const overflow = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
        if (overflow > 0) complaints.push(`${name} at ${width}: the page is ${overflow} px too wide`);
        const parts = [name, theme, width, options.language !== 'en' && options.language, options.tab].filter(Boolean);
        const file = path.join(options.out, `${parts.join('-')}.png`);
        await page.screenshot({ path: file, fullPage: true });
        console.log(file);
        await page.close();
      }
    }
  }
}

/** Feeds a run step by step and times the panel's work in each animation frame, layout and drawing commands included. */
async function measure() {
  const steps = Number(options.steps);
  const epochs = 20;
  const page = await open('dark', 1200, 900);
  const whole = madeUp({
    epochsDone: epochs,
    overrides: { epochs },
    stepsPerEpoch: steps / epochs,
    every: 1,
    curve: learns,
  });
  const begin = { ...whole, events: whole.events.slice(0, 1), state: 'running' };
  await page.evaluate((message) => window.postMessage(message), snapshot(begin, options.language));
  await page.waitForSelector('[data-testid=state]');
  const frames = await page.evaluate(
    async ({ events, perFrame }) => {
      const durations = [];
      const original = window.requestAnimationFrame.bind(window);
      let own = 0;
      window.requestAnimationFrame = (callback) =>
        original((time) => {
          const start = performance.now();
          callback(time);
          // Reading a size makes the browser lay out now rather than after the clock is read.
          void document.body.offsetHeight;
          own += performance.now() - start;
        });
      for (let i = 0; i < events.length; i += perFrame) {
        own = 0;
        window.postMessage({ type: 'changes', events: events.slice(i, i + perFrame) });
        await new Promise((done) => setTimeout(() => original(() => setTimeout(done)), 0));
        durations.push(own);
      }
      return durations;
    },
    { events: whole.events.slice(1), perFrame: 5 },
  );
  const full = await page.evaluate(
    async (message) => {
      const start = performance.now();
      window.postMessage(message);
      await new Promise((done) => setTimeout(() => requestAnimationFrame(() => setTimeout(done)), 0));
      return performance.now() - start;
    },
    snapshot({ ...whole, state: 'running' }, options.language),
  );
  const chart = await page.evaluate(() => ({ ...document.querySelector('[data-testid=chart]').dataset }));
  const summary = (list) => {
    const sorted = [...list].sort((a, b) => a - b);
    const at = (share) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))].toFixed(1);
    return `median ${at(0.5)} ms, 95 % ${at(0.95)} ms, longest ${at(1)} ms`;
  };
  console.log(
    `${steps} steps in ${frames.length} frames; drawn: ${chart.trainPoints} step points, ${chart.epochs} epochs`,
  );
  console.log(`all frames:       ${summary(frames)}`);
  console.log(`last tenth of it: ${summary(frames.slice(-Math.ceil(frames.length / 10)))}`);
  console.log(`snapshot of all:  ${full.toFixed(0)} ms`);
  await page.close();
}

try {
  await (options.measure ? measure() : photograph());
} finally {
  await browser.close();
}
if (complaints.length) {
  console.error([...new Set(complaints)].join('\n'));
  process.exitCode = 1;
}
