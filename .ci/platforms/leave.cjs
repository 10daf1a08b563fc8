/**
 * Run by the Windows Node: leave.cjs CLI RUNS. Trains in a terminal that is ended after the first epoch, as a window that is
 * closed ends it, and waits until the trainer has written its checkpoint and let go of the run.
 */
const { spawn } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');

const [cli, runs] = process.argv.slice(2);
const deadline = Date.now() + 90_000;
const asked = ['lenet5-mnist', '--limit', '1000', '--epochs', '12', '--threads', '1', '--runs', runs];
const terminal = spawn(process.execPath, [cli, 'train', ...asked], { stdio: 'ignore' });
const events = () => {
  const run = fs.existsSync(runs) && fs.readdirSync(runs)[0];
  const file = run && path.join(runs, run, 'metrics.jsonl');
  return file && fs.existsSync(file) ? fs.readFileSync(file, 'utf8') : '';
};
let left = false;
const timer = setInterval(() => {
  if (Date.now() > deadline) throw new Error(left ? 'the trainer wrote no end' : 'no epoch came');
  if (!left && events().includes('"type":"epoch"')) {
    left = true;
    terminal.kill('SIGKILL');
  }
  if (left && events().includes('editorGone')) {
    clearInterval(timer);
    console.log(path.join(runs, fs.readdirSync(runs)[0]));
  }
}, 50);
