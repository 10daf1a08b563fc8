/**
 * Files of tests that take long and whose ground others cover roughly: `npm test` leaves them out, so that it is over in
 * minutes; `npm run test:slow` runs them, and so does CI. vitest.config.ts makes projects of them; what is in no list is in
 * `npm test`.
 */
export const slow = {
  engines: [
    // Plants a fault in every kind of node and proves the engine for each.
    'test/engines/selfCheckPlanting.test.ts',
    // Hundreds of steps, to see memory stay where it is.
    'test/engines/steadyMemory.test.ts',
    // The suite once more, as WebAssembly.
    'test/engines/onnxWeb.test.ts',
  ],
  trainer: [
    // All eleven experiments, VGG-16 and ResNet-50 among them.
    'test/trainer/experiments.test.ts',
    'test/trainer/changeEngine.test.ts',
    'test/trainer/determinism.test.ts',
    'test/trainer/pretrained.test.ts',
    'test/trainer/webassembly.test.ts',
  ],
};
