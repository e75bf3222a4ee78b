CREATE TABLE {{account_uses}} (
    "account_id" BLOB NOT NULL CHECK (length("account_id") = 16),
    "period" INTEGER NOT NULL,
    "gpu_milli_seconds" INTEGER NOT NULL DEFAULT 0,
    "cpu_milli_seconds" INTEGER NOT NULL DEFAULT 0,
    "memory_mib_seconds" INTEGER NOT NULL DEFAULT 0,
    "revision" INTEGER NOT NULL,
    "version" INTEGER NOT NULL,
    PRIMARY KEY ("account_id", "period"),
    CONSTRAINT "account_uses_account" FOREIGN KEY ("account_id") REFERENCES {{quotas}} ("account_id") ON DELETE RESTRICT,
    CONSTRAINT "account_uses_gpu_not_negative" CHECK ("gpu_milli_seconds" >= 0),
    CONSTRAINT "account_uses_cpu_not_negative" CHECK ("cpu_milli_seconds" >= 0),
    CONSTRAINT "account_uses_memory_not_negative" CHECK ("memory_mib_seconds" >= 0)
) STRICT, WITHOUT ROWID;
