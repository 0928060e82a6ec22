/** The books after a fault: what was promised, what became of it, and what lies about. */
import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import type { Audit, Installation } from './installation.ts';
import type { Sent, UploadClient } from './upload-client.ts';

export interface Account {
  installation: Installation;
  client: UploadClient;
  /** Every upload that was answered. */
  sent: readonly Sent[];
  /** Images that are there by other means. */
  others?: number;
  /** Accepted uploads that nobody expects to be there, or to be well. */
  excused?: ReadonlySet<string>;
  /** Keys of objects that the test itself has taken away or spoiled. */
  spoiled?: readonly string[];
  /** Further figures for the row. */
  figures?: Record<string, number | string>;
}

/** So many are looked at at the same time. */
const AT_ONCE = 8;

/**
 * Waits for the jobs, looks at every upload as a client would, ends the server and looks into its folder. Prints the
 * figures, and fails where one is not as it must be.
 */
export async function account(
  t: TestContext,
  { installation, client, sent, others = 0, excused = new Set(), spoiled = [], figures = {} }: Account,
): Promise<void> {
  await installation.settled();
  const accepted = sent.filter((one) => one.accepted);
  const refusedGood = sent.filter((one) => !one.accepted && !(one.file.hostile && one.status < 500));
  const complaints: { lost: boolean; why: string }[] = [];
  const waiting = accepted.filter((one) => !excused.has(one.accepted!.image_id)).values();
  await Promise.all(
    Array.from({ length: AT_ONCE }, async () => {
      for (const one of waiting) {
        const complaint = await client.complaintAbout(one);
        if (complaint) complaints.push(complaint);
      }
    }),
  );
  await installation.server.close();
  const audit = installation.audit();
  const images = new Set(accepted.map((one) => one.accepted!.image_id));
  const known = installation.rows<{ image_id: string }>('select image_id from images');
  const duplicates = known.filter(({ image_id }) => !images.has(image_id)).length - others;
  const jobs = installation.rows<{ status: string; n: number }>(
    'select status, count(*) n from processing_jobs group by status',
  );
  const { scratch, staged, orphans, missing, undeleted, unfinished, integrity } = audit;
  const row = {
    uploads: sent.length,
    accepted: accepted.length,
    refused: sent.length - accepted.length,
    ...Object.fromEntries(jobs.map(({ status, n }) => [status, n])),
    ...figures,
    lost: complaints.filter(({ lost }) => lost).length,
    wrong: complaints.filter(({ lost }) => !lost).length,
    duplicates,
    stuck: unfinished,
    staged: staged.length,
    temporary: scratch.length,
    orphans: orphans.length,
    missing: missing.length - spoiled.length,
    undeleted,
    integrity,
  };
  t.diagnostic(
    Object.entries(row)
      .map(([name, value]) => `${name} ${value}`)
      .join(' · '),
  );
  assert.deepEqual(
    refusedGood.map(({ file, status, problem }) => `${file.name}: ${status} ${problem?.code}`),
    [],
  );
  assert.deepEqual(
    complaints.map(({ why }) => why),
    [],
  );
  assert.equal(duplicates, 0, 'images that no client was told of');
  const expected: Audit = {
    integrity: 'ok',
    unfinished: 0,
    staged: [],
    scratch: [],
    orphans: [],
    missing: [...spoiled].sort(),
    undeleted: 0,
  };
  assert.deepEqual({ ...audit, missing: missing.sort() }, expected);
}
