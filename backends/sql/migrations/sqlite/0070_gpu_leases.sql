CREATE TABLE {{gpu_leases}} (
    "id" BLOB NOT NULL CHECK (length("id") = 16),
    "run_id" BLOB CHECK (length("run_id") = 16),
    "of_run" BLOB NOT NULL CHECK (length("of_run") = 16),
    "attempt" INTEGER NOT NULL,
    "account_id" BLOB NOT NULL CHECK (length("account_id") = 16),
    "queue_id" BLOB CHECK (length("queue_id") = 16),
    "state" TEXT NOT NULL,
    "token" INTEGER NOT NULL DEFAULT 0,
    "worker" TEXT,
    "node_id" BLOB CHECK (length("node_id") = 16),
    "session" INTEGER,
    "gpu_milli" INTEGER NOT NULL,
    "cpu_milli" INTEGER NOT NULL,
    "memory_mib" INTEGER NOT NULL,
    "storage_mib" INTEGER NOT NULL,
    "charged_until" INTEGER NOT NULL,
    "reason" TEXT,
    "created_at" INTEGER NOT NULL,
    "bound_at" INTEGER,
    "released_at" INTEGER,
    "revision" INTEGER NOT NULL,
    "version" INTEGER NOT NULL,
    PRIMARY KEY ("id"),
    CONSTRAINT "gpu_leases_of_run" FOREIGN KEY ("of_run") REFERENCES {{training_runs}} ("id") ON DELETE RESTRICT,
    CONSTRAINT "gpu_leases_queue" FOREIGN KEY ("queue_id") REFERENCES {{run_queues}} ("id") ON DELETE RESTRICT,
    CONSTRAINT "gpu_leases_node" FOREIGN KEY ("node_id") REFERENCES {{compute_nodes}} ("id") ON DELETE RESTRICT,
    CONSTRAINT "gpu_leases_state" CHECK ("state" IN ('reserved', 'bound', 'releasing', 'released')),
    CONSTRAINT "gpu_leases_attempt_positive" CHECK ("attempt" >= 1),
    CONSTRAINT "gpu_leases_token_not_negative" CHECK ("token" >= 0),
    CONSTRAINT "gpu_leases_gpu_not_negative" CHECK ("gpu_milli" >= 0),
    CONSTRAINT "gpu_leases_cpu_not_negative" CHECK ("cpu_milli" >= 0),
    CONSTRAINT "gpu_leases_memory_not_negative" CHECK ("memory_mib" >= 0),
    CONSTRAINT "gpu_leases_storage_not_negative" CHECK ("storage_mib" >= 0)
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX {{bare:gpu_leases_run}} ON {{gpu_leases}} ("run_id");

CREATE UNIQUE INDEX {{bare:gpu_leases_attempt}} ON {{gpu_leases}} ("of_run", "attempt");

CREATE INDEX {{bare:gpu_leases_state}} ON {{gpu_leases}} ("state", "id");

CREATE INDEX {{bare:gpu_leases_queue}} ON {{gpu_leases}} ("queue_id", "id");

CREATE INDEX {{bare:gpu_leases_node}} ON {{gpu_leases}} ("node_id", "id");
