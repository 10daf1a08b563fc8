import tseslint from 'typescript-eslint';
import { floorsRule } from './scripts/eslintFloors.mjs';

/** Who may import whom (docs/architecture.md): each part of the house names what it must not reach. */
const forbid = (files, group, message) => ({
  files,
  rules: { 'no-restricted-imports': ['error', { patterns: group.map((g) => ({ group: [g].flat(), message })) }] },
});
const node = ['node:*', 'fs', 'path', 'os', 'child_process', 'worker_threads'];
const upper = ['**/terminal/**', '**/host/**', '**/webview/**'];
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
  {
    files: ['src/**'],
    plugins: { convlab: { rules: { floors: floorsRule } } },
    rules: { 'convlab/floors': 'error' },
  },
  forbid(
    ['src/core/**'],
    [node, ['vscode'], numerical, ['**/disk/**', '**/trainerClient', ...upper, '**/trainer/**']],
    'Core is pure: it imports only itself and zod.',
  ),
  forbid(
    ['src/disk/**', 'src/trainerClient.ts'],
    [['vscode'], numerical, [...upper, '**/trainer/**']],
    'Only Node and core.',
  ),
  forbid(
    ['src/terminal/**'],
    [['vscode', '**/host/**', '**/webview/**'], numerical],
    'The terminal knows nothing of the editor.',
  ),
  forbid(['src/trainer/**'], [['vscode', ...upper]], 'The trainer knows nothing of the editor.'),
  {
    files: ['src/trainer/**'],
    ignores: ['src/trainer/engines/**'],
    rules: {
      'no-restricted-imports': [
        'error',
        {
          patterns: [
            { group: ['vscode', ...upper], message: 'The trainer knows nothing of the editor.' },
            { group: numerical, message: 'Only an engine names a numerical library.' },
          ],
        },
      ],
    },
  },
  forbid(
    ['src/webview/**'],
    [node, ['vscode'], numerical, ['**/disk/**', '**/trainerClient', '**/host/**', '**/trainer/**', '**/terminal/**']],
    'A page imports only core.',
  ),
  forbid(
    ['src/host/**', 'src/extension.ts'],
    [numerical, ['**/trainer/**', '**/webview/**', '**/terminal/**']],
    'The host reaches the trainer through trainerClient and its pages through contracts/pages.',
  ),
  {
    // What shows words is called in one place, which takes out of them what VS Code would obey.
    files: ['src/host/**', 'src/extension.ts'],
    ignores: ['src/host/show.ts'],
    rules: {
      'no-restricted-syntax': [
        'error',
        {
          selector:
            'MemberExpression[object.property.name="window"][property.name=/^(show(Information|Warning|Error)Message|showQuickPick|showInputBox|createQuickPick|createInputBox|createStatusBarItem|setStatusBarMessage|withProgress)$/]',
          message: 'Words are shown through src/host/show.ts.',
        },
        {
          selector: 'NewExpression[callee.property.name=/^(TreeItem|MarkdownString)$/]',
          message: 'Words are shown through src/host/show.ts, and none as Markdown.',
        },
      ],
    },
  },
);
