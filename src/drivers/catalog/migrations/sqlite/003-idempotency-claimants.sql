-- The process that works on the request: once it is gone, another need not wait for the claim's time to be over.
ALTER TABLE idempotency_keys ADD COLUMN claimant TEXT;
