/** The reference against PyTorch, whose figures are float64 too: what engines are held to must itself be right. */
import { expect, it } from 'vitest';
import { goldenBatch, goldenNetwork, goldenParameters, readGolden } from './golden';
import { finiteDifferences, referenceForward } from './reference';

// Deeper networks (batch norm, max and adaptive pooling) agree as well, to 3e-14, but take minutes in plain loops.
it('computes LeNet-5 as PyTorch does', () => {
  const golden = readGolden('lenet5');
  const network = goldenNetwork(golden);
  const batch = goldenBatch(golden);
  const parameters = goldenParameters(network);
  const mode = { loss: golden.loss_function, training: { seed: 1, at: { epoch: 1, step: 0 } } } as const;
  const { logits, loss } = referenceForward(network, parameters, new Map(), batch, mode);
  const expected = golden.train_logits.flat();
  // Both sum a few hundred float64 products in an order of their own.
  logits.forEach((logit, i) => expect(Math.abs(logit - expected[i]!)).toBeLessThan(1e-12));
  expect(Math.abs(loss - golden.train_loss)).toBeLessThan(1e-12);

  // The gradient of the last bias alone: 20 forward passes instead of 123 000.
  const name = 'fc3.bias';
  const gradient = finiteDifferences(network, parameters, new Map(), batch, mode, [name]).get(name)!;
  const norm = Math.sqrt(gradient.reduce((sum, g) => sum + g * g, 0));
  expect(Math.abs(norm / golden.gradient_l2_norms[name]! - 1)).toBeLessThan(1e-8);
});
