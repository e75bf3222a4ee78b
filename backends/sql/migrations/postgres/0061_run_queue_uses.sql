CREATE TABLE {{run_queue_uses}} (
    "queue_id" uuid NOT NULL,
    "gpu_milli" bigint NOT NULL DEFAULT 0,
    "cpu_milli" bigint NOT NULL DEFAULT 0,
    "memory_mib" bigint NOT NULL DEFAULT 0,
    "epoch" bigint NOT NULL DEFAULT 0,
    "revision" bigint NOT NULL,
    "version" bigint NOT NULL,
    PRIMARY KEY ("queue_id"),
    CONSTRAINT "run_queue_uses_queue" FOREIGN KEY ("queue_id") REFERENCES {{run_queues}} ("id") ON DELETE RESTRICT,
    CONSTRAINT "run_queue_uses_gpu_not_negative" CHECK ("gpu_milli" >= 0),
    CONSTRAINT "run_queue_uses_cpu_not_negative" CHECK ("cpu_milli" >= 0),
    CONSTRAINT "run_queue_uses_memory_not_negative" CHECK ("memory_mib" >= 0),
    CONSTRAINT "run_queue_uses_epoch_not_negative" CHECK ("epoch" >= 0)
);
