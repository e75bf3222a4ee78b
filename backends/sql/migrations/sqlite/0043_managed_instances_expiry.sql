-- Grants have a grantor and may end.
ALTER TABLE {{managed_instances}} ADD COLUMN "granted_by" BLOB CHECK (length("granted_by") = 16);

ALTER TABLE {{managed_instances}} ADD COLUMN "expires_at" INTEGER;
