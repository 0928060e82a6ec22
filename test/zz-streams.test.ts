import { test } from 'node:test';
import { startImageService } from '/work/main/test/support/image-service.ts';
import { photo } from '/work/main/test/support/uploads.ts';
test('x', async (t) => {
  const s = await startImageService(t);
  const { jobId } = await s.accept(await photo(3));
  const idle0 = process.cpuUsage(); await new Promise(r => setTimeout(r, 3000)); const idle = process.cpuUsage(idle0);
  const aborts = [];
  for (let i=0;i<50;i++){ const a = new AbortController(); aborts.push(a); const r = await s.get(`/api/v1/images/jobs/${jobId}/events`, undefined, {signal:a.signal}); const rd=r.body.getReader(); await rd.read(); rd.read().catch(()=>{}); }
  await new Promise(r => setTimeout(r, 1000));
  const c0 = process.cpuUsage(); await new Promise(r => setTimeout(r, 5000)); const c = process.cpuUsage(c0);
  console.log('idle ms/s', (idle.user+idle.system)/3000, '50 streams ms/s', (c.user+c.system)/5000);
  for (const a of aborts) a.abort();
});
