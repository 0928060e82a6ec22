/** What lies behind a picture in its file: where polyglots keep their second half. */

/** Bytes after the end of the first JPEG, PNG or WebP in `file`. @throws where that has no end */
export function trailingBytes(file: Buffer): number {
  return file.length - pictureEnd(file);
}

function pictureEnd(file: Buffer): number {
  const magic = file.toString('latin1', 0, 4);
  if (magic.startsWith('\xff\xd8')) return jpegEnd(file);
  if (magic === '\x89PNG') return pngEnd(file);
  if (magic === 'RIFF') return 8 + file.readUInt32LE(4);
  throw new Error(`no JPEG, PNG or WebP: ${file.subarray(0, 16).toString('hex')}`);
}

/** By segments up to SOS; then to the next marker that is no restart and no stuffed byte, and so on to EOI. */
function jpegEnd(file: Buffer): number {
  let at = 2;
  for (;;) {
    if (file[at] !== 0xff) throw new Error(`no marker at ${at} of ${file.length}`);
    const marker = file[at + 1]!;
    if (marker === 0xd9) return at + 2;
    at += 2 + file.readUInt16BE(at + 2);
    if (marker !== 0xda) continue;
    while (!(file[at] === 0xff && file[at + 1] !== 0 && (file[at + 1]! & 0xf8) !== 0xd0)) {
      if (++at >= file.length) throw new Error('the JPEG has no EOI');
    }
  }
}

function pngEnd(file: Buffer): number {
  for (let at = 8; ; ) {
    const end = at + 12 + file.readUInt32BE(at);
    if (file.toString('latin1', at + 4, at + 8) === 'IEND') return end;
    at = end;
  }
}
