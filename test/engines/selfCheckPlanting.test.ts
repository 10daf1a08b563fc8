/**
 * Faults planted in the embedded engine, to see the self-check find them: graphs are altered on their way to ONNX Runtime,
 * as if a kernel were wrong or missing, and models are given other settings than asked for, as if the code around the
 * graphs were wrong.
 */
import { afterEach, describe, expect, it, vi } from 'vitest';
import { english, Message, UserError } from '../../src/core/messages/message';
import { networks } from '../../src/core/networks/catalog';
import type { Engine, Model, ModelOptions, ModelState, StepResult } from '../../src/trainer/engines/engine';
import { onnxProvider } from '../../src/trainer/engines/onnx/provider';
import { evaluationGraph, trainingGraph } from '../../src/trainer/engines/onnx/lowering';
import { Attribute, encodeModel, ModelSpec, NodeSpec } from '../../src/trainer/engines/onnx/proto';
import { openProved, selfCheck } from '../../src/trainer/engines/selfCheck';
import { SelfCheckCase, selfCheckCases } from '../../src/trainer/engines/selfCheckCases';
import { decodeModel } from './onnxModel';

/** What a test does to every graph before ONNX Runtime sees it. */
const planted: { alter?: (model: ModelSpec, options: { graphOptimizationLevel?: string }) => ModelSpec } = {};

vi.mock('onnxruntime-node', async (original) => {
  const real = await original<typeof import('onnxruntime-node')>();
  const ort = {
    ...real,
    InferenceSession: {
      create: (bytes: Uint8Array, options: { graphOptimizationLevel?: string }) => {
        const model = planted.alter ? encodeModel(planted.alter(decodeModel(bytes), options)) : bytes;
        return real.InferenceSession.create(model, options as object);
      },
    },
  };
  return { ...ort, default: ort };
});

afterEach(() => (planted.alter = undefined));

const cases = selfCheckCases();

/** The self-check's verdict on the embedded engine, or on some cases of it. */
async function verdict(of: readonly SelfCheckCase[] = cases, wrap = (engine: Engine): Engine => engine) {
  const engine = await onnxProvider.open({ threads: 1 });
  try {
    return await selfCheck(wrap(engine), of);
  } finally {
    await engine.dispose();
  }
}

const node = (op: string, inputs: string[], output: string, attributes: Record<string, Attribute> = {}): NodeSpec => ({
  name: output,
  op,
  domain: '',
  inputs,
  outputs: [output],
  attributes,
});

/** A wrong kernel: nodes that compute `wrong` from the right values. */
type Corruption = (
  right: string,
  wrong: string,
) => { nodes: NodeSpec[]; constants?: Record<string, number | number[]> };

/** Puts a corruption behind each of the nodes that `where` picks. */
function corrupt(
  model: ModelSpec,
  where: (spec: NodeSpec, index: number) => boolean,
  corruption: Corruption,
): ModelSpec {
  const nodes: NodeSpec[] = [];
  const constants = [...model.constants];
  model.nodes.forEach((spec, index) => {
    const [output] = spec.outputs as [string];
    if (!where(spec, index)) return void nodes.push(spec);
    const right = `${output}_right`;
    const added = corruption(right, output);
    nodes.push({ ...spec, outputs: [right] }, ...added.nodes);
    for (const [name, value] of Object.entries(added.constants ?? {})) {
      const integers = Array.isArray(value);
      constants.push({
        name,
        type: integers ? 'int64' : 'float32',
        shape: integers ? [value.length] : [],
        bytes: new Uint8Array((integers ? BigInt64Array.from(value, BigInt) : Float32Array.of(value)).buffer),
      });
    }
  });
  return { ...model, nodes, constants };
}

/** A hundredth too large, and a little too low. */
const slightly: Corruption = (right, wrong) => ({
  nodes: [
    node('Mul', [right, `${wrong}_factor`], `${wrong}_larger`),
    node('Sub', [`${wrong}_larger`, `${wrong}_low`], wrong),
  ],
  constants: { [`${wrong}_factor`]: 1.01, [`${wrong}_low`]: 0.02 },
});

const sign: Corruption = (right, wrong) => ({ nodes: [node('Neg', [right], wrong)] });

