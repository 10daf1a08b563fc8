/**
 * The suite that every engine is held to: PyTorch's figures, gradients against finite differences of the float64
 * reference, and the promises of src/trainer/engines/engine.ts. Each engine's test file calls {@link describeEngine}.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { english } from '../../src/core/messages/message';
import { NetworkName } from '../../src/core/networks/catalog';
import { elements, freezeFeatures, initialBuffers, Network, Tensors } from '../../src/core/networks/network';
import { fillUniform, streamKey, word } from '../../src/core/random';
import {
  AdamOptions,
  Batch,
  Engine,
  EngineOptions,
  EngineProvider,
  LossName,
  Model,
  ModelOptions,
  ModelState,
} from '../../src/trainer/engines/engine';
import { selfCheck } from '../../src/trainer/engines/selfCheck';
import { everyLayer, gradientCases, networkOf } from './cases';
import { goldenBatch, goldenNetwork, goldenParameters, readGolden } from './golden';
import { finiteDifferences, referenceForward, referenceLoss } from './reference';

/** What the suite must reach under an engine to see how it fails. */
export interface LibraryUnderTest {
  /** How many sessions or tensors the library holds now. */
  held(): number;
  /** Has the library fail as where memory is wanting, in its own words, until the function returned is called. */
  starve(): () => void;
}

export interface ConformanceOptions {
  readonly engine?: EngineOptions;
  readonly library: LibraryUnderTest;
  /** Networks besides LeNet-5 to hold to PyTorch's figures at 224 pixels: minutes and gigabytes. */
  readonly goldenNetworks?: readonly Exclude<NetworkName, 'lenet5'>[];
}

const adam: AdamOptions = { name: 'adam', learningRate: 1e-3, beta1: 0.9, beta2: 0.999, eps: 1e-8 };
const at = { epoch: 1, step: 0 };

