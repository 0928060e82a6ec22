/** Connected parts of one label. */

export interface Regions {
  width: number;
  height: number;
  /** Of each pixel, the number of its region; from 0 in the order of their first pixels. */
  ids: Int32Array;
  /** Of each region. */
  labels: Uint8Array;
  areas: Uint32Array;
}

/** Regions touch along the sides of pixels, not over corners. */
export function regionsOf(labels: Uint8Array, width: number, height: number): Regions {
  // Runs of one label in a row: where each begins, and the run that it is joined to.
  const starts: number[] = [];
  const joined: number[] = [];
  let above = 0;
  for (let row = 0; row < labels.length; row += width) {
    const rowEnd = row + width;
    const first = starts.length;
    for (let from = row; from < rowEnd; ) {
      const label = labels[from]!;
      let end = from + 1;
      while (end < rowEnd && labels[end] === label) end += 1;
      const run = starts.length;
      starts.push(from);
      joined.push(run);
      while (above < first && (above + 1 < first ? starts[above + 1]! : row) + width <= from) above += 1;
      for (let other = above; other < first && starts[other]! + width < end; other++) {
        if (labels[starts[other]!] === label) join(joined, run, other);
      }
      from = end;
    }
    above = first;
  }
  const numbers = new Int32Array(starts.length);
  const regionLabels: number[] = [];
  for (let run = 0; run < starts.length; run++) {
    const root = rootOf(joined, run);
    numbers[run] = root === run ? regionLabels.push(labels[starts[run]!]!) - 1 : numbers[root]!;
  }
  const ids = new Int32Array(labels.length);
  const areas = new Uint32Array(regionLabels.length);
  for (let run = 0; run < starts.length; run++) {
    const end = starts[run + 1] ?? labels.length;
    ids.fill(numbers[run]!, starts[run], end);
    areas[numbers[run]!]! += end - starts[run]!;
  }
  return { width, height, ids, labels: Uint8Array.from(regionLabels), areas };
}

/** The first run of the region. */
function rootOf(joined: number[], run: number): number {
  let root = run;
  while (joined[root] !== root) root = joined[root]!;
  while (joined[run] !== root) {
    const next = joined[run]!;
    joined[run] = root;
    run = next;
  }
  return root;
}

function join(joined: number[], a: number, b: number): void {
  const [one, other] = [rootOf(joined, a), rootOf(joined, b)];
  joined[Math.max(one, other)] = Math.min(one, other);
}

/**
 * Regions of fewer than `minArea` pixels given to the neighbour with which they share the longest border.
 * @param labels changed in place
 */
export function withoutSpecks(labels: Uint8Array, width: number, height: number, minArea: number): Regions {
  const regions = regionsOf(labels, width, height);
  const { ids, areas } = regions;
  if (!areas.some((area) => area < minArea)) return regions;
  const { starts, others } = bordersOf(regions, minArea);
  const newLabels = regions.labels.slice();
  // Larger specks first: a smaller one beside it then goes where that one went.
  const specks = [...areas.keys()].filter((region) => areas[region]! < minArea);
  for (const speck of specks.sort((a, b) => areas[b]! - areas[a]! || a - b)) {
    const border = others.subarray(starts[speck], starts[speck + 1]).sort();
    let best = -1;
    let longest = 0;
    for (let from = 0, to = 0; from < border.length; from = to) {
      const other = border[from]!;
      while (to < border.length && border[to] === other) to += 1;
      // A border with a region that stays counts before any with another speck.
      const weight = areas[other]! >= minArea ? to - from + areas.length : to - from;
      if (weight > longest) {
        best = other;
        longest = weight;
      }
    }
    if (best >= 0) newLabels[speck] = newLabels[best]!;
  }
  for (let i = 0; i < labels.length; i++) labels[i] = newLabels[ids[i]!]!;
  return regionsOf(labels, width, height);
}

/**
 * For each side of a pixel between a speck and another region, that region: those of region `n` lie from `starts[n]` to
 * `starts[n + 1]`.
 */
function bordersOf(
  { width, height, ids, areas }: Regions,
  minArea: number,
): { starts: Int32Array; others: Int32Array } {
  const eachSide = (visit: (a: number, b: number) => void) => {
    for (let y = 0, i = 0; y < height; y++) {
      for (let x = 0; x < width; x++, i++) {
        if (x + 1 < width && ids[i] !== ids[i + 1]) visit(ids[i]!, ids[i + 1]!);
        if (y + 1 < height && ids[i] !== ids[i + width]) visit(ids[i]!, ids[i + width]!);
      }
    }
  };
  const starts = new Int32Array(areas.length + 1);
  eachSide((a, b) => {
    if (areas[a]! < minArea) starts[a + 1]! += 1;
    if (areas[b]! < minArea) starts[b + 1]! += 1;
  });
  for (let n = 1; n < starts.length; n++) starts[n]! += starts[n - 1]!;
  const ends = starts.slice();
  const others = new Int32Array(starts.at(-1)!);
  eachSide((a, b) => {
    if (areas[a]! < minArea) others[ends[a]!++] = b;
    if (areas[b]! < minArea) others[ends[b]!++] = a;
  });
  return { starts, others };
}