const zero: Corruption = (right, wrong) => ({ nodes: [node('Sub', [right, right], wrong)] });

/** The first half of the values, as they lie in memory, a hundredth too large. */
const half: Corruption = (right, wrong) => ({
  nodes: [
    node('Shape', [right], `${wrong}_shape`),
    node('Reshape', [right, `${wrong}_all`], `${wrong}_values`),
    {
      ...node('Split', [`${wrong}_values`], `${wrong}_split`, { axis: 0, num_outputs: 2 }),
      outputs: [`${wrong}_first`, `${wrong}_second`],
    },
    node('Mul', [`${wrong}_first`, `${wrong}_factor`], `${wrong}_larger`),
    node('Concat', [`${wrong}_larger`, `${wrong}_second`], `${wrong}_joined`, { axis: 0 }),
    node('Reshape', [`${wrong}_joined`, `${wrong}_shape`], wrong),
  ],
  constants: { [`${wrong}_all`]: [-1], [`${wrong}_factor`]: 1.01 },
});

const operator = ({ domain, op }: NodeSpec) => (domain ? `${domain}.${op}` : op);

/** Every graph that the self-check compiles, by case. */
const graphsOf = ({ network, options, batch }: SelfCheckCase): ModelSpec[] =>
  [...new Set([options.microBatch, batch.size % options.microBatch].filter((size) => size > 0))].map((size) =>
    decodeModel(trainingGraph(network, size, options.loss).model),
  );

/** Names of the values of which it only counts whether they are 0, or where the largest is. */
function comparedValues({ network, options }: SelfCheckCase, model: ModelSpec): Set<string> {
  const { peaks } = trainingGraph(network, options.microBatch, options.loss);
  const compared = new Set(peaks === undefined ? [] : [peaks.name]);
  const outputs = new Set(model.outputs.map(({ name }) => name));
  // Such a value goes only to a comparison (see rules.ts and pooling.ts) or on to another such value.
  const only = (name: string): boolean => {
    const users = model.nodes.filter((spec) => spec.inputs.includes(name));
    return (
      !outputs.has(name) &&
      users.every((spec) => spec.op === 'HardSigmoid' || spec.outputs.every((o) => compared.has(o)))
    );
  };
  for (let before = -1; before < compared.size;) {
    before = compared.size;
    for (const spec of model.nodes) if (only(spec.outputs[0]!)) compared.add(spec.outputs[0]!);
  }
  return compared;
}

describe('every node of every graph, when a little wrong, is found:', () => {
  it.each(cases.map((each) => [each.layer, each] as const))('%s', async (_layer, each) => {
    expect(await verdict([each]), 'without a fault').toBeUndefined();
    const missed: string[] = [];
    const graphs = graphsOf(each);
    if (each.evaluated) graphs.push(decodeModel(evaluationGraph(each.network, 256).model));
    for (const model of graphs) {
      const compared = comparedValues(each, model);
      for (const [index, spec] of model.nodes.entries()) {
        const found = async (...corruptions: Corruption[]) => {
          for (const corruption of corruptions) {
            planted.alter = (seen) =>
              seen.name === model.name ? corrupt(seen, (_, i) => i === index, corruption) : seen;
            // Only a wrong figure will do: an altered graph that ONNX Runtime refuses would be the test's own fault.
            if ((await verdict([each]))?.id === 'selfCheckWrong') return true;
          }
          return false;
        };
        // Half the values may be zeros, as the gradients of ReLUs that are closed.
        if (await found(half, slightly)) continue;
        if (compared.has(spec.outputs[0]!) && (await found(sign, zero))) continue;
        missed.push(`${model.name}: ${operator(spec)} ${spec.name}`);
      }
    }
    expect(missed).toEqual([]);
  });
});

