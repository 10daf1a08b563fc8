import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { experimentJsonSchema, nearest, parseExperiment, resolveExperiment } from '../../src/experiment';
import { loadExperiments } from '../../src/experimentFiles';

const text = readFileSync('experiments/lenet5-mnist.json', 'utf8');
const lenet5 = parseExperiment(text, 'lenet5-mnist.json');

describe('an experiment file', () => {
  it('is valid and resolvable, each of those that ship', () => {
    for (const { file, error } of loadExperiments('experiments')) expect(error, file).toBeUndefined();
  });

  it.each([
    ['"epochs": 10', '"epochs": 0', /a\.json: at “epochs”: .*>0, found 0/],
    ['"epochs": 10', '"epochs": 1.5', /at “epochs”: expected int, found 1\.5/],
    ['"batchSize": 64', '"batchSize": "64"', /at “batchSize”: expected number, found "64"/],
    ['"batchSize"', '"batchsize"', /unknown key “batchsize”; did you mean “batchSize”\?/],
    ['"learningRate": 1e-3', '"learningRate": -1', /at “optimizer\.learningRate”: .*found -1/],
    ['"lenet5"', '"lenet6"', /at “network\.name”: expected one of .*found "lenet6"/],
    ['"size": 32', '"size": 8', /at “input\.size”: .*conv2 does not fit its 2×2 input/],
    ['"limit": 20000', '"limits": 20000', /at “presets\.quick”: unknown key “limits”; did you mean “limit”\?/],
    ['{', '[', /not valid JSON/],
  ])('with %s changed to %s says where and what', (from, to, sentence) => {
    expect(() => parseExperiment(text.replace(from, to), 'a.json')).toThrow(sentence);
  });

  it('takes a preset and overrides, the overrides last', () => {
    const quick = resolveExperiment(lenet5, 'quick', { 'optimizer.learningRate': 1e-4, epochs: 1 });
    expect(quick).toMatchObject({ preset: 'quick', epochs: 1, limit: 20000 });
    expect(quick.optimizer).toEqual({ name: 'adam', learningRate: 1e-4, beta1: 0.9, beta2: 0.999, eps: 1e-8 });
    expect(resolveExperiment(lenet5, 'course')).toMatchObject({ preset: 'course', epochs: 10, loss: 'cross_entropy' });
  });

  it('leaves alone what a preset does not speak of', () => {
    const file = text.replace('"limit": 20000', '"input": { "size": 28 }, "optimizer": { "learningRate": 1e-4 }');
    const quick = resolveExperiment(parseExperiment(file.replace('1e-3', '1e-3, "beta1": 0.8'), 'a.json'), 'quick');
    expect(quick.input).toMatchObject({ size: 28, fit: 'pad' });
    expect(quick.optimizer).toMatchObject({ learningRate: 1e-4, beta1: 0.8 });
  });

  it.each([
    ['"imagenet"', { 'network.name': 'resnet18', 'input.channels': 3 }, 'imagenet'],
    ['{ "experiment": "alexnet-cifar8" }', {}, { experiment: 'alexnet-cifar8' }],
    [
      '{ "run": "20261124-140000-lenet5-mnist", "epoch": "best" }',
      {},
      { run: '20261124-140000-lenet5-mnist', epoch: 'best' },
    ],
    [
      '{ "experiment": "lenet5-mnist", "epoch": "best" }',
      { 'network.weights': { file: '/a.pth' } },
      { file: '/a.pth' },
    ],
  ])('starts from %s', (weights, overrides, expected) => {
    const file = text.replace('"scratch"', `${weights}, "freeze": "features"`);
    const preset = JSON.parse(file) as { network: { name: string }; input: object };
    Object.assign(preset.network, { name: overrides['network.name' as keyof typeof overrides] ?? 'lenet5' });
    Object.assign(preset.input, { channels: overrides['input.channels' as keyof typeof overrides] ?? 1 });
    const resolved = resolveExperiment(parseExperiment(JSON.stringify(preset), 'a.json'), 'course', overrides);
    expect(resolved.network).toMatchObject({ weights: expected, freeze: 'features' });
  });

  it.each([
    ['"imagenet"', /at “network\.weights”: there are ImageNet weights for alexnet, vgg16, resnet18, resnet50 only/],
    ['{ "file": "/etc/passwd" }', /at “network\.weights”: expected "scratch", "imagenet", \{"experiment": id\}/],
    ['{ "run": "../elsewhere" }', /at “network\.weights\.run”: expected the name of a run/],
    ['{ "run": ".." }', /at “network\.weights\.run”: expected the name/],
    ['{ "experiment": "a", "epoch": "first" }', /at “network\.weights”: expected/],
    ['"scratch", "freeze": "features"', /at “network\.freeze”: weights from scratch cannot stay/],
    ['"imagenet", "freeze": true', /at “network\.freeze”: expected/],
  ])('says why it cannot start from %s', (weights, sentence) => {
    expect(() => parseExperiment(text.replace('"scratch"', weights), 'a.json')).toThrow(sentence);
  });

  it('takes another start whole, from a preset or an override', () => {
    const file = parseExperiment(
      text
        .replace('"scratch"', '{ "experiment": "one", "epoch": "best" }')
        .replace('"limit": 20000', '"network": { "weights": { "run": "two" } }'),
      'a.json',
    );
    expect(resolveExperiment(file, 'quick').network).toEqual({ name: 'lenet5', weights: { run: 'two' } });
    const scratch = resolveExperiment(file, 'quick', { 'network.weights': 'scratch' });
    expect(scratch.network.weights).toBe('scratch');
  });

  it('does not let an override reach outside the settings', () => {
    expect(() => resolveExperiment(lenet5, 'course', { '__proto__.x': 1 })).toThrow(/unknown key/);
    expect(() => resolveExperiment(lenet5, 'course', { 'optimizer.__proto__.x': 1 })).toThrow(/unknown key/);
    expect(({} as Record<string, unknown>)['x']).toBeUndefined();
  });

  it('has the JSON Schema that media/ ships', () => {
    const shipped: unknown = JSON.parse(readFileSync('media/experiment.schema.json', 'utf8'));
    expect(shipped, 'run “npm run schema”').toEqual(JSON.parse(JSON.stringify(experimentJsonSchema())));
  });
});

describe('nearest', () => {
  it('finds a misspelt word and leaves strangers alone', () => {
    expect(nearest('lenet5-mnits', ['lenet5-mnist', 'alexnet-mnist'])).toBe('lenet5-mnist');
    expect(nearest('zebra', ['lenet5-mnist', 'alexnet-mnist'])).toBeUndefined();
  });
});
