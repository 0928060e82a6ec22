/**
 * Makes a bare clone runnable: `prestart` and `pretest` run this before anything else. Plain JavaScript for
 * Node 20 and later, without packages, because it runs before the pinned Node and the packages are there.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { argv, env, execPath, exit, platform, stderr, versions } from 'node:process';
import { pathToFileURL } from 'node:url';

const root = resolve(import.meta.dirname, '..');
const modules = join(root, 'node_modules');
const OLDEST_NODE = [20, 11];
const NODE_SETUP_TIMEOUT_MS = 300_000;

/** Every line goes to stderr: stdout belongs to the command that follows. */
const say = (line) => stderr.write(`tintype: ${line}\n`);

class Stop extends Error {}

if (argv[1] && import.meta.url === pathToFileURL(argv[1]).href) {
  try {
    checkSystemNode();
    if (packagesAreStale()) installPackages();
    ensurePinnedNode();
    checkExiftool();
  } catch (error) {
    if (!(error instanceof Stop)) throw error;
    say(error.message);
    exit(1);
  }
}

function checkSystemNode() {
  const [major, minor] = versions.node.split('.').map(Number);
  if (major > OLDEST_NODE[0] || (major === OLDEST_NODE[0] && minor >= OLDEST_NODE[1])) return;
  throw new Stop(`needs Node ${OLDEST_NODE.join('.')} or later to set itself up; this is ${versions.node}.`);
}

/**
 * Whether what is installed differs from the lockfile. npm writes `node_modules/.package-lock.json` last, so a
 * broken-off install counts as stale. Contents are compared, not times: a checkout touches files that it does
 * not change. Optional packages are left out, since most of them belong to other platforms.
 */
export function packagesAreStale(folder = root) {
  const installedPath = join(folder, 'node_modules', '.package-lock.json');
  if (!existsSync(installedPath)) return true;
  const installed = readPackages(installedPath);
  return Object.entries(readPackages(join(folder, 'package-lock.json'))).some(
    ([path, { version, integrity, optional, devOptional }]) =>
      path !== '' &&
      !optional &&
      !devOptional &&
      (installed[path]?.version !== version || installed[path]?.integrity !== integrity),
  );
}

/** @returns {Record<string, {version: string, integrity?: string, optional?: boolean, devOptional?: boolean}>} */
function readPackages(lockfile) {
  return JSON.parse(readFileSync(lockfile, 'utf8')).packages;
}

function installPackages() {
  say('installing packages with npm ci; this takes a few seconds');
  // Development packages are wanted even under NODE_ENV=production: Node itself is one of them.
  const run = npm('ci', '--include=dev', '--prefer-offline', '--no-audit', '--no-fund', '--loglevel=error');
  if (run.status === 0) return;
  throw new Stop(
    `the packages could not be installed (npm ci ended with ${run.status ?? run.signal ?? run.error?.code}).
${firstLines(run, 12)}
This step needs the npm registry once. Without a network: connect, or point npm at a mirror
(npm config set registry URL), then run the same command again.`,
  );
}

/**
 * The package `node` fetches its binary in an install script, which npm may have been told to skip
 * (`ignore-scripts`). Then that script is run here.
 */
function ensurePinnedNode() {
  const folder = join(modules, 'node');
  if (pinnedNodeRuns(folder)) return;
  say('fetching the pinned Node');
  const run = spawnSync(launcher(), [join(folder, 'installArchSpecificPackage.js')], {
    cwd: folder,
    env: { ...npmEnv(), npm_config_ignore_scripts: 'false' },
    encoding: 'utf8',
    timeout: NODE_SETUP_TIMEOUT_MS,
  });
  // npm linked no command while there was no binary.
  npm('rebuild', 'node', '--ignore-scripts', '--loglevel=error');
  if (pinnedNodeRuns(folder)) return;
  throw new Stop(
    `the pinned Node (package "node") could not be set up for ${platform} ${process.arch}.
${firstLines(run, 12)}`,
  );
}

function pinnedNodeRuns(folder) {
  const binary = join(folder, 'bin', platform === 'win32' ? 'node.exe' : 'node');
  const command = join(modules, '.bin', platform === 'win32' ? 'node.cmd' : 'node');
  return (
    existsSync(binary) &&
    existsSync(command) &&
    spawnSync(binary, ['--version'], { timeout: 20_000 }).status === 0
  );
}

/**
 * exiftool's package brings the program, not the perl that runs it. Slim images have a `perl` without its
 * standard modules, hence the real program is asked. Only a warning: pictures convert without it.
 */
function checkExiftool() {
  if (platform === 'win32') return;
  const exiftool = join(modules, 'exiftool-vendored.pl', 'bin', 'exiftool');
  if (spawnSync('perl', [exiftool, '-ver'], { timeout: 20_000 }).status === 0) return;
  say('perl with its standard modules is missing, so metadata can be neither read nor kept.');
  say(
    'On Debian and Ubuntu: apt-get install perl. On Alpine: apk add perl. On macOS perl is part of the system.',
  );
}

function npm(...args) {
  const options = { cwd: root, env: npmEnv(), encoding: 'utf8', maxBuffer: 64 * 1024 * 1024 };
  // npm names its own entry file to the scripts that it runs; started by hand, `npm` is on PATH.
  return env.npm_execpath
    ? spawnSync(launcher(), [env.npm_execpath, ...args], options)
    : spawnSync('npm', args, { ...options, shell: platform === 'win32' });
}

/** The Node that npm itself runs on: ours may be the pinned one, which `npm ci` is about to remove. */
function launcher() {
  return env.npm_node_execpath ?? execPath;
}

/** Settings of the outer `npm start --something` are not meant for the inner `npm ci`. */
function npmEnv() {
  const { npm_config_omit, npm_config_production, npm_config_only, ...rest } = env;
  return { ...rest, npm_config_update_notifier: 'false' };
}

/** npm tells the reason first, then its usage; indented lines are a stack. */
function firstLines({ stdout, stderr: errors }, count) {
  const lines = `${errors ?? ''}\n${stdout ?? ''}`
    .split('\n')
    .map((line) => line.replace(/^npm error\s?/, '').trimEnd());
  const told = lines.filter((line) => line && !/^\s|^\W*$|^npm warn|complete log of this run/.test(line));
  return told
    .slice(0, count)
    .map((line) => `  ${line}`)
    .join('\n');
}
