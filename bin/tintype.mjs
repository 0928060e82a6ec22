#!/usr/bin/env node
/**
 * Starts `tintype` on the Node that it is made for. Plain JavaScript, since it must run on any Node from 20 on;
 * where that one is new enough itself, no second process is started.
 */
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const NODE_MAJOR = 26;
const main = new URL('../src/main.ts', import.meta.url);

if (Number(process.versions.node.split('.')[0]) >= NODE_MAJOR) await import(main.href);
else startOwnNode();

function startOwnNode() {
  const binary = process.platform === 'win32' ? 'node.exe' : 'node';
  const node = fileURLToPath(new URL(`../node_modules/node/bin/${binary}`, import.meta.url));
  if (!existsSync(node)) {
    const root = fileURLToPath(new URL('..', import.meta.url));
    console.error(
      `tintype: needs Node ${NODE_MAJOR}, which comes with its packages: run "npm ci" in ${root} first`,
    );
    process.exit(1);
  }
  const child = spawn(node, [fileURLToPath(main), ...process.argv.slice(2)], { stdio: 'inherit' });
  // From a terminal the child gets the signal as well; it takes both for one.
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'];
  for (const signal of signals) process.on(signal, () => child.kill(signal));
  child.on('error', (error) => {
    console.error(`tintype: ${node} does not start: ${error.message}`);
    process.exitCode = 1;
  });
  child.on('exit', (code, signal) => {
    for (const name of signals) process.removeAllListeners(name);
    if (signal) process.kill(process.pid, signal);
    else process.exitCode = code ?? 1;
  });
}