/** Registers the suite for one engine. */
export function describeEngine(provider: EngineProvider, options: ConformanceOptions): void {
  const without = options.engine?.without;
  describe(`engine ${provider.name}${without ? ` without ${without.join(', ')}` : ''}`, () => {
    let engine: Engine;
    beforeAll(async () => {
      engine = await provider.open(options.engine ?? {});
    });
    afterAll(async () => {
      await engine?.dispose();
    });

    /** Compiles, loads, runs `body`, and disposes. */
    async function withModel<Result>(
      network: Network,
      modelOptions: Partial<ModelOptions>,
      state: ModelState,
      body: (model: Model) => Promise<Result>,
    ): Promise<Result> {
      const model = await engine.compile(network, {
        batchSize: 8,
        loss: 'cross_entropy',
        optimizer: adam,
        seed: 1,
        ...modelOptions,
      });
      try {
        await model.load(state);
        return await body(model);
      } finally {
        await model.dispose();
      }
    }

    describe('the figures of PyTorch and Keras', () => {
      const small = { logits: 1e-4, loss: 1e-4, norm: 1e-3, adam: 1e-3, adamSteps: 5 };
      // Float32 through up to 50 layers; Adam's first step divides each gradient by itself, so the sign of tiny ones,
      // which rounding decides, moves later losses. ResNet-50 at batch 2 normalises over few values on top of that.
      const large = { logits: 1e-3, loss: 1e-3, norm: 1e-2, adam: 1e-2, adamSteps: 2 };
      const names: NetworkName[] = ['lenet5', ...(options.goldenNetworks ?? [])];
      for (const name of names) {
        const golden = readGolden(name);
        const network = goldenNetwork(golden);
        const deep = { ...large, norm: 2e-2, adam: 5e-2 };
        const tolerance = name === 'lenet5' ? small : name.startsWith('resnet50') ? deep : large;
        it(
          name,
          async () => {
            const batch = goldenBatch(golden);
            const optimizer = { ...adam, ...golden.adam, learningRate: golden.learning_rate };
            const modelOptions = {
              batchSize: batch.size,
              loss: golden.loss_function,
              optimizer,
              microBatch: batch.size,
            };
            const state = { parameters: goldenParameters(network), buffers: initialBuffers(network) };
            await withModel(network, modelOptions, state, async (model) => {
              expect(sizeOf((await model.save()).parameters)).toBe(golden.parameter_count);
              const evaluation = await model.evaluate(batch);
              expectClose(evaluation.logits, golden.eval_logits.flat(), tolerance.logits, 'evaluation logits');

              const training = await model.gradients(batch, at);
              expectClose(training.logits, golden.train_logits.flat(), tolerance.logits, 'training logits');
              expectRelative(training.loss, golden.train_loss, tolerance.loss, 'loss');
              expect([...training.gradients.keys()]).toEqual(golden.parameters.map((p) => p.name));
              // Keras's ResNet-50 has biases before batch norm: their gradients cancel, and only rounding is left.
              const most = Math.max(...Object.values(golden.gradient_l2_norms));
              for (const [key, gradient] of training.gradients) {
                const expected = golden.gradient_l2_norms[key]!;
                if (expected > 1e-12) expectRelative(norm(gradient), expected, tolerance.norm, `gradient of ${key}`);
                else expect(norm(gradient), `gradient of ${key}`).toBeLessThan(1e-5 * most);
              }

              const losses: number[] = [];
              for (let step = 0; step < tolerance.adamSteps; step++) {
                losses.push((await model.trainStep(batch, { epoch: 1, step }, golden.learning_rate)).loss);
              }
              losses.forEach((loss, step) => {
                expectRelative(loss, golden.adam_losses_5_steps[step]!, tolerance.adam, `loss of step ${step}`);
              });
            });
          },
          600_000,
        );
      }
    });

    it('passes its own check, as before every run', async () => {
      const fault = await selfCheck(engine);
      expect(fault && english(fault)).toBeUndefined();
    });

    describe('gradients agree with finite differences:', () => {
      for (const { name, network, size, loss } of gradientCases()) {
        it(name, async () => {
          const { parameters, buffers, batch } = smoothSetting(network, size, loss);
          const mode = { loss, training: { seed: 1, at } };
          const reference = referenceForward(network, parameters, buffers, batch, mode);
          const expected = finiteDifferences(network, parameters, buffers, batch, mode);
          await withModel(network, { loss }, { parameters, buffers }, async (model) => {
            const result = await model.gradients(batch, at);
            expectRelative(result.loss, reference.loss, 1e-5, 'loss');
            expectClose(result.logits, reference.logits, 1e-5, 'logits');
            expectGradients(result.gradients, expected);
          });
        });
      }

      const flat = networkOf('flat', [1, 3, 3], (net, x) => {
        x = net.relu('relu', net.conv('conv', x, 2, { kernel: 2 }));
        return net.linear('fc', net.flatten('flatten', x), 3);
      });
      it('a ReLU whose input is exactly 0 passes none, as in PyTorch', async () => {
        const { parameters, buffers, batch } = setting(flat, 3, 'cross_entropy');
        parameters.get('conv.weight')!.fill(0);
        parameters.get('conv.bias')!.fill(0);
        await withModel(flat, {}, { parameters, buffers }, async (model) => {
          const { gradients } = await model.gradients(batch, at);
          expect([...gradients.get('conv.bias')!].map(Math.abs)).toEqual([0, 0]);
          expect(norm(gradients.get('fc.bias')!)).toBeGreaterThan(0);
        });
      });
    });

    describe('losses', () => {
      // Without a hidden layer the logits are the input times a weight: large ones are easy to make.
      for (const [loss, outputs] of [
        ['cross_entropy', 4],
        ['bce_with_logits', 1],
      ] as const) {
        const network = networkOf(loss, [1, 1, 2], (net, x) => net.linear('fc', net.flatten('flatten', x), outputs));
        it(`${loss} stays exact for logits in the hundreds`, async () => {
          const { parameters, buffers } = setting(network, 1, loss);
          parameters.get('fc.weight')!.forEach((_, i, all) => (all[i] = [300, -200, 90, 40, -300, 7, 0, 1][i]!));
          parameters.get('fc.bias')!.fill(0.5);
          const batch: Batch = {
            images: Float32Array.of(1, 0.25, -1, -0.5, 0.5, 1, -1, 1),
            labels: Int32Array.of(0, 1, 1, 0),
            size: 4,
          };
          const reference = referenceForward(network, parameters, buffers, batch, { loss, training: { seed: 1, at } });
          const expected = finiteDifferences(network, parameters, buffers, batch, { loss, training: { seed: 1, at } });
          await withModel(network, { loss }, { parameters, buffers }, async (model) => {
            const result = await model.gradients(batch, at);
            expectRelative(result.loss, reference.loss, 1e-6, 'loss');
            expectGradients(result.gradients, expected);
            expectRelative((await model.evaluate(batch)).lossSum, reference.loss * 4, 1e-6, 'evaluation loss');
          });
        });
      }
    });

    describe('evaluation', () => {
      const network = everyLayer();
      it('uses running statistics and no dropout, for any number of examples', async () => {
        const { parameters, buffers, batch } = setting(network, 11, 'cross_entropy');
        const reference = referenceForward(network, parameters, buffers, batch, { loss: 'cross_entropy' });
        await withModel(network, { batchSize: 4 }, { parameters, buffers }, async (model) => {
          for (const size of [11, 4, 1]) {
            const { logits, lossSum } = await model.evaluate({ ...batch, size });
            expect(logits).toHaveLength(size * network.outputs);
            expectClose(logits, reference.logits.slice(0, size * network.outputs), 1e-5, `logits of ${size}`);
            const expected = referenceLoss(reference.logits, { ...batch, size }, network.outputs, 'cross_entropy');
            expectRelative(lossSum, expected, 1e-5, `loss of ${size}`);
          }
        });
      });

      it('changes nothing', async () => {
        const { parameters, buffers, batch } = setting(network, 3, 'cross_entropy');
        await withModel(network, {}, { parameters, buffers }, async (model) => {
          await model.trainStep(batch, at, 1e-3);
          const before = await model.save();
          await model.evaluate(batch);
          await model.gradients(batch, at);
          expectSameState(await model.save(), before);
        });
      });
    });

    describe('batch norm', () => {
      const moving = (unbiasedRunningVariance: boolean) =>
        networkOf('moving', [2, 4, 3], (net, x) => {
          x = net.batchNorm('bn1', x, { momentum: 0.1, unbiasedRunningVariance });
          x = net.conv('conv', x, 3, { kernel: 2 });
          x = net.batchNorm('bn2', x, { eps: 1e-3, momentum: 0.01, unbiasedRunningVariance });
          return net.linear('fc', net.flatten('flatten', x), 3);
        });
      for (const unbiased of [true, false]) {
        const network = moving(unbiased);
        const kind = unbiased ? 'unbiased (PyTorch)' : 'biased (Keras)';
        it(`moves its running statistics, ${kind}`, async () => {
          const { parameters, buffers, batch } = setting(network, 3, 'cross_entropy');
          const mode = { loss: 'cross_entropy', training: { seed: 1, at } } as const;
          await withModel(network, {}, { parameters, buffers }, async (model) => {
            let state: ModelState = { parameters, buffers };
            for (let step = 0; step < 2; step++) {
              const expected = referenceForward(network, state.parameters, state.buffers, batch, mode).buffers;
              await model.trainStep(batch, { epoch: 1, step }, 1e-2);
              state = await model.save();
              expect([...state.buffers.keys()]).toEqual(network.buffers.map((buffer) => buffer.name));
              for (const [name, values] of state.buffers) expectClose(values, expected.get(name)!, 1e-5, name);
            }
          });
        });
      }

      const point = networkOf('point', [2, 1, 1], (net, x) =>
        net.linear('fc', net.flatten('flatten', net.batchNorm('bn', x)), 2),
      );
      it('survives a single value per channel, counting its variance as 0', async () => {
        const { parameters, buffers, batch } = setting(point, 1, 'cross_entropy');
        const expected = buffers.get('bn.running_var')!.map((v) => v * 0.9);
        await withModel(point, {}, { parameters, buffers }, async (model) => {
          expect((await model.trainStep(batch, at, 1e-3)).loss).toBeGreaterThan(0);
          expectClose((await model.save()).buffers.get('bn.running_var')!, expected, 1e-5, 'running variance');
        });
      });
    });

    describe('frozen features', () => {
      const network = freezeFeatures(everyLayer());
      const trained = network.parameters.filter((p) => !p.frozen).map((p) => p.name);
      it('have no gradient; batch norm keeps its running statistics, dropout goes on', async () => {
        expect(trained).toEqual(['fc.weight', 'fc.bias']);
        const { parameters, buffers, batch } = smoothSetting(network, 3, 'cross_entropy');
        const mode = { loss: 'cross_entropy', training: { seed: 1, at } } as const;
        const reference = referenceForward(network, parameters, buffers, batch, mode);
        const expected = finiteDifferences(network, parameters, buffers, batch, mode, trained);
        await withModel(network, {}, { parameters, buffers }, async (model) => {
          const { logits, loss, gradients } = await model.gradients(batch, at);
          expectClose(logits, reference.logits, 1e-5, 'logits');
          expectRelative(loss, reference.loss, 1e-5, 'loss');
          expectGradients(gradients, expected);
        });
      });

      for (const microBatch of [8, 2]) {
        it(`stay as they were to the last bit, passes of ${microBatch}`, async () => {
          const { parameters, buffers, batch } = setting(network, 5, 'cross_entropy');
          const frozen = network.parameters.filter((p) => p.frozen).map((p) => p.name);
          await withModel(network, { microBatch }, { parameters, buffers }, async (model) => {
            for (let step = 0; step < 3; step++) {
              const { diagnostics } = await model.trainStep(batch, { epoch: 1, step }, 1e-2);
              network.parameters.forEach(({ frozen }, k) => {
                expect(diagnostics.gradientNorm[k]! > 0).toBe(!frozen);
                expect(diagnostics.updateRatio[k]! > 0).toBe(!frozen);
              });
            }
            const after = await model.save();
            expect(after.buffers).toEqual(buffers);
            for (const name of frozen) {
              expect(after.parameters.get(name), name).toEqual(parameters.get(name));
              expect(largest(after.optimizer!.firstMoment.get(name)!), name).toBe(0);
              expect(largest(after.optimizer!.secondMoment.get(name)!), name).toBe(0);
            }
            for (const name of trained) expect(after.parameters.get(name), name).not.toEqual(parameters.get(name));
          });
        });
      }

      const between = networkOf('between', [2, 5, 4], (net, x) => {
        x = net.relu('relu', net.batchNorm('bn', net.conv('conv1', x, 3, { kernel: 2 })));
        return net.linear('fc', net.flatten('flatten', net.conv('conv2', x, 2, { kernel: 2 })), 3);
      });
      const partly: Network = {
        ...between,
        nodes: between.nodes.map((n) => (n.op.kind === 'batchNorm' ? { ...n, op: { ...n.op, frozen: true } } : n)),
        parameters: between.parameters.map((p) => (/^(bn|conv2)/.test(p.name) ? { ...p, frozen: true } : p)),
      };
      it('let gradients through to what is trained before them', async () => {
        const { parameters, buffers, batch } = smoothSetting(partly, 3, 'cross_entropy');
        const names = ['conv1.weight', 'conv1.bias', 'fc.weight', 'fc.bias'];
        const mode = { loss: 'cross_entropy', training: { seed: 1, at } } as const;
        const expected = finiteDifferences(partly, parameters, buffers, batch, mode, names);
        await withModel(partly, {}, { parameters, buffers }, async (model) => {
          expectGradients((await model.gradients(batch, at)).gradients, expected);
          await model.trainStep(batch, at, 1e-2);
          expect((await model.save()).buffers).toEqual(buffers);
        });
      });
    });

    describe('dropout', () => {
      const network = networkOf('dropouts', [2, 3, 3], (net, x) => {
        x = net.dropout('drop1', net.conv('conv', x, 3, { kernel: 2 }), 0.4);
        return net.linear('fc', net.dropout('drop2', net.flatten('flatten', x), 0.5), 3);
      });
      it('draws its masks from seed, epoch and step', async () => {
        const { parameters, buffers, batch } = setting(network, 3, 'cross_entropy');
        for (const [seed, position] of [
          [1, { epoch: 1, step: 0 }],
          [1, { epoch: 2, step: 0 }],
          [1, { epoch: 2, step: 7 }],
          [9, { epoch: 2, step: 7 }],
        ] as const) {
          const mode = { loss: 'cross_entropy', training: { seed, at: position } } as const;
          const reference = referenceForward(network, parameters, buffers, batch, mode);
          await withModel(network, { seed }, { parameters, buffers }, async (model) => {
            // Two questions in a row: what was drawn before must not matter.
            await model.gradients(batch, { epoch: 5, step: 5 });
            const { logits, loss } = await model.gradients(batch, position);
            expectClose(logits, reference.logits, 1e-5, 'logits');
            expectRelative(loss, reference.loss, 1e-5, 'loss');
          });
        }
      });
    });

    describe('a step', () => {
      const network = everyLayer();

      for (const epsilonHat of [false, true]) {
        const form = epsilonHat ? 'as Keras adds it' : 'as PyTorch adds it';
        it(`updates as Adam does, with any settings and a changing learning rate, epsilon ${form}`, async () => {
          const { parameters, buffers, batch } = setting(network, 3, 'cross_entropy');
          // An epsilon of the size of the gradients shows where it is added.
          const optimizer = {
            name: 'adam',
            learningRate: 1e-3,
            beta1: 0.8,
            beta2: 0.95,
            eps: 1e-2,
            epsilonHat,
          } as const;
          await withModel(network, { optimizer }, { parameters, buffers }, async (model) => {
            const moments = new Map(
              [...parameters].map(([name, p]) => [
                name,
                { m: new Float64Array(p.length), v: new Float64Array(p.length) },
              ]),
            );
            for (const [step, learningRate] of [1e-2, 1e-2, 1e-3].entries()) {
              const before = await model.save();
              const { gradients } = await model.gradients(batch, { epoch: 1, step });
              await model.trainStep(batch, { epoch: 1, step }, learningRate);
              const after = await model.save();
              expect(after.optimizer!.step).toBe(step + 1);
              for (const [name, gradient] of gradients) {
                const { m, v } = moments.get(name)!;
                const start = before.parameters.get(name)!;
                const expected = Float64Array.from(start, (p, i) => {
                  const g = gradient[i]!;
                  m[i] = optimizer.beta1 * m[i]! + (1 - optimizer.beta1) * g;
                  v[i] = optimizer.beta2 * v[i]! + (1 - optimizer.beta2) * g * g;
                  const mean = m[i] / (1 - optimizer.beta1 ** (step + 1));
                  const square = v[i] / (1 - optimizer.beta2 ** (step + 1));
                  // The paper's ε̂: lr · sqrt(1 - β2^t) / (1 - β1^t) · m / (sqrt(v) + ε̂).
                  const eps = epsilonHat ? optimizer.eps / Math.sqrt(1 - optimizer.beta2 ** (step + 1)) : optimizer.eps;
                  return p - (learningRate * mean) / (Math.sqrt(square) + eps);
                });
                // A parameter near 1 rounds at 6e-8; the updates are about 1e-3 and up.
                const update = after.parameters.get(name)!.map((p, i) => p - start[i]!);
                const wanted = expected.map((p, i) => p - start[i]!);
                const slack = 1e-3 * largest(wanted) + 1.2e-7 * largest(start);
                update.forEach((u, i) => expect(Math.abs(u - wanted[i]!), `update of ${name}`).toBeLessThan(slack));
                expectClose(after.optimizer!.firstMoment.get(name)!, m, 1e-4, `first moment of ${name}`, 1e-7);
                expectClose(after.optimizer!.secondMoment.get(name)!, v, 1e-4, `second moment of ${name}`, 1e-9);
              }
            }
          });
        });
      }

      it('takes a last batch smaller than batchSize, between full ones', async () => {
        const { parameters, buffers, batch } = setting(network, 8, 'cross_entropy');
        const mode = { loss: 'cross_entropy', training: { seed: 1, at } } as const;
        const part = { ...batch, size: 3 };
        await withModel(network, {}, { parameters, buffers }, async (model) => {
          for (const each of [batch, part, batch]) {
            const reference = referenceForward(network, parameters, buffers, each, mode);
            const { loss, logits } = await model.gradients(each, at);
            expectRelative(loss, reference.loss, 1e-5, `loss of ${each.size}`);
            expectClose(logits, reference.logits, 1e-5, `logits of ${each.size}`);
          }
          const reference = referenceForward(network, parameters, buffers, part, mode);
          const step = await model.trainStep(part, at, 0);
          expectRelative(step.loss, reference.loss, 1e-5, 'loss of the step');
        });
      });

      it('reports loss, accuracy and diagnostics', async () => {
        const { parameters, buffers, batch } = setting(network, 5, 'cross_entropy');
        // The second channel of the first ReLU never fires.
        parameters.get('bn.weight')![1] = 0;
        parameters.get('bn.bias')![1] = -1;
        const mode = { loss: 'cross_entropy', training: { seed: 1, at } } as const;
        const reference = referenceForward(network, parameters, buffers, batch, mode);
        await withModel(network, { batchSize: 5 }, { parameters, buffers }, async (model) => {
          const { gradients } = await model.gradients(batch, at);
          const before = await model.save();
          const step = await model.trainStep(batch, at, 1e-3);
          const after = await model.save();
          expectRelative(step.loss, reference.loss, 1e-5, 'loss');
          expect(step.correct).toBe(correctOf(reference.logits, batch, network.outputs));
          const { gradientNorm, updateRatio, deadShare, logitStd } = step.diagnostics;
          expect([gradientNorm.length, updateRatio.length]).toEqual([
            network.parameters.length,
            network.parameters.length,
          ]);
          network.parameters.forEach(({ name }, i) => {
            // The smallest meaningful gradient here is about 1e-3; below 1e-6 there is only rounding.
            expect(Math.abs(gradientNorm[i]! - norm(gradients.get(name)!)), `gradient norm of ${name}`).toBeLessThan(
              1e-4 * norm(gradients.get(name)!) + 1e-6,
            );
            const start = before.parameters.get(name)!;
            const moved = norm(after.parameters.get(name)!.map((p, k) => p - start[k]!));
            // The update is 1e-3 of parameters near 1, which round at 6e-8.
            expectRelative(updateRatio[i]!, norm(start) === 0 ? 0 : moved / norm(start), 1e-3, `update of ${name}`);
          });
          expect([...deadShare]).toEqual(deadShares(network, reference.outputs, batch.size));
          expect(Math.max(...deadShare)).toBeGreaterThan(0);
          expectRelative(logitStd, std(reference.logits), 1e-4, 'standard deviation of the logits');
        });
      });

      // An odd number of rows and columns, and more elements than a library sums in one go.
      const wide = networkOf('wide', [301, 1, 1], (net, x) => {
        x = net.relu('relu', net.linear('fc1', net.flatten('flatten', x), 303));
        return net.linear('fc2', x, 3);
      });
      it('measures the norms of large matrices', async () => {
        const { parameters, buffers, batch } = setting(wide, 4, 'cross_entropy');
        await withModel(wide, { batchSize: 4 }, { parameters, buffers }, async (model) => {
          const { gradients } = await model.gradients(batch, at);
          const step = await model.trainStep(batch, at, 1e-3);
          const after = await model.save();
          const { gradientNorm, updateRatio } = step.diagnostics;
          const start = parameters.get('fc1.weight')!;
          const moved = norm(after.parameters.get('fc1.weight')!.map((p, k) => p - start[k]!));
          // Sums of 91 203 squares in float32, one after another at worst.
          expectRelative(gradientNorm[0]!, norm(gradients.get('fc1.weight')!), 1e-4, 'gradient norm');
          // Each update is 1e-3 of a parameter below 1, which rounds at 6e-8.
          expectRelative(updateRatio[0]!, moved / norm(start), 1e-3, 'update');
        });
      });

      const binary = networkOf('binary', [1, 3, 4], (net, x) => {
        x = net.relu('relu', net.linear('fc1', net.flatten('flatten', x), 5));
        return net.linear('fc2', x, 1);
      });
      it('counts logit > 0 as class 1 when there is one logit', async () => {
        const mode = { loss: 'bce_with_logits', training: { seed: 1, at } } as const;
        // A batch whose accuracy would be another if the threshold were 0.5.
        const find = (seed: number): Setting & { logits: Float64Array } => {
          const found = setting(binary, 7, 'bce_with_logits', seed);
          // A zero bias gives an update ratio of 0 rather than a division by zero.
          found.parameters.get('fc2.bias')!.fill(0);
          const { logits } = referenceForward(binary, found.parameters, found.buffers, found.batch, mode);
          const lowered = logits.map((logit) => logit - 0.5);
          const differs = correctOf(logits, found.batch, 1) !== correctOf(lowered, found.batch, 1);
          return differs ? { ...found, logits } : find(seed + 1);
        };
        const { parameters, buffers, batch, logits } = find(1);
        await withModel(binary, { loss: 'bce_with_logits' }, { parameters, buffers }, async (model) => {
          const step = await model.trainStep(batch, at, 1e-3);
          expect(step.correct).toBe(correctOf(logits, batch, 1));
          const bias = binary.parameters.findIndex((p) => p.name === 'fc2.bias');
          expect(step.diagnostics.updateRatio[bias]).toBe(0);
          expectRelative(step.diagnostics.logitStd, std(logits), 1e-4, 'standard deviation of the logits');
        });
      });

      it('repeats bit for bit from the same seed', async () => {
        const { parameters, buffers, batch } = setting(network, 5, 'cross_entropy');
        const run = () =>
          withModel(network, { batchSize: 5 }, { parameters, buffers }, async (model) => {
            const steps = [];
            for (let step = 0; step < 3; step++) steps.push(await model.trainStep(batch, { epoch: 1, step }, 1e-2));
            return { steps, state: await model.save() };
          });
        const [first, second] = [await run(), await run()];
        expect(second.steps).toEqual(first.steps);
        expectSameState(second.state, first.state);
      });
    });

    describe('a micro-batch', () => {
      const network = networkOf('parts', [2, 5, 5], (net, x) => {
        x = net.maxPool('pool', net.relu('relu1', net.conv('conv', x, 4, { kernel: 2 })), { kernel: 2 });
        x = net.relu('relu2', net.linear('fc1', net.flatten('flatten', net.dropout('drop1', x, 0.3)), 6));
        return net.linear('fc2', net.dropout('drop2', x, 0.5), 3);
      });
      it('changes memory, not results', async () => {
        const { parameters, buffers, batch } = setting(network, 5, 'cross_entropy');
        const run = (microBatch: number) =>
          withModel(network, { batchSize: 5, microBatch }, { parameters, buffers }, async (model) => {
            expect(model.microBatch).toBe(microBatch);
            return { ...(await model.gradients(batch, at)), step: await model.trainStep(batch, at, 1e-3) };
          });
        const whole = await run(5);
        for (const microBatch of [1, 2]) {
          const parts = await run(microBatch);
          expectClose(parts.logits, whole.logits, 1e-5, 'logits');
          expectRelative(parts.loss, whole.loss, 1e-5, 'loss');
          expectGradients(parts.gradients, whole.gradients);
          expectRelative(parts.step.loss, whole.step.loss, 1e-5, 'loss of the step');
          expect(parts.step.correct).toBe(whole.step.correct);
          expect(parts.step.diagnostics.deadShare).toEqual(whole.step.diagnostics.deadShare);
          expectClose(parts.step.diagnostics.gradientNorm, whole.step.diagnostics.gradientNorm, 1e-5, 'norms');
          expectRelative(parts.step.diagnostics.logitStd, whole.step.diagnostics.logitStd, 1e-5, 'logit spread');
        }
      });
    });

    describe('the state', () => {
      const network = everyLayer();

      it('saved and loaded continues exactly', async () => {
        const { parameters, buffers, batch } = setting(network, 4, 'cross_entropy');
        const go = async (model: Model, from: number) => {
          const steps = [];
          for (let step = from; step < from + 2; step++)
            steps.push(await model.trainStep(batch, { epoch: 1, step }, 1e-2));
          return steps;
        };
        const first = await withModel(network, {}, { parameters, buffers }, async (model) => {
          await go(model, 0);
          const saved = await model.save();
          return { saved, steps: await go(model, 2), end: await model.save() };
        });
        expect(first.saved.optimizer!.step).toBe(2);
        await withModel(network, {}, first.saved, async (model) => {
          expectSameState(await model.save(), first.saved);
          expect(await go(model, 2)).toEqual(first.steps);
          expectSameState(await model.save(), first.end);
        });
      });

      it('has PyTorch’s names and layouts, and is a copy', async () => {
        const { parameters, buffers, batch } = setting(network, 4, 'cross_entropy');
        await withModel(network, {}, { parameters, buffers }, async (model) => {
          const saved = await model.save();
          expect([...saved.parameters.keys()]).toEqual(network.parameters.map((p) => p.name));
          expect(saved.parameters).toEqual(parameters);
          expect(saved.buffers).toEqual(buffers);
          for (const values of saved.parameters.values()) values.fill(NaN);
          for (const values of saved.buffers.values()) values.fill(NaN);
          expect((await model.save()).parameters).toEqual(parameters);

          const given = new Map([...parameters].map(([name, values]) => [name, values.slice()] as const));
          await model.load({ parameters: given, buffers });
          for (const values of given.values()) values.fill(NaN);
          expect((await model.save()).parameters).toEqual(parameters);
          await model.trainStep(batch, at, 1e-3);
          expect((await model.save()).parameters).not.toEqual(parameters);
        });
      });

      it('loaded without an optimizer starts Adam afresh', async () => {
        const { parameters, buffers, batch } = setting(network, 4, 'cross_entropy');
        await withModel(network, {}, { parameters, buffers }, async (model) => {
          const first = await model.trainStep(batch, at, 1e-2);
          const after = await model.save();
          await model.trainStep(batch, at, 1e-2);
          await model.load({ parameters, buffers });
          expect(await model.trainStep(batch, at, 1e-2)).toEqual(first);
          expectSameState(await model.save(), after);
        });
      });

      it('must fit the network', async () => {
        const { parameters, buffers } = setting(network, 1, 'cross_entropy');
        await withModel(network, {}, { parameters, buffers }, async (model) => {
          const without = (tensors: Tensors, name: string) => new Map([...tensors].filter(([key]) => key !== name));
          const short = new Map([...parameters, ['fc.weight', new Float32Array(3)] as const]);
          await expect(model.load({ parameters: without(parameters, 'fc.bias'), buffers })).rejects.toThrow('fc.bias');
          await expect(model.load({ parameters: short, buffers })).rejects.toThrow('fc.weight');
          await expect(model.load({ parameters, buffers: without(buffers, 'bn.running_var') })).rejects.toThrow(
            'bn.running_var',
          );
          const stranger = new Map([...parameters, ['stranger.weight', new Float32Array(3)] as const]);
          await expect(model.load({ parameters: stranger, buffers })).rejects.toThrow('stranger.weight');
        });
      });
    });

    describe('what goes wrong', () => {
      const network = everyLayer();
      const disposed = 'The model has been disposed.';
      const { parameters, buffers, batch } = setting(network, 4, 'cross_entropy');
      const state = { parameters, buffers };
      const compile = (from: Engine) =>
        from.compile(network, { batchSize: 4, loss: 'cross_entropy', optimizer: adam, seed: 1 });
      /** Every call of a model but dispose(). */
      const callsOf = (model: Model): Record<string, () => Promise<unknown>> => ({
        load: () => model.load(state),
        save: () => model.save(),
        trainStep: () => model.trainStep(batch, at, 1e-3),
        gradients: () => model.gradients(batch, at),
        evaluate: () => model.evaluate(batch),
      });

      it('before there are parameters is refused, and they can still be loaded', async () => {
        const model = await compile(engine);
        const { load, ...others } = callsOf(model);
        for (const [name, call] of Object.entries(others)) {
          await expect(call(), name).rejects.toThrow('load() comes first');
        }
        await load!();
        expect((await model.trainStep(batch, at, 1e-3)).loss).toBeGreaterThan(0);
        await model.dispose();
      });

      it('in a batch or a state is refused, and changes nothing', async () => {
        await withModel(network, { batchSize: 4 }, state, async (model) => {
          await model.trainStep(batch, at, 1e-3);
          const before = await model.save();
          const refused = async (wrong: Batch, words: string, calls: ('trainStep' | 'gradients' | 'evaluate')[]) => {
            for (const call of calls) await expect(model[call](wrong, at, 1e-3), call).rejects.toThrow(words);
            expectSameState(await model.save(), before);
          };
          const train = ['trainStep', 'gradients'] as const;
          const larger = { images: new Float32Array(2 * batch.images.length), labels: new Int32Array(8) };
          await refused({ ...larger, size: 5 }, 'a batch of 5 examples does not fit batchSize 4', [...train]);
          await refused({ ...batch, size: 0 }, 'a batch of 0 examples does not fit batchSize 4', [...train]);
          const words = 'a batch of 4 examples has images and labels of 3';
          await refused({ ...batch, images: batch.images.subarray(1) }, words, [...train, 'evaluate']);
          await refused({ ...batch, labels: batch.labels.subarray(1) }, words, [...train, 'evaluate']);
          const short = new Map([...parameters, ['fc.weight', new Float32Array(3)] as const]);
          await expect(model.load({ parameters: short, buffers })).rejects.toThrow('fc.weight');
          expectSameState(await model.save(), before);
        });
      });

      it('after dispose() is said so by every call; disposing again is nothing', async () => {
        const model = await compile(engine);
        await model.load(state);
        await model.trainStep(batch, at, 1e-3);
        await model.dispose();
        for (const [name, call] of Object.entries(callsOf(model))) await expect(call(), name).rejects.toThrow(disposed);
        await model.dispose();
      });

      for (const [name, before] of [
        ['the first step', []],
        ['a step of another size', ['trainStep']],
        ['an evaluation', ['trainStep', 'gradients']],
      ] as const) {
        it(`for want of memory in ${name} is said so, and disposes the model, which lets go of all`, async () => {
          const held = options.library.held();
          const model = await compile(engine);
          const calls = callsOf(model);
          await calls['load']!();
          for (const call of before) await calls[call]!();
          const feed = options.library.starve();
          try {
            const failing = name === 'an evaluation' ? model.evaluate(batch) : model.trainStep({ ...batch, size: 3 }, at, 1e-3); // prettier-ignore
            await expect(failing).rejects.toMatchObject({
              userMessage: { id: 'engineOutOfMemory', args: { batchSize: 4 } },
              advice: { id: 'engineOutOfMemoryAdvice' },
            });
          } finally {
            feed();
          }
          for (const [name, call] of Object.entries(calls)) await expect(call(), name).rejects.toThrow(disposed);
          expect(options.library.held()).toBe(held);
          await model.dispose();
          // The engine itself goes on.
          await withModel(network, {}, state, (other) => other.evaluate(batch));
          expect(options.library.held()).toBe(held);
        });
      }

      // Last, for some engines share what they close.
      it('after its engine was disposed is said so by models and by the engine', async () => {
        const held = options.library.held();
        const model = await compile(engine);
        await model.load(state);
        await model.trainStep(batch, at, 1e-3);
        await engine.dispose();
        for (const [name, call] of Object.entries(callsOf(model))) await expect(call(), name).rejects.toThrow(disposed);
        await expect(compile(engine)).rejects.toThrow('The engine has been disposed.');
        expect(options.library.held()).toBe(held);
        await engine.dispose();
      });
    });
  });
}

