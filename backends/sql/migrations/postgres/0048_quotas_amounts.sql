-- Accounts are limited in processor time, memory and disk space too.
ALTER TABLE {{quotas}} ADD COLUMN "cpu_milli" bigint NOT NULL DEFAULT 0;

ALTER TABLE {{quotas}} ADD COLUMN "cpu_milli_limit" bigint;

ALTER TABLE {{quotas}} ADD COLUMN "memory_mib" bigint NOT NULL DEFAULT 0;

ALTER TABLE {{quotas}} ADD COLUMN "memory_mib_limit" bigint;

ALTER TABLE {{quotas}} ADD COLUMN "storage_mib" bigint NOT NULL DEFAULT 0;

ALTER TABLE {{quotas}} ADD COLUMN "storage_mib_limit" bigint;

ALTER TABLE {{quotas}} ADD CONSTRAINT "quotas_cpu_milli_not_negative" CHECK ("cpu_milli" >= 0);

ALTER TABLE {{quotas}} ADD CONSTRAINT "quotas_cpu_milli_limit_not_negative" CHECK ("cpu_milli_limit" >= 0);

ALTER TABLE {{quotas}} ADD CONSTRAINT "quotas_memory_mib_not_negative" CHECK ("memory_mib" >= 0);

ALTER TABLE {{quotas}} ADD CONSTRAINT "quotas_memory_mib_limit_not_negative" CHECK ("memory_mib_limit" >= 0);

ALTER TABLE {{quotas}} ADD CONSTRAINT "quotas_storage_mib_not_negative" CHECK ("storage_mib" >= 0);

ALTER TABLE {{quotas}} ADD CONSTRAINT "quotas_storage_mib_limit_not_negative" CHECK ("storage_mib_limit" >= 0);
