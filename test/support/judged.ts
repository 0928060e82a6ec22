/** What a correct service answers to the hostile files: as the corpus says, unless it is wrong there. */
import type { HostileFacts } from './corpus.ts';
import { noVideoTools } from './videos.ts';

const VIDEO = 'without ffmpeg no video is read, whole or broken: 415 says so before anything is decoded';
const NO_SIGNATURE = 'the damage hits the signature, so by its bytes it is nothing that is known';

const WITHOUT_FFMPEG = Object.fromEntries(
  [
    ...['gen-cut50-video-imovie.mp4', 'gen-cut50-video.webm', 'gen-flip24-video-imovie.mp4'],
    ...['gen-flip24-video.webm', 'gen-ftyp-only.mp4', 'mov-poc-fgw8.mov', 'mp4-poc-2340.mp4'],
  ].map((name) => [name, { status: 415, because: VIDEO }]),
);

/** Where another answer than the corpus expects is right. */
const JUDGED: Record<string, { status: number; because: string }> = {
  ...(noVideoTools ? WITHOUT_FFMPEG : {}),
  'heic-github20.heic': { status: 415, because: NO_SIGNATURE },
  'raf-poc-857.raf': { status: 415, because: NO_SIGNATURE },
  'svgz-truncated.svgz': { status: 415, because: 'what is left does not unpack to the beginning of an SVG' },
  'jpg-lossless.jpg': { status: 200, because: 'libjpeg-turbo 3 decodes lossless JPEG' },
  'svg-as-jpg-gm.jpg': {
    status: 200,
    because: 'it is an SVG by its bytes, and is rendered as one without its links',
  },
};

/** The statuses that are right; 200 where the picture is read. */
export function answersTo({ name, expect }: Pick<HostileFacts, 'name' | 'expect'>): number[] {
  const judged = JUDGED[name];
  return judged ? [judged.status] : statusesOf(expect);
}

function statusesOf(expect: string): number[] {
  return expect.split('/').flatMap((word) => {
    if (word.startsWith('accept')) return [200];
    return word.startsWith('sanitise') ? [200, 415, 422] : [Number.parseInt(word, 10)];
  });
}
