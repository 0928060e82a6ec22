/**
 * `model`: an operator's own matte network in ONNX, such as U²-Net or IS-Net: RGB in, normalised as for ImageNet; its
 * first output is one channel, stretched to 0–1.
 */
import { readFile, stat } from 'node:fs/promises';
import { Problem } from '../../problem.ts';
import { type Net, type OpenCv, openCv } from '../opencv/load.ts';
import { asError, type Own } from '../opencv/scope.ts';
import { onnxInputSize } from './onnx.ts';
import { type Picture, type Plane, scalePlane } from './picture.ts';

/** The sides that are tried, in turn, with a model that leaves its size open. */
const SIDES_PX = [320, 512, 1024] as const;
const MEAN = [0.485, 0.456, 0.406] as const;
const DEVIATION = [0.229, 0.224, 0.225] as const;
/** An output that varies less says nothing. */
const LEAST_RANGE = 1e-4;

export interface MatteModel {
  net: Net;
  sizes: { width: number; height: number }[];
}

/** Path, size and time of the file, so that one that was replaced is read again. Weights are large: only one is kept. */
let kept: { identity: string; model: MatteModel } | undefined;

/** @throws Problem `invalid_plan` where no model is configured, `invalid_configuration` where it cannot be loaded */
export async function matteModel(path: string | undefined): Promise<MatteModel> {
  if (path === undefined) {
    throw new Problem('invalid_plan', {
      detail: 'The background method model needs a matte model, and none is configured here.',
      errors: [
        { path: 'operations.background.method', message: 'expected auto, grabcut, watershed or person' },
      ],
    });
  }
  const cv = await openCv();
  try {
    const { size, mtimeMs } = await stat(path);
    const identity = `${path} ${size} ${mtimeMs}`;
    if (kept?.identity === identity) return kept.model;
    const bytes = await readFile(path);
    const { width, height } = onnxInputSize(bytes);
    const sizes =
      width > 0 && height > 0 ? [{ width, height }] : SIDES_PX.map((side) => ({ width: side, height: side }));
    // A process renders one picture after another: nobody is using the one before.
    kept?.model.net.delete();
    kept = undefined;
    kept = { identity, model: { net: load(cv, bytes), sizes } };
    return kept.model;
  } catch (error) {
    throw unusable('cannot be loaded as an ONNX model that takes RGB', asError(cv, error));
  }
}

/** Through Emscripten's file system: as an argument, bytes would be copied one by one. */
function load(cv: OpenCv, bytes: Uint8Array): Net {
  const name = 'matte.onnx';
  cv.FS_createDataFile('/', name, bytes, true, false, true);
  try {
    return cv.readNetFromONNX(name);
  } finally {
    cv.FS_unlink(`/${name}`);
  }
}

/**
 * @returns the matte at the picture's size, 0–1; undefined where the model sees nothing
 * @throws Problem `invalid_configuration` where the model does not run
 */
export function modelMatte(cv: OpenCv, own: Own, picture: Picture, model: MatteModel): Plane | undefined {
  const { width, height, rgb } = picture;
  const image = own(new cv.Mat(height, width, cv.CV_32FC3));
  const values = image.data32F;
  for (let i = 0; i < rgb.length; i++) values[i] = (rgb[i]! / 255 - MEAN[i % 3]!) / DEVIATION[i % 3]!;
  let failure: unknown;
  for (const size of model.sizes) {
    try {
      model.net.setInput(own(cv.blobFromImage(image, 1, size, [0, 0, 0, 0], false, false, cv.CV_32F)));
      const names = own(model.net.getUnconnectedOutLayersNames());
      const output = own(model.net.forward(names.get(0)));
      const [rows, columns] = output.matSize.slice(-2) as [number, number];
      if (output.data32F.length !== rows * columns) {
        throw new Error(`the output is ${output.matSize.join(' × ')}, expected one channel`);
      }
      const stretched = normalised(output.data32F);
      return stretched && scalePlane(stretched, columns, rows, width, height);
    } catch (error) {
      failure = asError(cv, error);
    }
  }
  throw unusable('does not run', failure);
}

function normalised(values: Plane): Plane | undefined {
  let [low, high] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  for (const value of values) {
    if (value < low) low = value;
    if (value > high) high = value;
  }
  if (!Number.isFinite(high - low)) throw new Error('the output holds values that are no numbers');
  return high - low < LEAST_RANGE ? undefined : values.map((value) => (value - low) / (high - low));
}

const unusable = (what: string, cause: unknown) =>
  new Problem('invalid_configuration', { detail: `The matte model that is configured here ${what}.`, cause });
