/**
 * The real programs that tests compare with: as root on Debian the missing ones are installed, elsewhere it
 * is said what will be skipped. `pretest` runs this; `npm start` never does.
 */
import { spawnSync } from 'node:child_process';
import { TOOLS, type ToolName, tool } from '../test/support/tools.ts';

const INSTALL_TIMEOUT_MS = 300_000;
const say = (line: string) => process.stderr.write(`tintype: ${line}\n`);

const canInstall = process.getuid?.() === 0 && spawnSync('apt-get', ['--version']).status === 0;
if (missingTools().length > 0 && canInstall) {
  install([...new Set(missingTools().map((name) => TOOLS[name].package))]);
}
for (const name of missingTools()) {
  say(`${name} is missing (Debian package ${TOOLS[name].package}); skipped: ${TOOLS[name].neededFor}`);
}

function missingTools(): ToolName[] {
  return (Object.keys(TOOLS) as ToolName[]).filter((name) => !tool(name));
}

function install(packages: string[]): void {
  say(`installing for the tests: ${packages.join(' ')}`);
  const update = aptGet('update');
  const run = aptGet('install', '-y', '--no-install-recommends', ...packages);
  if (run.status === 0) return;
  const reason = `${update.status === 0 ? '' : update.stderr}${run.stderr}`.trim().split('\n').slice(-4);
  say(`apt-get could not install them:\n${reason.map((line) => `  ${line}`).join('\n')}`);
}

function aptGet(...args: string[]) {
  return spawnSync(
    'apt-get',
    ['-q', '-o', 'DPkg::Lock::Timeout=60', '-o', 'Acquire::http::Timeout=20', ...args],
    {
      encoding: 'utf8',
      env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
      stdio: ['ignore', 'pipe', 'pipe'],
      timeout: INSTALL_TIMEOUT_MS,
    },
  );
}
