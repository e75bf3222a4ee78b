CREATE TABLE {{run_queue_uses}} (
    "queue_id" BLOB NOT NULL CHECK (length("queue_id") = 16),
    "gpu_milli" INTEGER NOT NULL DEFAULT 0,
    "cpu_milli" INTEGER NOT NULL DEFAULT 0,
    "memory_mib" INTEGER NOT NULL DEFAULT 0,
    "epoch" INTEGER NOT NULL DEFAULT 0,
    "revision" INTEGER NOT NULL,
    "version" INTEGER NOT NULL,
    PRIMARY KEY ("queue_id"),
    CONSTRAINT "run_queue_uses_queue" FOREIGN KEY ("queue_id") REFERENCES {{run_queues}} ("id") ON DELETE RESTRICT,
    CONSTRAINT "run_queue_uses_gpu_not_negative" CHECK ("gpu_milli" >= 0),
    CONSTRAINT "run_queue_uses_cpu_not_negative" CHECK ("cpu_milli" >= 0),
    CONSTRAINT "run_queue_uses_memory_not_negative" CHECK ("memory_mib" >= 0),
    CONSTRAINT "run_queue_uses_epoch_not_negative" CHECK ("epoch" >= 0)
) STRICT, WITHOUT ROWID;
