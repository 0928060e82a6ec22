/** Fragmented movies (ISO/IEC 14496-12 section 8.8), as browsers and streams write them: how long all fragments are. */
import { Problem } from '../../problem.ts';
import { type Box, boxesOf, partsOf } from './boxes.ts';
import type { Fields } from './fields.ts';
import type { Reader } from './reader.ts';

export interface Fragments {
  samples: number;
  /** In units of the track's timescale. */
  duration: number;
}

const MAX_SAMPLES = 10_000_000;

/** Samples of one track in all `moof` boxes of the file. A fragment that cannot be read whole ends the count. */
export async function fragmentsOf(
  reader: Reader,
  mvex: Box,
  { id }: { id: number },
): Promise<Fragments | undefined> {
  let usual = 0;
  for await (const box of boxesOf(reader, mvex.body, mvex.end)) {
    if (box.type !== 'trex') continue;
    const trex = await reader.fields(box.body, 24);
    if (trex.u32(4) === id) usual = trex.u32(12);
  }
  const total: Fragments = { samples: 0, duration: 0 };
  for await (const box of boxesOf(reader)) {
    if (box.type !== 'moof') continue;
    try {
      for (const { type, fields } of partsOf(await reader.fields(box.body, box.end - box.body))) {
        if (type === 'traf') addFragment(fields, id, usual, total);
      }
    } catch (error) {
      // A recording that was cut off ends in the middle of a fragment; the ones before it are whole.
      if (error instanceof Problem && error.code === 'undecodable_image') break;
      throw error;
    }
  }
  return total.samples > 0 ? total : undefined;
}

function addFragment(traf: Fields, id: number, usual: number, total: Fragments): void {
  let own = usual;
  let ours = false;
  for (const { type, fields } of partsOf(traf)) {
    if (type === 'tfhd') {
      ours = fields.u32(4) === id;
      const flags = fields.u24(1);
      let at = 8 + (flags & 0x1 ? 8 : 0) + (flags & 0x2 ? 4 : 0);
      if (flags & 0x8) own = fields.u32(at);
      at += 4;
    }
    if (type === 'trun' && ours) addRun(fields, own, total);
  }
}

function addRun(trun: Fields, usual: number, total: Fragments): void {
  const flags = trun.u24(1);
  const samples = trun.u32(4);
  total.samples = Math.min(total.samples + samples, MAX_SAMPLES);
  if (!(flags & 0x100)) {
    total.duration += samples * usual;
    return;
  }
  const stride = [0x100, 0x200, 0x400, 0x800].filter((flag) => flags & flag).length * 4;
  let at = 8 + (flags & 0x1 ? 4 : 0) + (flags & 0x4 ? 4 : 0);
  // Each sample has its entry in the box: a count beyond it ends in a Problem at once.
  for (let i = 0; i < samples; i++, at += stride) total.duration += trun.u32(at);
}
