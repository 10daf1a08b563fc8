import tseslint from 'typescript-eslint';

/** Who may import whom (docs/architecture.md): each part of the house names what it must not reach. */
const forbid = (files, group, message) => ({
  files,
  rules: { 'no-restricted-imports': ['error', { patterns: group.map((g) => ({ group: [g].flat(), message })) }] },
});
const node = ['node:*', 'fs', 'path', 'os', 'child_process', 'worker_threads'];
const numerical = ['onnxruntime-*', '@tensorflow/*', 'webgpu'];

export default tseslint.config(
  { ignores: ['dist/**', 'out/**', 'node_modules/**', '**/*.mjs', '**/*.cjs', 'test-results/**'] },
  ...tseslint.configs.recommended,
  {
    rules: {
      '@typescript-eslint/no-unused-vars': ['error', { argsIgnorePattern: '^_', varsIgnorePattern: '^_' }],
      '@typescript-eslint/no-non-null-assertion': 'off',
    },
  },
  forbid(
    [
      'src/experiment.ts',
      'src/estimates.ts',
      'src/protocol.ts',
      'src/history.ts',
      'src/comparison.ts',
      'src/messages.ts',
      'src/random.ts',
      'src/networks/**',
    ],
    [node, ['vscode'], numerical, ['**/runs', '**/trainerClient', '**/host/**', '**/trainer/**', '**/webview/**']],
    'Pure modules import only one another and zod.',
  ),
  forbid(
    ['src/runs.ts', 'src/trainerClient.ts', 'src/experimentFiles.ts'],
    [['vscode'], numerical, ['**/host/**', '**/trainer/**', '**/webview/**']],
    'Only Node and the pure modules.',
  ),
  forbid(['src/trainer/**'], [['vscode', '**/host/**', '**/webview/**']], 'The trainer knows nothing of the editor.'),
  {
    files: ['src/trainer/**'],
    ignores: ['src/trainer/engines/**'],
    rules: {
      'no-restricted-imports': [
        'error',
        {
          patterns: [
            { group: ['vscode', '**/host/**', '**/webview/**'], message: 'The trainer knows nothing of the editor.' },
            { group: numerical, message: 'Only an engine names a numerical library.' },
          ],
        },
      ],
    },
  },
  forbid(
    ['src/webview/**'],
    [node, ['vscode'], numerical, ['**/runs', '**/trainerClient', '**/host/**', '**/trainer/**']],
    'The panel imports only pure modules.',
  ),
  forbid(
    ['src/host/**', 'src/extension.ts'],
    [numerical, ['**/trainer/**', '**/webview/**']],
    'The host reaches the trainer through trainerClient and the panel through protocol.',
  ),
);
