CREATE TABLE {{foreign_instances}} (
    "id" BLOB NOT NULL CHECK (length("id") = 16),
    "node_id" BLOB NOT NULL CHECK (length("node_id") = 16),
    "key" TEXT NOT NULL,
    "name" TEXT,
    "status_info" TEXT,
    "cpu_milli" INTEGER NOT NULL DEFAULT 0,
    "memory_mib" INTEGER NOT NULL DEFAULT 0,
    "storage_mib" INTEGER NOT NULL DEFAULT 0,
    "left_by" BLOB CHECK (length("left_by") = 16),
    "command_id" BLOB CHECK (length("command_id") = 16),
    "created_at" INTEGER NOT NULL,
    "updated_at" INTEGER NOT NULL,
    "revision" INTEGER NOT NULL,
    "version" INTEGER NOT NULL,
    PRIMARY KEY ("id"),
    CONSTRAINT "foreign_instances_node" FOREIGN KEY ("node_id") REFERENCES {{compute_nodes}} ("id") ON DELETE RESTRICT,
    CONSTRAINT "foreign_instances_cpu_not_negative" CHECK ("cpu_milli" >= 0),
    CONSTRAINT "foreign_instances_memory_not_negative" CHECK ("memory_mib" >= 0),
    CONSTRAINT "foreign_instances_storage_not_negative" CHECK ("storage_mib" >= 0)
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX {{bare:foreign_instances_node_key}} ON {{foreign_instances}} ("node_id", "key");
