CREATE TABLE {{run_queues}} (
    "id" uuid NOT NULL,
    "name" text COLLATE "C" NOT NULL,
    "parent_id" uuid,
    "weight_milli" bigint NOT NULL,
    "gpu_milli" bigint,
    "gpu_milli_borrowing" bigint,
    "gpu_milli_lending" bigint,
    "cpu_milli" bigint,
    "cpu_milli_borrowing" bigint,
    "cpu_milli_lending" bigint,
    "memory_mib" bigint,
    "memory_mib_borrowing" bigint,
    "memory_mib_lending" bigint,
    "created_at" timestamptz NOT NULL,
    "updated_at" timestamptz NOT NULL,
    "revision" bigint NOT NULL,
    "version" bigint NOT NULL,
    PRIMARY KEY ("id"),
    CONSTRAINT "run_queues_parent" FOREIGN KEY ("parent_id") REFERENCES {{run_queues}} ("id") ON DELETE NO ACTION,
    CONSTRAINT "run_queues_weight_not_negative" CHECK ("weight_milli" >= 0),
    CONSTRAINT "run_queues_gpu_not_negative" CHECK ("gpu_milli" >= 0),
    CONSTRAINT "run_queues_gpu_borrowing_not_negative" CHECK ("gpu_milli_borrowing" >= 0),
    CONSTRAINT "run_queues_gpu_lending_not_negative" CHECK ("gpu_milli_lending" >= 0),
    CONSTRAINT "run_queues_cpu_not_negative" CHECK ("cpu_milli" >= 0),
    CONSTRAINT "run_queues_cpu_borrowing_not_negative" CHECK ("cpu_milli_borrowing" >= 0),
    CONSTRAINT "run_queues_cpu_lending_not_negative" CHECK ("cpu_milli_lending" >= 0),
    CONSTRAINT "run_queues_memory_not_negative" CHECK ("memory_mib" >= 0),
    CONSTRAINT "run_queues_memory_borrowing_not_negative" CHECK ("memory_mib_borrowing" >= 0),
    CONSTRAINT "run_queues_memory_lending_not_negative" CHECK ("memory_mib_lending" >= 0)
);

CREATE UNIQUE INDEX {{bare:run_queues_name}} ON {{run_queues}} ("name");

CREATE INDEX {{bare:run_queues_parent}} ON {{run_queues}} ("parent_id" NULLS FIRST, "id");
