import { long } from './test/campaign/size';
import { slow } from './test/slow';
import { defineConfig } from 'vitest/config';

/**
 * Four layers: `unit` needs nothing but Node, `engines` the numerical libraries, `trainer` starts the real child process,
 * `pages` draws in a real Chromium.
 */
export default defineConfig({
  test: {
    projects: [
      { test: { name: 'unit', include: ['test/unit/**/*.test.ts'], testTimeout: 60_000 } },
      {
        test: {
          name: 'engines',
          include: ['test/engines/**/*.test.ts'],
          exclude: slow.engines,
          testTimeout: 180_000,
          hookTimeout: 180_000,
        },
      },
      { test: { name: 'engines-slow', include: slow.engines, testTimeout: 180_000, hookTimeout: 180_000 } },
      {
        test: {
          name: 'trainer-slow',
          include: slow.trainer,
          globalSetup: ['test/trainer/build.ts'],
          testTimeout: 120_000,
          hookTimeout: 120_000,
          fileParallelism: false,
        },
      },
      {
        test: {
          name: 'trainer',
          include: ['test/trainer/**/*.test.ts'],
          exclude: slow.trainer,
          globalSetup: ['test/trainer/build.ts'],
          testTimeout: 120_000,
          hookTimeout: 120_000,
          fileParallelism: false,
        },
      },
      {
        test: {
          name: 'campaign',
          include: ['test/campaign/**/*.test.ts'],
          globalSetup: ['test/trainer/build.ts'],
          testTimeout: long ? 6 * 3_600_000 : 120_000,
          hookTimeout: 120_000,
          fileParallelism: false,
        },
      },
      { test: { name: 'pages', include: ['test/pages/**/*.test.ts'], testTimeout: 60_000, hookTimeout: 60_000 } },
    ],
  },
});