/** What sets an operator's code apart: which attributes and inputs it has, and of what kind; not every value of them. */
function variant(spec: NodeSpec, model: ModelSpec): string {
  const traits: string[] = [];
  const { kernel_shape: kernel, strides, pads, group, ...others } = spec.attributes;
  if (kernel) {
    const differs = (list: Attribute | undefined, usual: number) => [list ?? []].flat().some((n) => n !== usual);
    const [strided, padded] = [differs(strides, 1), differs(pads, 0)];
    traits.push(`${(kernel as number[]).length}d`, ...(strided ? ['strided'] : []), ...(padded ? ['padded'] : []));
    // Only then is nothing unfolded.
    if (!strided && !padded && !differs(kernel, 1)) traits.push('pointwise');
    if (group !== undefined && group !== 1) traits.push('grouped');
  }
  for (const [name, value] of Object.entries(others)) traits.push(`${name} ${JSON.stringify(value)}`);
  // Constant inputs that choose the code.
  const integers = (name: string | undefined) => {
    const bytes = model.constants.find((constant) => constant.name === name && constant.type === 'int64')?.bytes;
    return bytes && [...new BigInt64Array(bytes.slice().buffer)].map(Number);
  };
  if (spec.op.startsWith('Reduce')) traits.push(`axes ${integers(spec.inputs[1])?.join()}`);
  if (spec.op === 'Slice') traits.push(`steps of 1: ${integers(spec.inputs[4])?.every((step) => step === 1)}`);
  const count = spec.op === 'Concat' && spec.inputs.length > 2 ? 'many' : String(spec.inputs.length);
  return [operator(spec), `${count} inputs`, ...traits].join(', ');
}

const variants = (models: readonly ModelSpec[]) =>
  new Set(models.flatMap((model) => model.nodes.map((spec) => variant(spec, model))));

describe('the self-check’s graphs', () => {
  const own = variants(
    cases.flatMap((each) => [...graphsOf(each), decodeModel(evaluationGraph(each.network, 256).model)]),
  );

  it.each(Object.entries(networks))('have every operator, in every variant, that %s has', (_name, { build }) => {
    const channels = _name === 'lenet5' ? 1 : 3;
    const size = _name === 'lenet5' ? 32 : 224;
    const real: ModelSpec[] = [];
    for (const outputs of [1, 10]) {
      const network = build([channels, size, size], outputs);
      const loss = outputs === 1 ? 'bce_with_logits' : 'cross_entropy';
      real.push(decodeModel(trainingGraph(network, 32, loss).model), decodeModel(evaluationGraph(network, 32).model));
    }
    expect([...variants(real)].filter((each) => !own.has(each))).toEqual([]);
  });
});

/** Plants one fault in all nodes of some operators, in every graph. */
function plantIn(operators: readonly string[], corruption: Corruption): void {
  planted.alter = (model) => corrupt(model, (spec) => operators.includes(operator(spec)), corruption);
}

/** As if ONNX Runtime had been built without these operators. */
function plantMissing(operators: readonly string[]): void {
  planted.alter = (model) => ({
    ...model,
    nodes: model.nodes.map((spec) =>
      operators.includes(operator(spec)) ? { ...spec, op: `${spec.op}Removed` } : spec,
    ),
  });
}

describe('an operator that is wrong or missing', () => {
  const everywhere = ['Conv', 'Gemm', 'MatMul', 'MaxPool', 'Gather', 'Pad', 'Transpose', 'ReduceSum', 'Softmax'];

  it.each(everywhere)('disables the engine: %s', async (name) => {
    plantIn([name], half);
    const wrong = await refusal();
    expect(english(wrong)).toMatch(
      /^onnx computes .+ incorrectly on this machine: the relative error of .+ is allowed\.$/,
    );
    plantMissing([name]);
    const missing = await refusal();
    expect(english(missing)).toMatch(new RegExp(`^onnx cannot compute .+ on this machine: .*${name}Removed`));
  });

  const fused = ['FusedConv', 'FusedGemm', 'FusedMatMul'].map((name) => `com.microsoft.${name}`);

  it.each(fused)('disables what the engine can do without: %s', async (name) => {
    plantIn([name], half);
    expect(await warnings()).toEqual([
      expect.stringMatching(/^onnx trains without fused-operators here, and therefore slower: .+ incorrectly on/),
    ]);
    plantMissing([name]);
    expect(await warnings()).toEqual([
      expect.stringMatching(/^onnx trains without fused-operators here, and therefore slower: .+ cannot compute/),
    ]);
  });

  it('disables Winograd’s convolutions where only they are wrong', async () => {
    // No other convolution has 36 kernels.
    planted.alter = (model) => {
      const frequencies = model.constants.find(({ shape }) => shape.length === 2 && shape[0] === 36)?.name;
      const kernels = model.nodes.find((spec) => spec.op === 'Reshape' && spec.inputs[0] === frequencies)?.outputs[0];
      return corrupt(model, ({ op, inputs }) => op === 'Conv' && inputs[1] === kernels, half);
    };
    expect(await warnings()).toEqual([
      expect.stringMatching(/^onnx trains without winograd here, and therefore slower: .+ incorrectly on/),
    ]);
  });

  it('leaves nothing out where all is right', async () => {
    expect(await warnings()).toEqual([]);
  });

  /** Why the engine is refused. */
  async function refusal(): Promise<Message> {
    const error = await openProved(onnxProvider, { threads: 1 }).then(
      ({ engine }) => engine.dispose().then(() => undefined),
      (reason: unknown) => reason,
    );
    expect(error).toBeInstanceOf(UserError);
    return (error as UserError).userMessage;
  }

  /** What the engine goes without, in sentences. */
  async function warnings(): Promise<string[]> {
    const { engine, warnings } = await openProved(onnxProvider, { threads: 1 });
    await engine.dispose();
    return warnings.map(english);
  }
});

