-- Refused attempts are lines too.
ALTER TABLE {{logs}} ADD COLUMN "outcome" text COLLATE "C" NOT NULL DEFAULT 'done';

ALTER TABLE {{logs}} ADD CONSTRAINT "logs_outcome" CHECK ("outcome" IN ('done', 'refused'));