interface Setting {
  readonly parameters: Tensors;
  readonly buffers: Tensors;
  readonly batch: Batch;
}

/** Parameters, running statistics and a batch, all away from their special values (0, 1), from one seed. */
function setting(network: Network, size: number, loss: LossName, seed = 1): Setting {
  const draw = (length: number, stream: number, bound: number) => {
    const values = new Float32Array(length);
    fillUniform(values, streamKey(seed, 100, stream), bound);
    return values;
  };
  const parameters = new Map(
    network.parameters.map((p, k) => {
      const n = elements(p.shape);
      if (p.shape.length >= 2) return [p.name, draw(n, k, Math.sqrt(6 / elements(p.shape.slice(1))))] as const;
      const centre = p.init.kind === 'constant' ? p.init.value : 0;
      return [p.name, draw(n, k, 0.3).map((v) => centre + v)] as const;
    }),
  );
  const buffers = new Map(
    network.buffers.map((b, k) => [b.name, draw(elements(b.shape), 500 + k, 0.4).map((v) => b.initial + v)] as const),
  );
  const classes = loss === 'bce_with_logits' ? 2 : network.outputs;
  const labels = Int32Array.from({ length: size }, (_, i) => word(streamKey(seed, 300), i) % classes);
  const images = draw(size * elements(network.inputShape), 1000, 1);
  return { parameters, buffers, batch: { images, labels, size } };
}

