/** The items of a HEIF or AVIF file (ISO/IEC 23008-12, 14496-12 section 8.11): what its `meta` box says. */
import { type Box, boxesOf, partsOf } from './boxes.ts';
import type { Fields } from './fields.ts';
import { broken } from './header.ts';
import type { Reader } from './reader.ts';

const MAX_EXTENTS = 65_536;
const MAX_REFERENCES = 65_536;
const MAX_ASSOCIATIONS = 65_536;

export interface Item {
  id: number;
  type: string;
  hidden: boolean;
  /** Properties in the order in which they are to be applied. */
  properties: Property[];
  location?: Location;
}

export interface Property {
  type: string;
  fields: Fields;
}

export interface Location {
  /** 0: offsets into the file; 1: into the `idat` box; 2: into another item. */
  method: number;
  external: boolean;
  extents: { offset: number; length: number }[];
}

export interface Reference {
  type: string;
  from: number;
  to: number[];
}

export interface Items {
  primary: number | undefined;
  byId: Map<number, Item>;
  references: Reference[];
  idat: Box | undefined;
}

/** @throws Problem undecodable_image where the box breaks its own rules. */
export async function readItems(reader: Reader, meta: Box): Promise<Items> {
  const parts = new Map<string, Fields>();
  let idat: Box | undefined;
  for await (const box of boxesOf(reader, meta.body + 4, meta.end)) {
    if (box.type === 'idat') idat ??= box;
    else if (['pitm', 'iinf', 'iloc', 'iprp', 'iref'].includes(box.type) && !parts.has(box.type)) {
      parts.set(box.type, await reader.fields(box.body, box.end - box.body));
    }
  }
  const byId = readInfos(parts.get('iinf'));
  const properties = parts.get('iprp');
  if (properties) assignProperties(properties, byId);
  const locations = parts.get('iloc');
  if (locations) assignLocations(locations, byId);
  const pitm = parts.get('pitm');
  const references = readReferences(parts.get('iref'));
  return { primary: pitm && (pitm.u8(0) === 0 ? pitm.u16(4) : pitm.u32(4)), byId, references, idat };
}

function readInfos(iinf: Fields | undefined): Map<number, Item> {
  const items = new Map<number, Item>();
  if (!iinf) return items;
  for (const { type, fields } of partsOf(iinf, iinf.u8(0) === 0 ? 6 : 8)) {
    const version = fields.length > 0 ? fields.u8(0) : 0;
    if (type !== 'infe' || version < 2) continue;
    const wide = version === 2 ? 0 : 2;
    const id = wide ? fields.u32(4) : fields.u16(4);
    const hidden = (fields.u8(3) & 1) === 1;
    if (!items.has(id)) items.set(id, { id, type: fields.ascii(8 + wide, 4), hidden, properties: [] });
  }
  return items;
}

function assignProperties(iprp: Fields, items: Map<number, Item>): void {
  const properties: Property[] = [];
  let associations = 0;
  for (const part of partsOf(iprp)) {
    if (part.type === 'ipco' && properties.length === 0) properties.push(...partsOf(part.fields));
    if (part.type !== 'ipma') continue;
    const ipma = part.fields;
    const wideIds = ipma.u8(0) > 0;
    const wideIndices = (ipma.u8(3) & 1) === 1;
    const entries = ipma.u32(4);
    let at = 8;
    for (let i = 0; i < entries; i++) {
      const item = items.get(wideIds ? ipma.u32(at) : ipma.u16(at));
      at += wideIds ? 4 : 2;
      const count = ipma.u8(at++);
      associations += count;
      if (associations > MAX_ASSOCIATIONS) throw broken('The file ties too many properties to its items.');
      for (let k = 0; k < count; k++) {
        const index = wideIndices ? ipma.u16(at) & 0x7fff : ipma.u8(at) & 0x7f;
        at += wideIndices ? 2 : 1;
        if (index > properties.length)
          throw broken('The file ties a property to an item that it does not have.');
        if (index > 0) item?.properties.push(properties[index - 1]!);
      }
    }
  }
}

function assignLocations(iloc: Fields, items: Map<number, Item>): void {
  const version = iloc.u8(0);
  if (version > 2) throw broken(`The file locates its items by version ${version}, which does not exist.`);
  const [sizes, more] = [iloc.u8(4), iloc.u8(5)];
  const offsetBytes = sizes >> 4;
  const lengthBytes = sizes & 15;
  const baseBytes = more >> 4;
  const indexBytes = version > 0 ? more & 15 : 0;
  if ([offsetBytes, lengthBytes, baseBytes, indexBytes].some((n) => n !== 0 && n !== 4 && n !== 8)) {
    throw broken('The file locates its items by numbers of a size that does not exist.');
  }
  const wide = version === 2 ? 4 : 2;
  const count = iloc.uint(6, wide);
  let at = 6 + wide;
  let total = 0;
  for (let i = 0; i < count; i++) {
    const id = iloc.uint(at, wide);
    at += wide;
    const method = version > 0 ? iloc.u16(at) & 15 : 0;
    if (version > 0) at += 2;
    const external = iloc.u16(at) !== 0;
    const base = iloc.uint(at + 2, baseBytes);
    const extentCount = iloc.u16(at + 2 + baseBytes);
    at += 4 + baseBytes;
    total += extentCount;
    if (total > MAX_EXTENTS) throw broken('The data of the file is cut into too many pieces.');
    const extents = [];
    for (let k = 0; k < extentCount; k++) {
      at += indexBytes;
      extents.push({
        offset: base + iloc.uint(at, offsetBytes),
        length: iloc.uint(at + offsetBytes, lengthBytes),
      });
      at += offsetBytes + lengthBytes;
    }
    const item = items.get(id);
    if (item) item.location ??= { method, external, extents };
  }
}

function readReferences(iref: Fields | undefined): Reference[] {
  const references: Reference[] = [];
  if (!iref) return references;
  const idBytes = iref.u8(0) === 0 ? 2 : 4;
  let total = 0;
  for (const { type, fields } of partsOf(iref, 4)) {
    const count = fields.u16(idBytes);
    total += count + 1;
    if (total > MAX_REFERENCES) throw broken('The items of the file refer to one another too often.');
    const to = Array.from({ length: count }, (_, i) => fields.uint(idBytes + 2 + i * idBytes, idBytes));
    references.push({ type, from: fields.uint(0, idBytes), to });
  }
  return references;
}
