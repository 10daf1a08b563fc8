import { defineConfig } from 'vitest/config';
import tests from './vitest.config';

/** `npm run bench:editor`: what a student waits for, measured in a real VS Code. */
export default defineConfig({ test: { ...tests.test, include: ['measure.ts'], testTimeout: 900_000 } });