/** The first seed whose kinks are far enough from the finite difference's step of 1e-5, and from float32's rounding. */
function smoothSetting(network: Network, size: number, loss: LossName): Setting {
  for (let seed = 1; seed <= 200; seed++) {
    const found = setting(network, size, loss, seed);
    const mode = { loss, training: { seed: 1, at } };
    const { kinkDistance } = referenceForward(network, found.parameters, found.buffers, found.batch, mode);
    if (kinkDistance > 3e-4) return found;
  }
  throw new Error(`no seed keeps ${network.name} away from its kinks`);
}

const norm = (values: ArrayLike<number>) => Math.sqrt(Array.from(values).reduce((sum, v) => sum + v * v, 0));
const largest = (values: ArrayLike<number>) => Array.from(values).reduce((max, v) => Math.max(max, Math.abs(v)), 0);
const sizeOf = (tensors: Tensors) => [...tensors.values()].reduce((sum, values) => sum + values.length, 0);

function std(values: ArrayLike<number>): number {
  const all = Array.from(values);
  const mean = all.reduce((sum, v) => sum + v, 0) / all.length;
  return Math.sqrt(all.reduce((sum, v) => sum + (v - mean) ** 2, 0) / all.length);
}

function correctOf(logits: ArrayLike<number>, batch: Batch, outputs: number): number {
  let correct = 0;
  for (let n = 0; n < batch.size; n++) {
    const row = Array.from({ length: outputs }, (_, c) => logits[n * outputs + c]!);
    const guess = outputs === 1 ? Number(row[0]! > 0) : row.indexOf(Math.max(...row));
    if (guess === batch.labels[n]) correct++;
  }
  return correct;
}

