CREATE TABLE {{gpu_leases}} (
    "id" uuid NOT NULL,
    "run_id" uuid,
    "of_run" uuid NOT NULL,
    "attempt" bigint NOT NULL,
    "account_id" uuid NOT NULL,
    "queue_id" uuid,
    "state" text COLLATE "C" NOT NULL,
    "token" bigint NOT NULL DEFAULT 0,
    "worker" text COLLATE "C",
    "node_id" uuid,
    "session" bigint,
    "gpu_milli" bigint NOT NULL,
    "cpu_milli" bigint NOT NULL,
    "memory_mib" bigint NOT NULL,
    "storage_mib" bigint NOT NULL,
    "charged_until" timestamptz NOT NULL,
    "reason" text COLLATE "C",
    "created_at" timestamptz NOT NULL,
    "bound_at" timestamptz,
    "released_at" timestamptz,
    "revision" bigint NOT NULL,
    "version" bigint NOT NULL,
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
);

CREATE UNIQUE INDEX {{bare:gpu_leases_run}} ON {{gpu_leases}} ("run_id" NULLS FIRST);

CREATE UNIQUE INDEX {{bare:gpu_leases_attempt}} ON {{gpu_leases}} ("of_run", "attempt");

CREATE INDEX {{bare:gpu_leases_state}} ON {{gpu_leases}} ("state", "id");

CREATE INDEX {{bare:gpu_leases_queue}} ON {{gpu_leases}} ("queue_id" NULLS FIRST, "id");

CREATE INDEX {{bare:gpu_leases_node}} ON {{gpu_leases}} ("node_id" NULLS FIRST, "id");
