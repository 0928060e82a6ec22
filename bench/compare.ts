/**
 * Runs contenders in turn, A B C A B C …, and compares the CPU that each took round by round: a machine that slows
 * down for a while slows all of them, and the median of the ratios stays.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { cpuMs, median } from './cpu.ts';

export interface Contender {
  name: string;
  /** What it does, with quality and effort. */
  what: string;
  run: () => Promise<unknown>;
}

export interface Comparison {
  name: string;
  input: string;
  rounds: number;
  contenders: { name: string; what: string; medianCpuMs: number; medianWallMs: number }[];
  /** CPU of the first contender over CPU of each other one. */
  ratios: { over: string; median: number; min: number; max: number; target?: number; ok?: boolean }[];
}

export async function compare(
  name: string,
  input: string,
  contenders: Contender[],
  targets: Record<string, number>,
  { rounds = 7, repeat = 3 } = {},
): Promise<Comparison> {
  for (const contender of contenders) await contender.run(); // caches, lazy starts
  const cpu = contenders.map(() => [] as number[]);
  const wall = contenders.map(() => [] as number[]);
  for (let round = 0; round < rounds; round++) {
    for (const [i, contender] of contenders.entries()) {
      const cpuBefore = cpuMs();
      const wallBefore = performance.now();
      for (let n = 0; n < repeat; n++) await contender.run();
      cpu[i]!.push((cpuMs() - cpuBefore) / repeat);
      wall[i]!.push((performance.now() - wallBefore) / repeat);
    }
  }
  const comparison: Comparison = {
    name,
    input,
    rounds,
    contenders: contenders.map(({ name: n, what }, i) => ({
      name: n,
      what,
      medianCpuMs: Math.round(median(cpu[i]!)),
      medianWallMs: Math.round(median(wall[i]!)),
    })),
    ratios: contenders.slice(1).map((other, i) => {
      const ratios = cpu[0]!.map((ms, round) => ms / cpu[i + 1]![round]!);
      const target = targets[other.name];
      const value = median(ratios);
      return {
        over: other.name,
        median: round3(value),
        min: round3(Math.min(...ratios)),
        max: round3(Math.max(...ratios)),
        ...(target !== undefined && { target, ok: value <= target }),
      };
    }),
  };
  print(comparison);
  return comparison;
}

const round3 = (n: number) => Math.round(n * 1000) / 1000;

function print(comparison: Comparison): void {
  process.stdout.write(
    `\n${comparison.name}: ${comparison.input}, ${comparison.rounds} interleaved rounds\n`,
  );
  for (const c of comparison.contenders) {
    process.stdout.write(
      `  ${c.name.padEnd(22)} ${String(c.medianCpuMs).padStart(6)} ms CPU ${String(c.medianWallMs).padStart(6)} ms wall   ${c.what}\n`,
    );
  }
  for (const r of comparison.ratios) {
    const verdict = r.target === undefined ? '' : `  target ≤ ${r.target}: ${r.ok ? 'held' : 'MISSED'}`;
    process.stdout.write(`  CPU ratio over ${r.over}: ${r.median} (${r.min}–${r.max})${verdict}\n`);
  }
}

/** Writes `bench/results/<file>.json`. */
export function save(file: string, command: string, results: unknown): void {
  const folder = new URL('results/', import.meta.url);
  mkdirSync(folder, { recursive: true });
  const machine = { node: process.version, cpu: cpus()[0]?.model ?? 'unknown', cores: cpus().length };
  writeFileSync(
    new URL(`${file}.json`, folder),
    `${JSON.stringify({ command, machine, results }, undefined, 2)}\n`,
  );
}
