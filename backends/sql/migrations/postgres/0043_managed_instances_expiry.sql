-- Grants have a grantor and may end.
ALTER TABLE {{managed_instances}} ADD COLUMN "granted_by" uuid;

ALTER TABLE {{managed_instances}} ADD COLUMN "expires_at" timestamptz;
