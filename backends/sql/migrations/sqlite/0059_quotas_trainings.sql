-- Accounts are limited in trainings and in runs of them too.
ALTER TABLE {{quotas}} ADD COLUMN "trainings" INTEGER NOT NULL DEFAULT 0 CONSTRAINT "quotas_trainings_not_negative" CHECK ("trainings" >= 0);

ALTER TABLE {{quotas}} ADD COLUMN "training_limit" INTEGER NOT NULL DEFAULT 100 CONSTRAINT "quotas_training_limit_not_negative" CHECK ("training_limit" >= 0);

ALTER TABLE {{quotas}} ADD COLUMN "runs" INTEGER NOT NULL DEFAULT 0 CONSTRAINT "quotas_runs_not_negative" CHECK ("runs" >= 0);

ALTER TABLE {{quotas}} ADD COLUMN "run_limit" INTEGER NOT NULL DEFAULT 100 CONSTRAINT "quotas_run_limit_not_negative" CHECK ("run_limit" >= 0);
