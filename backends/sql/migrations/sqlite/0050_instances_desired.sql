-- What is wanted of an instance, apart from what is known of it.
ALTER TABLE {{instances}} ADD COLUMN "desired" TEXT NOT NULL DEFAULT 'running' CONSTRAINT "instances_desired" CHECK ("desired" IN ('running', 'stopped', 'deleted'));
