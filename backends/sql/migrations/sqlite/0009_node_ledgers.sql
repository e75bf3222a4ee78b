CREATE TABLE {{node_ledgers}} (
    "node_id" BLOB NOT NULL CHECK (length("node_id") = 16),
    "cpu_milli" INTEGER NOT NULL DEFAULT 0,
    "cpu_milli_total" INTEGER NOT NULL DEFAULT 0,
    "memory_mib" INTEGER NOT NULL DEFAULT 0,
    "memory_mib_total" INTEGER NOT NULL DEFAULT 0,
    "storage_mib" INTEGER NOT NULL DEFAULT 0,
    "storage_mib_total" INTEGER NOT NULL DEFAULT 0,
    "gpu_milli" INTEGER NOT NULL DEFAULT 0,
    "gpu_milli_total" INTEGER NOT NULL DEFAULT 0,
    "instances" INTEGER NOT NULL DEFAULT 0,
    "revision" INTEGER NOT NULL,
    "version" INTEGER NOT NULL,
    PRIMARY KEY ("node_id"),
    CONSTRAINT "node_ledgers_node" FOREIGN KEY ("node_id") REFERENCES {{compute_nodes}} ("id") ON DELETE RESTRICT,
    CONSTRAINT "node_ledgers_cpu_not_negative" CHECK ("cpu_milli" >= 0),
    CONSTRAINT "node_ledgers_cpu_total_not_negative" CHECK ("cpu_milli_total" >= 0),
    CONSTRAINT "node_ledgers_memory_not_negative" CHECK ("memory_mib" >= 0),
    CONSTRAINT "node_ledgers_memory_total_not_negative" CHECK ("memory_mib_total" >= 0),
    CONSTRAINT "node_ledgers_storage_not_negative" CHECK ("storage_mib" >= 0),
    CONSTRAINT "node_ledgers_storage_total_not_negative" CHECK ("storage_mib_total" >= 0),
    CONSTRAINT "node_ledgers_gpu_not_negative" CHECK ("gpu_milli" >= 0),
    CONSTRAINT "node_ledgers_gpu_total_not_negative" CHECK ("gpu_milli_total" >= 0),
    CONSTRAINT "node_ledgers_instances_not_negative" CHECK ("instances" >= 0)
) STRICT, WITHOUT ROWID;

CREATE INDEX {{bare:node_ledgers_node}} ON {{node_ledgers}} ("node_id");
