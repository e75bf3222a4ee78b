CREATE TABLE {{account_uses}} (
    "account_id" uuid NOT NULL,
    "period" bigint NOT NULL,
    "gpu_milli_seconds" bigint NOT NULL DEFAULT 0,
    "cpu_milli_seconds" bigint NOT NULL DEFAULT 0,
    "memory_mib_seconds" bigint NOT NULL DEFAULT 0,
    "revision" bigint NOT NULL,
    "version" bigint NOT NULL,
    PRIMARY KEY ("account_id", "period"),
    CONSTRAINT "account_uses_account" FOREIGN KEY ("account_id") REFERENCES {{quotas}} ("account_id") ON DELETE RESTRICT,
    CONSTRAINT "account_uses_gpu_not_negative" CHECK ("gpu_milli_seconds" >= 0),
    CONSTRAINT "account_uses_cpu_not_negative" CHECK ("cpu_milli_seconds" >= 0),
    CONSTRAINT "account_uses_memory_not_negative" CHECK ("memory_mib_seconds" >= 0)
);
