CREATE TABLE {{lease_nodes}} (
    "lease_id" BLOB NOT NULL CHECK (length("lease_id") = 16),
    "of_node" BLOB NOT NULL CHECK (length("of_node") = 16),
    "node_id" BLOB CHECK (length("node_id") = 16),
    "members" INTEGER NOT NULL,
    "cpu_milli" INTEGER NOT NULL,
    "memory_mib" INTEGER NOT NULL,
    "storage_mib" INTEGER NOT NULL,
    "gpu_milli" INTEGER NOT NULL,
    "revision" INTEGER NOT NULL,
    "version" INTEGER NOT NULL,
    PRIMARY KEY ("lease_id", "of_node"),
    CONSTRAINT "lease_nodes_lease" FOREIGN KEY ("lease_id") REFERENCES {{gpu_leases}} ("id") ON DELETE RESTRICT,
    CONSTRAINT "lease_nodes_node" FOREIGN KEY ("node_id") REFERENCES {{compute_nodes}} ("id") ON DELETE RESTRICT,
    CONSTRAINT "lease_nodes_members_positive" CHECK ("members" >= 1),
    CONSTRAINT "lease_nodes_cpu_not_negative" CHECK ("cpu_milli" >= 0),
    CONSTRAINT "lease_nodes_memory_not_negative" CHECK ("memory_mib" >= 0),
    CONSTRAINT "lease_nodes_storage_not_negative" CHECK ("storage_mib" >= 0),
    CONSTRAINT "lease_nodes_gpu_not_negative" CHECK ("gpu_milli" >= 0)
) STRICT, WITHOUT ROWID;

CREATE INDEX {{bare:lease_nodes_node}} ON {{lease_nodes}} ("node_id", "lease_id", "of_node");
