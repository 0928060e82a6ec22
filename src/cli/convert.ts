/** `tintype convert`: files, folders and patterns into pictures of one kind. */
import type { Stats } from 'node:fs';
import { lstat, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { resolve } from 'node:path';
import { EXTENSIONS } from '../contract/plan.ts';
import { planFor } from '../contract/plan-for-source.ts';
import type { Limits } from '../engine/limits.ts';
import { Pool } from '../engine/pool/pool.ts';
import { probe } from '../engine/probe.ts';
import { UsageError } from './args.ts';
import { type CommandContext, EXIT } from './command.ts';
import { type ConvertOptions, readConvertOptions } from './convert-options.ts';
import { failureOf, Refusal } from './failure.ts';
import { fileIdOf, findInputs, type Inputs } from './inputs.ts';
import { limitsOf, matteModelOf } from './limits.ts';
import { publish } from './publish.ts';
import { Report } from './report.ts';
import { assignTargets, type Target, type Targets } from './targets.ts';
import { count, printable } from './text.ts';

/** @throws UsageError, HelpRequested, Problem `invalid_configuration`: all before anything is written */
export async function convert(args: string[], context: CommandContext): Promise<number> {
  const options = readConvertOptions(args);
  const { destination, plan } = options;
  const limits = limitsOf(context.env);
  if (plan.operations.some((op) => op.op === 'background' && op.method === 'model')) {
    options.matteModelPath ??= matteModelOf(context.env);
    if (options.matteModelPath === undefined) {
      throw new UsageError(
        '--background model needs a model: --matte-model <file.onnx>, or MATTE_MODEL_PATH',
      );
    }
  }
  const inputs = await findInputs(options.inputs, {
    recursive: options.recursive,
    ...(destination.kind === 'folder' && { except: destination.path }),
    signal: context.signal,
  });
  const { sources } = inputs;
  if (destination.kind === 'file' && (sources.length > 1 || sources.some(({ named }) => !named))) {
    throw new UsageError(
      `${printable(destination.path)} is one file, for one source file; for a folder of that name end it with /`,
    );
  }
  const assigned = assignTargets(sources, destination, EXTENSIONS[plan.output.format]);
  const report = new Report(
    {
      totalFiles: sources.length,
      totalBytes: sources.reduce((sum, { bytes }) => sum + bytes, 0),
      ...options,
    },
    context,
  );
  tellInputs(inputs, assigned, report);
  const run = new Run(assigned.targets, options, limits, report, context.signal);
  await run.finish();
  report.finish(context.signal.aborted);
  return report.failed > 0 ? EXIT.someFailed : EXIT.ok;
}

function tellInputs(
  { sources, unusable, notImages, foldersLeft }: Inputs,
  { renamed }: Targets,
  report: Report,
): void {
  for (const { path, reason } of unusable) report.failure(path, { code: 'unusable_input', reason });
  for (const path of notImages) report.skipped(path, 'no image');
  if (renamed.length > 0) {
    const [first] = renamed;
    const example = `${printable(first!.source.path)} → ${printable(first!.path)}`;
    report.note(
      `note: ${count(renamed.length, 'file')} of the same name but for the extension will keep it: ${example}`,
    );
  }
  if (sources.length === 0 && unusable.length === 0) report.note('no images found');
  if (foldersLeft > 0) {
    report.note(`note: ${count(foldersLeft, 'folder')} not entered; --recursive descends into folders`);
  }
}

class Run {
  readonly #targets: Target[];
  readonly #options: ConvertOptions;
  readonly #limits: Limits;
  readonly #report: Report;
  readonly #signal: AbortSignal;
  readonly #sourceIds: ReadonlySet<string>;

  constructor(
    targets: Target[],
    options: ConvertOptions,
    limits: Limits,
    report: Report,
    signal: AbortSignal,
  ) {
    this.#targets = targets;
    this.#options = options;
    this.#limits = limits;
    this.#report = report;
    this.#signal = signal;
    this.#sourceIds = new Set(targets.map(({ source }) => source.fileId));
  }

  async finish(): Promise<void> {
    const size = Math.min(this.#options.jobs, this.#targets.length);
    // The pool starts its processes with the first task: a dry run starts none.
    const pool = new Pool({ size: Math.max(1, size), workDir: tmpdir() });
    try {
      const targets = this.#targets.values();
      const lane = async () => {
        for (const target of targets) {
          if (this.#signal.aborted) return;
          await this.#take(target, pool);
        }
      };
      await Promise.all(Array.from({ length: size }, lane));
    } finally {
      await pool.close({ graceMs: 0 });
    }
  }

  async #take(target: Target, pool: Pool): Promise<void> {
    const { source } = target;
    try {
      if (await this.#isPassedOver(target)) return;
      if (this.#options.dryRun) {
        this.#report.planned(target);
        return;
      }
      this.#report.started(target);
      await this.#convert(target, pool);
    } catch (error) {
      if (this.#signal.aborted) this.#report.dropped(target);
      else this.#report.failure(source.path, failureOf(error), target);
    }
  }

  async #convert(target: Target, pool: Pool): Promise<void> {
    const { source, path } = target;
    const startedAt = performance.now();
    const { plan, assets, matteModelPath, force } = this.#options;
    const signal = this.#signal;
    const sourcePath = resolve(source.path);
    const { format } = await probe(sourcePath, this.#limits, signal);
    await using scratch = await pool.scratch();
    const { renditions } = await pool.render(
      // The children work in folders of their own.
      {
        sourcePath,
        plans: [planFor(format, plan)],
        limits: this.#limits,
        outDir: scratch.dir,
        assets,
        ...(matteModelPath !== undefined && { matteModelPath }),
      },
      { signal },
    );
    const { path: from, width, height, bytes } = renditions[0]!;
    await publish(from, path, { overwrite: force, modified: source.modified, signal }).catch((error) => {
      // Making the folder says EEXIST too, where a file has the folder's name.
      throw error.code === 'EEXIST' && error.syscall !== 'mkdir' ? existsRefusal(path) : error;
    });
    const durationMs = performance.now() - startedAt;
    this.#report.converted(target, { format: plan.output.format, width, height, bytes, durationMs });
  }

  /**
   * Whether there is nothing to do. Asked before the work, to spare it; publishing asks the file system again.
   * @throws Refusal
   */
  async #isPassedOver(target: Target): Promise<boolean> {
    const { source, path } = target;
    const own = await existing(lstat(path));
    if (!own) return false;
    // What the name leads to in the end counts: a link to an original must not be written over either.
    const end = await existing(stat(path));
    const endId = end && fileIdOf(end);
    if (endId === source.fileId) {
      if (source.named) throw new Refusal('refused', 'it would replace itself; choose another place with -o');
      this.#report.skipped(source.path, 'would replace itself', target);
      return true;
    }
    if (this.#options.skipExisting) {
      this.#report.skipped(source.path, 'result exists', target);
      return true;
    }
    if (!this.#options.force) throw existsRefusal(path);
    if (endId !== undefined && this.#sourceIds.has(endId)) {
      throw new Refusal(
        'refused',
        `${printable(path)} is itself one of the files to convert and is not replaced; name the sources, or choose another place with -o`,
      );
    }
    if (end?.isDirectory()) throw new Refusal('refused', `${printable(path)} is a folder`);
    return false;
  }
}

const existsRefusal = (path: string): Refusal =>
  new Refusal('exists', `${printable(path)} exists; --force replaces it, --skip-existing passes over it`);

async function existing(stats: Promise<Stats>): Promise<Stats | undefined> {
  try {
    return await stats;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined;
    throw error;
  }
}
