/**
 * Stored bytes by key (`domain/keys.ts`). A key's bytes never change: a key that exists already holds the same bytes.
 *
 * Bytes come in by staging. A staged file belongs to the process that made it and is no object yet; `put` makes it one
 * and leaves the staged file, so that the catalog can be told in between:
 *
 *   stage → write… → finish → put(key) → the catalog's transaction, which checks the key again → discard
 *
 * A crash anywhere leaves a staged file at most, and it says which keys it was put under: the sweeper asks the catalog
 * about those, and never looks through the store.
 *
 * Faults: a full disk or quota is Problem `storage_full`, a store that cannot be read or written `dependency_down`;
 * both are retryable. A text that is no key is `internal`.
 */
import type { Readable } from 'node:stream';

export interface StagedFile extends AsyncDisposable {
  /**
   * Where the bytes are while nobody has accepted them; stays the same until it is discarded. It may be read, and
   * written by others who have their own handle.
   */
  readonly path: string;
  /** Appends. One call at a time; the chunk may be reused when it resolves. Counting and hashing is the caller's. */
  write(chunk: Uint8Array): Promise<void>;
  /** Nothing is written any more: the bytes are on disk (fdatasync) when it resolves. Again: nothing happens. */
  finish(): Promise<void>;
  /** Removes the file, finished or not, put or not; the objects made of it stay. Again: nothing happens. */
  discard(): Promise<void>;
}

/** What a process that is gone has left in staging. */
export interface StaleFile {
  /** It was to become this object; whether it did, and whether the catalog learned of it, is not known. */
  readonly key?: string;
  discard(): Promise<void>;
}

export interface BlobStat {
  bytes: number;
}

export interface ByteRange {
  /** First and last byte, both included, as in RFC 9110's `bytes=start-end`. `end` may lie beyond the object. */
  start: number;
  end: number;
}

export interface LocalPath extends AsyncDisposable {
  readonly path: string;
}

export interface Blobs {
  /**
   * A new place in staging: empty, or filled with a finished file, which is moved in (copied where it lies on another
   * file system).
   * @throws Problem storage_full, before the last reserve is used up: what deletes must still be able to write
   */
  stage(from?: string): Promise<StagedFile>;
  /**
   * Makes a staged, complete file the object `key`: durable, and seen whole or not at all. Where the key exists, nothing
   * is written; its size must be the same. May be repeated with the same staged file, also after the key was deleted.
   * @throws Problem internal where another size is there, or the file was not staged here
   */
  put(key: string, stagedPath: string): Promise<void>;
  /**
   * Destroy the stream if it is not read to its end.
   * @throws Problem not_found; range_not_satisfiable where the range holds no byte of the object
   */
  get(key: string, range?: ByteRange): Promise<Readable>;
  /** Undefined where there is no such object. */
  head(key: string): Promise<BlobStat | undefined>;
  /**
   * A file to read the object from while the caller works with it, the object itself where it is a local file: never
   * write to it. Dispose of it when done.
   * @throws Problem not_found
   */
  localPath(key: string): Promise<LocalPath>;
  /** Durable when it resolves. Deleting what is not there is no error; readers that have it open read on. */
  delete(key: string): Promise<void>;
  /**
   * Staged files of processes that are gone. Of processes whose life cannot be checked from here, files to which nothing
   * was written since `untouchedSince`. May be asked by several at once.
   */
  staleStaged(untouchedSince: Date): Promise<StaleFile[]>;
  /** Writes, reads and removes a file. @throws Problem dependency_down, storage_full where nothing could be stored now */
  check(): Promise<void>;
}
