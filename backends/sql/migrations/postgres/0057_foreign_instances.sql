CREATE TABLE {{foreign_instances}} (
    "id" uuid NOT NULL,
    "node_id" uuid NOT NULL,
    "key" text COLLATE "C" NOT NULL,
    "name" text COLLATE "C",
    "status_info" text COLLATE "C",
    "cpu_milli" bigint NOT NULL DEFAULT 0,
    "memory_mib" bigint NOT NULL DEFAULT 0,
    "storage_mib" bigint NOT NULL DEFAULT 0,
    "left_by" uuid,
    "command_id" uuid,
    "created_at" timestamptz NOT NULL,
    "updated_at" timestamptz NOT NULL,
    "revision" bigint NOT NULL,
    "version" bigint NOT NULL,
    PRIMARY KEY ("id"),
    CONSTRAINT "foreign_instances_node" FOREIGN KEY ("node_id") REFERENCES {{compute_nodes}} ("id") ON DELETE RESTRICT,
    CONSTRAINT "foreign_instances_cpu_not_negative" CHECK ("cpu_milli" >= 0),
    CONSTRAINT "foreign_instances_memory_not_negative" CHECK ("memory_mib" >= 0),
    CONSTRAINT "foreign_instances_storage_not_negative" CHECK ("storage_mib" >= 0)
);

CREATE UNIQUE INDEX {{bare:foreign_instances_node_key}} ON {{foreign_instances}} ("node_id", "key");
