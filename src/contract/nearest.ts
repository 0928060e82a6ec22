/** "Did you mean …?" */

/** Longer words are nobody's typing error; the cap also bounds the work on hostile input. */
const MAX_WORD_CHARS = 40;

/**
 * The candidate that `word` was probably meant to be, or undefined where none is close: one edit for words of up
 * to five characters, two for longer ones. An edit inserts, removes or replaces a character, or swaps two neighbours.
 */
export function nearest(word: string, candidates: Iterable<string>): string | undefined {
  if (word.length > MAX_WORD_CHARS) return undefined;
  const lower = word.toLowerCase();
  let best: string | undefined;
  let bestEdits = lower.length <= 5 ? 2 : 3;
  for (const candidate of candidates) {
    // Every two-letter word is one edit away from most two-letter keys: no hint there.
    if (Math.min(lower.length, candidate.length) < 3) continue;
    const edits = editDistance(lower, candidate.toLowerCase());
    if (edits < bestEdits) {
      best = candidate;
      bestEdits = edits;
    }
  }
  return best;
}

/** Optimal string alignment distance. */
function editDistance(a: string, b: string): number {
  let beforeLast: number[] = [];
  let last = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const same = a[i - 1] === b[j - 1];
      let edits = Math.min(last[j]! + 1, row[j - 1]! + 1, last[j - 1]! + (same ? 0 : 1));
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) {
        edits = Math.min(edits, beforeLast[j - 2]! + 1);
      }
      row.push(edits);
    }
    beforeLast = last;
    last = row;
  }
  return last[b.length]!;
}
