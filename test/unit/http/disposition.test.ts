import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { contentDisposition, downloadName, uploadName } from '../../../src/http/disposition.ts';

describe('downloadName', () => {
  const cases: [given: string | undefined, name: string][] = [
    ['photo.heic', 'photo.jpg'],
    ['photo.JPG ', 'photo.jpg'],
    ['no-extension', 'no-extension.jpg'],
    ['holiday.2024.png', 'holiday.2024.jpg'],
    ['../../../../etc/passwd', 'passwd.jpg'],
    ['..\\..\\windows\\win.ini', 'win.jpg'],
    ['C:\\fakepath\\photo.jpg', 'photo.jpg'],
    ['photo.jpg\u0000.png', 'photo.jpg.jpg'],
    ['.htaccess', 'image.jpg'],
    ['.jpg', 'image.jpg'],
    ['', 'image.jpg'],
    [' ', 'image.jpg'],
    ['..', 'image.jpg'],
    [undefined, 'image.jpg'],
    ['-rf.jpg', 'rf.jpg'],
    ['CON.jpg', '_CON.jpg'],
    ['photo\u202egpj.exe', 'photogpj.jpg'],
    ['photo\r\nX-Injected: 1.jpg', 'photoX-Injected_ 1.jpg'],
    ['日本語.heic', '日本語.jpg'],
    ['cafe\u0301.png', 'café.jpg'],
    ['😀.png', '😀.jpg'],
    ['lone \ud800 surrogate.png', 'lone  surrogate.jpg'],
  ];
  for (const [given, name] of cases) {
    it(`makes ${JSON.stringify(name)} of ${JSON.stringify(given)}`, () => {
      assert.equal(downloadName(given, 'jpg'), name);
    });
  }

  it('is a harmless name on any disk, whatever is given', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 300 }), (given) => {
        const name = downloadName(given, 'jpg');
        assert.match(name, /^[^\s.-].*\.jpg$/u);
        assert.doesNotMatch(name, /[\p{Cc}"*:<>?|\\/\u202a-\u202e\u2066-\u2069]/u);
        assert.ok(name.isWellFormed() && Buffer.byteLength(name) <= 220, name);
      }),
    );
  });
});

describe('contentDisposition', () => {
  it('needs no extended value for an ASCII name', () => {
    assert.equal(contentDisposition('a (1).jpg'), 'attachment; filename="a (1).jpg"');
  });

  it('gives other names in both forms', () => {
    assert.equal(
      contentDisposition('日本’(1).jpg'),
      'attachment; filename="___(1).jpg"; filename*=UTF-8\'\'%E6%97%A5%E6%9C%AC%E2%80%99%281%29.jpg',
    );
  });

  it('holds nothing but printable ASCII, and its extended value decodes to the name', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 300 }), (given) => {
        const name = downloadName(given, 'webp');
        const header = contentDisposition(name);
        assert.match(header, /^attachment; filename="[^"\\%\x00-\x1f\x7f-\uffff]*"/);
        assert.match(header, /^[\x20-\x7e]*$/);
        const [, extended] = header.split("filename*=UTF-8''");
        if (extended !== undefined) assert.equal(decodeURIComponent(extended), name);
      }),
    );
  });
});

describe('uploadName', () => {
  const cases: [given: string | undefined, name: string][] = [
    ['photo.JPEG', 'photo.JPEG'],
    ['IMG_0001.CR2 ', 'IMG_0001.CR2'],
    ['a.b.tif', 'a.b.tif'],
    ['holiday.exe', 'holiday.jpg'],
    ['page.html', 'page.jpg'],
    ['photo.png.scr', 'photo.png.jpg'],
    ['../../.ssh/key.png', 'key.png'],
    ['no-extension', 'no-extension.jpg'],
    ['.png', 'image.png'],
    [undefined, 'image.jpg'],
  ];
  for (const [given, name] of cases) {
    it(`makes ${JSON.stringify(name)} of ${JSON.stringify(given)}`, () => {
      assert.equal(uploadName(given, 'jpg'), name);
    });
  }
});
