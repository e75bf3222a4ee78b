CREATE TABLE {{run_queues}} (
    "id" BLOB NOT NULL CHECK (length("id") = 16),
    "name" TEXT NOT NULL,
    "parent_id" BLOB CHECK (length("parent_id") = 16),
    "weight_milli" INTEGER NOT NULL,
    "gpu_milli" INTEGER,
    "gpu_milli_borrowing" INTEGER,
    "gpu_milli_lending" INTEGER,
    "cpu_milli" INTEGER,
    "cpu_milli_borrowing" INTEGER,
    "cpu_milli_lending" INTEGER,
    "memory_mib" INTEGER,
    "memory_mib_borrowing" INTEGER,
    "memory_mib_lending" INTEGER,
    "created_at" INTEGER NOT NULL,
    "updated_at" INTEGER NOT NULL,
    "revision" INTEGER NOT NULL,
    "version" INTEGER NOT NULL,
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
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX {{bare:run_queues_name}} ON {{run_queues}} ("name");

CREATE INDEX {{bare:run_queues_parent}} ON {{run_queues}} ("parent_id", "id");