/** Share of each relu node's channels or features that are 0 everywhere. */
function deadShares(network: Network, outputs: readonly Float64Array[], size: number): number[] {
  return network.nodes.flatMap((node, index) => {
    if (node.op.kind !== 'relu') return [];
    const [channels, ...rest] = node.shape as [number, ...number[]];
    const area = elements(rest);
    let dead = 0;
    for (let c = 0; c < channels; c++) {
      const alive = outputs[index]!.some((v, i) => Math.floor(i / area) % channels === c && v !== 0);
      if (!alive) dead++;
    }
    expect(outputs[index]).toHaveLength(size * channels * area);
    return [dead / channels];
  });
}

function expectRelative(actual: number, expected: number, tolerance: number, what: string): void {
  expect(
    Math.abs(actual - expected),
    `${what}: ${actual} instead of ${expected}, tolerance ${tolerance}`,
  ).toBeLessThanOrEqual(tolerance * Math.abs(expected));
}

/** Largest difference relative to the largest number expected, or to `floor` where those are all smaller. */
function expectClose(
  actual: ArrayLike<number>,
  expected: ArrayLike<number>,
  tolerance: number,
  what: string,
  floor = 0,
): void {
  expect(actual.length, `length of ${what}`).toBe(expected.length);
  let worst = 0;
  for (let i = 0; i < actual.length; i++) {
    const difference = Math.abs(actual[i]! - expected[i]!);
    // NaN must not pass as small.
    worst = difference <= worst ? worst : difference;
  }
  const scale = Math.max(largest(expected), floor);
  expect(worst, `${what}: off by ${worst} of ${scale}, tolerance ${tolerance}`).toBeLessThanOrEqual(tolerance * scale);
}

/**
 * 2e-4 of a tensor's largest gradient: float32 sums of up to a few hundred terms are good to about 1e-6, batch norm over
 * few values loses one or two digits more. Gradients that cancel exactly (a bias before batch norm) leave only rounding,
 * so 1e-5 of the network's largest gradient is allowed everywhere.
 */
function expectGradients(actual: Tensors, expected: ReadonlyMap<string, ArrayLike<number>>): void {
  expect([...actual.keys()]).toEqual([...expected.keys()]);
  const floor = Math.max(...[...expected.values()].map(largest)) * 0.05;
  expect(floor).toBeGreaterThan(0);
  for (const [name, values] of expected) expectClose(actual.get(name)!, values, 2e-4, `gradient of ${name}`, floor);
}

function expectSameState(actual: ModelState, expected: ModelState): void {
  expect(actual.optimizer?.step).toBe(expected.optimizer?.step);
  expect(actual.parameters).toEqual(expected.parameters);
  expect(actual.buffers).toEqual(expected.buffers);
  expect(actual.optimizer?.firstMoment).toEqual(expected.optimizer?.firstMoment);
  expect(actual.optimizer?.secondMoment).toEqual(expected.optimizer?.secondMoment);
}
