/** A neural network in ONNX's protobuf, small enough to be written by hand (onnx.proto3, IR version 8, opset 13). */

type Field = [number: number, value: number | string | Uint8Array];

/** Bytes of a message: numbers as varints, the rest with its length before it. */
function message(...fields: Field[]): Uint8Array {
  return Buffer.concat(
    fields.map(([number, value]) => {
      if (typeof value === 'number') return Buffer.from([...varint(number << 3), ...varint(value)]);
      const bytes = typeof value === 'string' ? Buffer.from(value) : value;
      return Buffer.concat([Buffer.from([...varint((number << 3) | 2), ...varint(bytes.length)]), bytes]);
    }),
  );
}

function varint(value: number): number[] {
  const bytes: number[] = [];
  for (let rest = value; ; rest = Math.floor(rest / 128)) {
    if (rest < 128) return [...bytes, rest];
    bytes.push((rest % 128) | 0x80);
  }
}

const FLOAT = 1;

const tensor = (name: string, dims: number[], values: number[]) =>
  message(
    ...dims.map((dim): Field => [1, dim]),
    [2, FLOAT],
    [8, name],
    [9, new Uint8Array(Float32Array.from(values).buffer)],
  );

/** A text stands for a side that is open. */
const valueInfo = (name: string, dims: (number | string)[]) =>
  message(
    [1, name],
    [
      2,
      message([
        1,
        message(
          [1, FLOAT],
          [2, message(...dims.map((dim): Field => [1, message([typeof dim === 'number' ? 1 : 2, dim])]))],
        ),
      ]),
    ],
  );

const node = (type: string, inputs: string[], outputs: string[], name: string) =>
  message(...inputs.map((i): Field => [1, i]), ...outputs.map((o): Field => [2, o]), [3, name], [4, type]);

export interface MatteModelOptions {
  /** Sides of the square input; a text leaves them open. */
  side: number | string;
  /** Of red, green and blue as the network sees them: normalised. */
  weights: [number, number, number];
  bias: number;
  /** In place of `Sigmoid`. */
  operator?: string;
}

/** `sigmoid(weights · rgb + bias)` for each pixel: a 1 × 1 convolution to one channel. */
export function matteModel({ side, weights, bias, operator = 'Sigmoid' }: MatteModelOptions): Uint8Array {
  const graph = message(
    [1, node('Conv', ['input', 'weights', 'bias'], ['sum'], 'conv')],
    [1, node(operator, ['sum'], ['matte'], 'sigmoid')],
    [2, 'matte'],
    [5, tensor('weights', [1, 3, 1, 1], weights)],
    [5, tensor('bias', [1], [bias])],
    [11, valueInfo('input', [1, 3, side, side])],
    [12, valueInfo('matte', [1, 1, side, side])],
  );
  return message([1, 8], [7, graph], [8, message([1, ''], [2, 13])]);
}
