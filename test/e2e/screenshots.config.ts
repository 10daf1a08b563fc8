import { defineConfig } from 'vitest/config';
import tests from './vitest.config';

/** `npm run screenshots`: takes the images of docs/images in a real VS Code, of a real run of the `course` preset. */
export default defineConfig({ test: { ...tests.test, include: ['screenshots.ts'], testTimeout: 900_000 } });
