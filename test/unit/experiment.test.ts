import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { experimentJsonSchema, nearest, parseExperiment, resolveExperiment } from '../../src/core/experiment';
import { loadExperiments } from '../../src/disk/experimentFiles';
import { fill, Message, plainArgs, UserError } from '../../src/core/messages/message';
import { texts } from '../../src/core/messages/texts';

const bundle = JSON.parse(readFileSync('l10n/bundle.l10n.zh-tw.json', 'utf8')) as Record<string, string>;
const translated = ({ id, args }: Message): string => fill(bundle[texts[id]]!, plainArgs(args, translated));

const text = readFileSync('experiments/lenet5-mnist.json', 'utf8');
const lenet5 = parseExperiment(text, 'lenet5-mnist.json');

describe('an experiment file', () => {
  it('is valid and resolvable, each of those that ship', () => {
    for (const { file, error } of loadExperiments('experiments')) expect(error, file).toBeUndefined();
  });

  it.each([
    ['"epochs": 10', '"epochs": 0', /a\.json: at “epochs”: expected more than 0, found 0/],
    ['"epochs": 10', '"epochs": 1.5', /at “epochs”: expected a whole number, found 1\.5/],
    ['"batchSize": 64', '"batchSize": "64"', /at “batchSize”: expected a number, found "64"/],
    ['"batchSize"', '"batchsize"', /unknown key “batchsize”; did you mean “batchSize”\?/],
    ['"learningRate": 1e-3', '"learningRate": -1', /at “optimizer\.learningRate”: expected more than 0, found -1/],
    ['"lenet5"', '"lenet6"', /at “network\.name”: expected one of .*found "lenet6"/],
    ['"size": 32', '"size": 8', /at “input\.size”: .*conv2 does not fit its 2×2 input/],
    ['"limit": 20000', '"limits": 20000', /at “presets\.quick”: unknown key “limits”; did you mean “limit”\?/],
    ['"channels": 1', '"channels": 2', /at “input\.channels”: expected one of 1, 3, found 2/],
    ['"title"', '"$schema": 1, "title"', /at “\$schema”: expected a string in double quotes, found 1/],
    ['"normalize"', '"antialias": "no", "normalize"', /at “input\.antialias”: expected true or false, found "no"/],
    [
      '"id": "lenet5-mnist"',
      '"id": "LeNet 5"',
      /at “id”: expected lower-case words separated by hyphens, found "LeNet 5"/,
    ],
    ['"epochs": 10,', '', /at “epochs”: expected a number, but it is missing/],
    ['"limit": 20000', '"optimizer": 1', /at “presets\.quick\.optimizer”: expected an object in braces, found 1/],
    ['"epochs": 10', '"epochs": 1e300', /^a\.json: at “epochs”: expected at most 10000, found 1e\+300$/],
    ['"epochs": 10', '"epochs": 1e999', /^a\.json: at “epochs”: expected a number, found Infinity$/],
    ['{', '[', /not valid JSON/],
  ])('with %s changed to %s says where and what', (from, to, sentence) => {
    expect(() => parseExperiment(text.replace(from, to), 'a.json')).toThrow(sentence);
  });

  it('says what is wrong in sentences that can be translated, whatever the schema finds', () => {
    const augmented = (augment: string) => text.replace('"optimizer"', `"augment": ${augment}, "optimizer"`);
    const problems = [
      text.replace('"batchSize": 64', '"batchSize": 5000'),
      text.replace('"learningRate": 1e-3', '"learningRate": 1e-3, "beta1": 1'),
      text.replace('"learningRate": 1e-3', '"learningRate": 1e-3, "beta1": -1'),
      text.replace('"learningRate": 1e-3', '"name": "sgd", "learningRate": 1e-3'),
      text.replace('"size": 32', '"size": 8'),
      text.replace(/"title": "[^"]*"/, '"title": ""'),
      augmented('{ "randomResizedCrop": { "scale": [0.5], "ratio": [1, 2] } }'),
      augmented('{ "randomResizedCrop": { "scale": [2, 1], "ratio": "1" } }'),
      augmented('{ "randomResizedCrop": { "scale": [1, 1], "ratio": [1, 1] }, "randomCrop": { "enlarge": 1 } }'),
      augmented('[]'),
    ].map((file) => {
      try {
        parseExperiment(file, 'a.json');
      } catch (error) {
        const inChinese = translated((error as UserError).userMessage);
        expect(inChinese).not.toMatch(/expected|found|Invalid|Too/);
        return (error as UserError).message;
      }
      throw new Error(`nothing was wrong with ${file}`);
    });
    expect(problems).toEqual([
      'a.json: at “batchSize”: expected at most 4096, found 5000',
      'a.json: at “optimizer.beta1”: expected less than 1, found 1',
      'a.json: at “optimizer.beta1”: expected at least 0, found -1',
      'a.json: at “optimizer.name”: expected "adam", found "sgd"',
      'a.json: at “input.size”: lenet5: the 5×5 window of conv2 does not fit its 2×2 input; use a larger input size',
      'a.json: at “title”: expected a string that is not empty, found ""',
      'a.json: at “augment.randomResizedCrop.scale”: expected 2 items, found [0.5]',
      'a.json: at “augment.randomResizedCrop.scale”: expected [low, high] with low ≤ high, found [2,1]; at “augment.randomResizedCrop.ratio”: expected a list in square brackets, found "1"',
      'a.json: at “augment”: expected randomResizedCrop or randomCrop, not both, found {"randomResizedCrop":{"scale":[1,1],"ratio":[1,1]},"randomCrop":{"enlarge":1}}',
      'a.json: at “augment”: expected an object in braces, found []',
    ]);
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
    ['{ "file": "/etc/passwd" }', /at “network\.weights”: expected "scratch", "imagenet", or an object/],
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
