/**
 * OpenCV 5 in WebAssembly, loaded on first use: 0.2 s CPU and some 80 MB, which most tasks never need. One thread,
 * no state between calls but the random generator.
 *
 * Its memory ends near 1 GB and never shrinks, so only pictures of a bounded size may be put into it.
 */
import { createRequire } from 'node:module';

/** A matrix in WebAssembly memory. `data` views that memory and dies when it grows: read it again after each call. */
export interface Mat {
  readonly rows: number;
  readonly cols: number;
  readonly data: Uint8Array;
  readonly data32S: Int32Array;
  readonly data32F: Float32Array;
  /** The length of each dimension. */
  readonly matSize: readonly number[];
  delete(): void;
}

export interface Rect {
  x: number;
  y: number;
  width: number;
  height: number;
}

interface Size {
  width: number;
  height: number;
}

type Scalar = readonly number[];

/** A neural network. */
export interface Net {
  setInput(blob: Mat): void;
  /** @param output a name; the last one when absent */
  forward(output?: string): Mat;
  /** The outputs' names in the order in which the model's file lists them. */
  getUnconnectedOutLayersNames(): { get(index: number): string; delete(): void };
  delete(): void;
}

/** What the engine uses of opencv.js; the package's own types describe a browser's. */
export interface OpenCv {
  Mat: new (rows?: number, cols?: number, type?: number) => Mat;
  CV_8UC1: number;
  CV_8UC3: number;
  CV_32SC1: number;
  CV_32F: number;
  CV_32FC3: number;
  GC_BGD: number;
  GC_FGD: number;
  GC_PR_BGD: number;
  GC_PR_FGD: number;
  GC_INIT_WITH_MASK: number;
  setRNGSeed(seed: number): void;
  Canny(source: Mat, edges: Mat, low: number, high: number, aperture: number, exact: boolean): void;
  grabCut(
    image: Mat,
    mask: Mat,
    rect: Rect,
    background: Mat,
    foreground: Mat,
    iterations: number,
    mode: number,
  ): void;
  watershed(image: Mat, markers: Mat): void;
  blobFromImage(
    image: Mat,
    scale: number,
    size: Size,
    mean: Scalar,
    swapRedBlue: boolean,
    crop: boolean,
    depth: number,
  ): Mat;
  readNetFromTFLite1(bytes: Uint8Array): Net;
  readNetFromONNX(path: string): Net;
  exceptionFromPtr(pointer: number): { msg: string };
  FS_createDataFile(
    folder: string,
    name: string,
    bytes: Uint8Array,
    canRead: boolean,
    canWrite: boolean,
    canOwn: boolean,
  ): void;
  FS_unlink(path: string): void;
}

let loaded: Promise<OpenCv> | undefined;

export function openCv(): Promise<OpenCv> {
  // The package is a script whose export is the promise of its module.
  loaded ??= createRequire(import.meta.url)('@techstark/opencv-js') as Promise<OpenCv>;
  return loaded;
}
