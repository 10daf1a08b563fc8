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
