import { defineConfig } from 'vitest/config';

/** The end-to-end tests: one file after another, since each drives an editor, a browser and a trainer on the same cores. */
export default defineConfig({
  test: {
    root: import.meta.dirname,
    include: ['**/*.test.ts'],
    globalSetup: ['package.ts'],
    testTimeout: 240_000,
    hookTimeout: 240_000,
    fileParallelism: false,
  },
});