/** An engine whose models are given other settings than asked for, or whose results are altered. */
function engineWith(options: (asked: ModelOptions) => ModelOptions, wrap: (model: Model) => Model = (m) => m) {
  return (engine: Engine): Engine => ({
    ...engine,
    compile: async (network, asked) => wrap(await engine.compile(network, options(asked))),
  });
}

describe('the code around the graphs, when wrong, is found:', () => {
  const optimizer = (change: Partial<ModelOptions['optimizer']>) =>
    engineWith((asked) => ({ ...asked, optimizer: { ...asked.optimizer, ...change } }));
  const step = (alter: (result: StepResult) => StepResult) =>
    engineWith(
      (asked) => asked,
      (model) => altered(model, { trainStep: async (...args) => alter(await model.trainStep(...args)) }),
    );
  const faults: Readonly<Record<string, (engine: Engine) => Engine>> = {
    'Adam’s β₁': optimizer({ beta1: 0.89 }),
    'Adam’s β₂': optimizer({ beta2: 0.9985 }),
    'Adam’s ε': optimizer({ eps: 1.05e-3 }),
    'where ε is added': optimizer({ epsilonHat: true }),
    'the seed of dropout': engineWith((asked) => ({ ...asked, seed: asked.seed + 1 })),
    'batch norm’s running statistics, not saved': engineWith(
      (asked) => asked,
      (model) => {
        let given: ModelState | undefined;
        return altered(model, {
          load: (state) => model.load((given = state)),
          save: async () => ({ ...(await model.save()), buffers: given!.buffers }),
        });
      },
    ),
    'the learning rate': engineWith(
      (asked) => asked,
      (model) => altered(model, { trainStep: (batch, at, rate) => model.trainStep(batch, at, rate * 1.01) }),
    ),
    'the step that dropout is drawn for': engineWith(
      (asked) => asked,
      (model) =>
        altered(model, {
          trainStep: (batch, at, rate) => model.trainStep(batch, { ...at, step: at.step + 1 }, rate),
        }),
    ),
    'the count of right answers': step((result) => ({ ...result, correct: result.correct + 1 })),
    'the share of dead ReLUs': step(({ diagnostics, ...result }) => ({
      ...result,
      diagnostics: { ...diagnostics, deadShare: diagnostics.deadShare.map((share) => 1 - share) },
    })),
    'the gradients’ norms': step(({ diagnostics, ...result }) => ({
      ...result,
      diagnostics: { ...diagnostics, gradientNorm: diagnostics.gradientNorm.map((norm) => norm * 1.01) },
    })),
    'a loss that is not a number': step((result) => ({ ...result, loss: NaN })),
  };

  it.each(Object.entries(faults))('%s', async (_name, wrap) => {
    expect((await verdict(cases, wrap))?.id).toBe('selfCheckWrong');
  });

  function altered(model: Model, methods: Partial<Model>): Model {
    return new Proxy(model, {
      get: (target, key) => {
        const own = methods[key as keyof Model];
        if (own) return own;
        const value: unknown = Reflect.get(target, key, target);
        return typeof value === 'function' ? value.bind(target) : value;
      },
    });
  }
});
