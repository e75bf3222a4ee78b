-- What is wanted of an instance, apart from what is known of it.
ALTER TABLE {{instances}} ADD COLUMN "desired" text COLLATE "C" NOT NULL DEFAULT 'running';

ALTER TABLE {{instances}} ADD CONSTRAINT "instances_desired" CHECK ("desired" IN ('running', 'stopped', 'deleted'));
