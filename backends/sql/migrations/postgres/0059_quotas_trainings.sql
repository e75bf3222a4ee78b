-- Accounts are limited in trainings and in runs of them too.
ALTER TABLE {{quotas}} ADD COLUMN "trainings" bigint NOT NULL DEFAULT 0;

ALTER TABLE {{quotas}} ADD COLUMN "training_limit" bigint NOT NULL DEFAULT 100;

ALTER TABLE {{quotas}} ADD COLUMN "runs" bigint NOT NULL DEFAULT 0;

ALTER TABLE {{quotas}} ADD COLUMN "run_limit" bigint NOT NULL DEFAULT 100;

ALTER TABLE {{quotas}} ADD CONSTRAINT "quotas_trainings_not_negative" CHECK ("trainings" >= 0);

ALTER TABLE {{quotas}} ADD CONSTRAINT "quotas_training_limit_not_negative" CHECK ("training_limit" >= 0);

ALTER TABLE {{quotas}} ADD CONSTRAINT "quotas_runs_not_negative" CHECK ("runs" >= 0);

ALTER TABLE {{quotas}} ADD CONSTRAINT "quotas_run_limit_not_negative" CHECK ("run_limit" >= 0);
