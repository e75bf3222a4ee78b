CREATE TABLE {{lease_nodes}} (
    "lease_id" uuid NOT NULL,
    "of_node" uuid NOT NULL,
    "node_id" uuid,
    "members" bigint NOT NULL,
    "cpu_milli" bigint NOT NULL,
    "memory_mib" bigint NOT NULL,
    "storage_mib" bigint NOT NULL,
    "gpu_milli" bigint NOT NULL,
    "revision" bigint NOT NULL,
    "version" bigint NOT NULL,
    PRIMARY KEY ("lease_id", "of_node"),
    CONSTRAINT "lease_nodes_lease" FOREIGN KEY ("lease_id") REFERENCES {{gpu_leases}} ("id") ON DELETE RESTRICT,
    CONSTRAINT "lease_nodes_node" FOREIGN KEY ("node_id") REFERENCES {{compute_nodes}} ("id") ON DELETE RESTRICT,
    CONSTRAINT "lease_nodes_members_positive" CHECK ("members" >= 1),
    CONSTRAINT "lease_nodes_cpu_not_negative" CHECK ("cpu_milli" >= 0),
    CONSTRAINT "lease_nodes_memory_not_negative" CHECK ("memory_mib" >= 0),
    CONSTRAINT "lease_nodes_storage_not_negative" CHECK ("storage_mib" >= 0),
    CONSTRAINT "lease_nodes_gpu_not_negative" CHECK ("gpu_milli" >= 0)
);

CREATE INDEX {{bare:lease_nodes_node}} ON {{lease_nodes}} ("node_id" NULLS FIRST, "lease_id", "of_node");
