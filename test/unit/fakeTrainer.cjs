/**
 * A trainer that speaks the protocol and trains nothing, for tests of the editor's side. FAKE_TRAINER tells what it does
 * after its first events: 'finish', 'wait' (until told to stop or left alone), 'crash', 'fail', 'deaf' (hears no stop),
 * or 'slow' (takes a second to stop, and says so).
 * Asked to train, it writes the request and the proxy variables beside itself; asked for estimates, it writes the request beside itself and answers the seconds of FAKE_ESTIMATES, a JSON array whose
 * nulls are answered without a figure; without the variable it crashes. Requests about datasets and examples are written down too. Asked for engines, it answers FAKE_ENGINES, a JSON
 * array. Asked to measure, it writes the request beside itself; under 'wait' it then waits to be told to stop. Asked to set
 * TensorFlow up, it writes request and CONVLAB_STORAGE beside itself, tells of its progress, and does as FAKE_TRAINER says.
 */
const fs = require('node:fs');
const path = require('node:path');

const behaviour = process.env.FAKE_TRAINER ?? 'finish';
let folder;

function emit(...events) {
  fs.appendFileSync(path.join(folder, 'metrics.jsonl'), events.map((event) => `${JSON.stringify(event)}\n`).join(''));
  if (process.connected) update({ type: 'events', events });
}

const update = (told) => process.send({ type: 'update', update: told });

function leave(last, ...before) {
  emit(...before, last);
  fs.rmSync(path.join(folder, 'lock'));
  const { type: kind, message, advice } = last;
  end(kind, { message, advice });
}

function train(request) {
  const { experiment, runsFolder, resume } = request;
  fs.writeFileSync(path.join(__dirname, 'train.json'), JSON.stringify(request));
  const { HTTP_PROXY, https_proxy, NO_PROXY, NODE_TLS_REJECT_UNAUTHORIZED, npm_config_strict_ssl } = process.env;
  const proxy = { HTTP_PROXY, https_proxy, NO_PROXY, NODE_TLS_REJECT_UNAUTHORIZED, npm_config_strict_ssl };
  fs.writeFileSync(path.join(__dirname, 'proxy.json'), JSON.stringify(proxy));
  folder = resume ?? path.join(runsFolder, `20260102-030405-${experiment.id}-${process.pid}`);
  fs.mkdirSync(folder, { recursive: true });
  fs.writeFileSync(path.join(folder, 'lock'), String(process.pid));
  if (!resume) {
    const record = { format: 1, created: '2026-01-02T03:04:05.000Z', convlab: '0.0.0', experiment };
    fs.writeFileSync(path.join(folder, 'run.json'), JSON.stringify(record));
  }
  update({ type: 'run', folder });
  if (resume) {
    emit({ type: 'resumed', time: '2026-01-02T03:05:05.000Z', epoch: 1, step: 2 });
  } else {
    const started = {
      type: 'started',
      protocol: 1,
      time: '2026-01-02T03:04:05.000Z',
      experiment,
      engine: 'onnx',
      engineReasons: [],
      device: 'fake',
      versions: {},
      parameterCount: 1,
      stepsPerEpoch: 4,
      examples: { train: 256, validation: 64, test: 64 },
      classNames: ['a', 'b'],
    };
    emit(started, step(0, 2.3), step(1, 2.2));
  }
  if (behaviour === 'crash') process.exit(7);
  if (behaviour === 'fail') {
    return leave({ type: 'failed', message: { id: 'lossNotFinite', args: { loss: 'NaN', epoch: 1, step: 1 } } });
  }
  if (behaviour === 'finish') {
    const epoch = {
      type: 'epoch',
      epoch: 1,
      trainLoss: 1,
      trainAccuracy: 0.8,
      validationLoss: 1,
      validationAccuracy: 0.9,
      learningRate: 0.001,
      seconds: 1,
      imagesPerSecond: 256,
      layers: [],
      logitStd: 1,
    };
    const finished = {
      type: 'finished',
      testLoss: 0.5,
      testAccuracy: 0.9876,
      testedOnTestSet: experiment.dataset.name === 'mnist' || 'test' in experiment.dataset.split,
      bestEpoch: 1,
      bestValidationAccuracy: 0.9,
      confusion: [
        [1, 0],
        [0, 1],
      ],
      seconds: 1,
    };
    leave(finished, step(2, 2.1), step(3, 2.0), epoch);
  }
}

const step = (n, loss) => ({ type: 'step', epoch: 1, step: n, loss, imagesPerSecond: 100, secondsLeft: 1 });
const stop = (reason) => leave({ type: 'stopped', reason, epoch: 1, step: 2 });

