-- Refused attempts are lines too.
ALTER TABLE {{logs}} ADD COLUMN "outcome" TEXT NOT NULL DEFAULT 'done' CONSTRAINT "logs_outcome" CHECK ("outcome" IN ('done', 'refused'));
