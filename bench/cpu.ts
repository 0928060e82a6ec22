/** CPU time of processes and everything that they started, alive or reaped, in milliseconds. Linux. */
import { readdirSync, readFileSync } from 'node:fs';

/** `getconf CLK_TCK` on every Linux that Node supports. */
const MS_PER_TICK = 10;

interface ProcessTimes {
  parent: number;
  ticks: number;
}

/** proc(5): fields 14–17 of /proc/PID/stat: utime, stime, and the same of children that were waited for. */
function timesOf(pid: string): ProcessTimes | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    const [utime, stime, cutime, cstime] = fields.slice(11, 15).map(Number) as [
      number,
      number,
      number,
      number,
    ];
    return { parent: Number(fields[1]), ticks: utime + stime + cutime + cstime };
  } catch {
    return undefined; // it has ended meanwhile: its parent counts it
  }
}

/** @param root this process when absent */
export function cpuMs(root: number = process.pid): number {
  const all = new Map<number, ProcessTimes>();
  for (const entry of readdirSync('/proc')) {
    if (!/^\d+$/.test(entry)) continue;
    const times = timesOf(entry);
    if (times) all.set(Number(entry), times);
  }
  let ticks = 0;
  const family = [root];
  for (let pid = family.pop(); pid !== undefined; pid = family.pop()) {
    ticks += all.get(pid)?.ticks ?? 0;
    for (const [child, { parent }] of all) if (parent === pid) family.push(child);
  }
  return ticks * MS_PER_TICK;
}

/** CPU time of one process and its threads so far, in milliseconds. */
export const cpuMsOf = (pid: number): number => (timesOf(String(pid))?.ticks ?? 0) * MS_PER_TICK;

export const median = (values: number[]): number => {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
};