function estimate(request) {
  fs.writeFileSync(path.join(__dirname, 'estimate.json'), JSON.stringify(request));
  const estimates = JSON.parse(process.env.FAKE_ESTIMATES);
  estimates.forEach((seconds, index) =>
    update({ type: 'estimate', estimate: { index, ...(seconds === null ? {} : { seconds, basis: 'run' }) } }),
  );
  end('finished');
}

const end = (kind, more) => {
  if (process.connected) process.send({ type: 'ended', end: { kind, ...more } });
  // The last message must be out before the process is.
  setTimeout(() => process.exit(0), 50);
};

function measure(request) {
  fs.writeFileSync(path.join(__dirname, 'measure.json'), JSON.stringify(request));
  process.send({ type: 'progress', message: { id: 'measuringNetwork', args: { network: 'LeNet-5', size: 32 } } });
  if (behaviour === 'wait') return process.on('message', ({ type }) => type === 'stop' && end('stopped'));
  const reason = { id: 'unexpectedError', args: { reason: 'no memory' } };
  if (behaviour === 'unmeasured') update({ type: 'unmeasured', network: 'vgg16', reason });
  end('finished');
}

/** Answers from FAKE_DATASETS, by name: a report, or the message of a failure. FAKE_PROGRESS is another message before. */
function dataset(request) {
  fs.appendFileSync(path.join(__dirname, 'datasets.jsonl'), `${JSON.stringify(request)}\n`);
  const known = JSON.parse(process.env.FAKE_DATASETS)[request.dataset];
  if (request.verify) {
    const fetching = { id: 'fetchingData', args: { dataset: 'CIFAR-10', done: 1, total: 139 } };
    const { FAKE_PROGRESS } = process.env;
    process.send({ type: 'progress', message: FAKE_PROGRESS ? JSON.parse(FAKE_PROGRESS) : fetching });
    if (behaviour === 'wait') return process.on('message', ({ type }) => type === 'stop' && end('stopped'));
  }
  if (known.id) return end('failed', { message: known });
  end('finished', { result: { ...known, dataset: request.dataset, verified: request.verify } });
}

function examples(request) {
  fs.writeFileSync(path.join(__dirname, 'examples.json'), JSON.stringify(request));
  process.send({
    type: 'progress',
    message: { id: 'loadingData', args: { dataset: { id: 'datasetMnist', args: {} } } },
  });
  if (behaviour === 'fail') return end('failed', { message: { id: 'imagesFolderGone', args: { folder: '/gone' } } });
  const provenance = {
    title: { id: 'datasetMnist', args: {} },
    source: '/mnist',
    terms: { id: 'termsMnist', args: {} },
  };
  end('finished', { result: { provenance, size: 32, epochs: [], examples: [] } });
}

function setUp(request) {
  const { CONVLAB_STORAGE: storage } = process.env;
  fs.writeFileSync(path.join(__dirname, 'setup.json'), JSON.stringify({ request, storage }));
  process.send({ type: 'progress', message: { id: 'setupDownload', args: { megabytes: 7 } } });
  const folder = '/storage/tensorflow';
  if (request.remove) return end('finished', { result: [{ id: 'setupRemoved', args: { folder } }] });
  if (behaviour === 'wait') return process.on('message', ({ type }) => type === 'stop' && end('stopped'));
  if (behaviour === 'finish') {
    const args = { tensorflow: '2.21.0', device: 'CPU', library: '/lib/libtensorflow_cc.so.2' };
    end('finished', { result: [{ id: 'setupDone', args }] });
  }
  if (behaviour === 'fail') {
    const message = { id: 'setupDownloadFailed', args: { reason: 'ENOTFOUND' } };
    end('failed', { message, advice: { id: 'setupDownloadAdvice', args: {} } });
  }
}

const engines = () => end('finished', { result: JSON.parse(process.env.FAKE_ENGINES) });
const tasks = { train, estimate, measure, setup: setUp, dataset, examples, engines };

process.on('message', (message) => {
  if (message.type === 'begin') tasks[message.task](message.request);
  else if (message.type === 'stop' && folder && behaviour === 'slow') {
    process.send({ type: 'stopTakes', seconds: 60 });
    setTimeout(() => stop('user'), 1000);
  } else if (message.type === 'stop' && folder && behaviour !== 'deaf') stop('user');
});
process.on('disconnect', () => (folder ? stop('editorGone') : process.exit(0)));
process.send({ type: 'hello', protocol: 1 });
