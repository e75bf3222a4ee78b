CREATE TABLE {{gpus}} (
    "id" BLOB NOT NULL CHECK (length("id") = 16),
    "node_id" BLOB CHECK (length("node_id") = 16),
    "slot" INTEGER NOT NULL,
    "model" TEXT NOT NULL,
    "memory_mib" INTEGER,
    "health" TEXT NOT NULL,
    "used_milli" INTEGER NOT NULL DEFAULT 0,
    "instance_id" TEXT,
    "created_at" INTEGER NOT NULL,
    "updated_at" INTEGER NOT NULL,
    "revision" INTEGER NOT NULL,
    "version" INTEGER NOT NULL,
    PRIMARY KEY ("id"),
    CONSTRAINT "gpus_node" FOREIGN KEY ("node_id") REFERENCES {{compute_nodes}} ("id") ON DELETE RESTRICT,
    CONSTRAINT "gpus_slot_not_negative" CHECK ("slot" >= 0),
    CONSTRAINT "gpus_memory_not_negative" CHECK ("memory_mib" >= 0),
    CONSTRAINT "gpus_health" CHECK ("health" IN ('healthy', 'quarantined', 'gone')),
    CONSTRAINT "gpus_used_not_negative" CHECK ("used_milli" >= 0),
    CONSTRAINT "gpus_used_at_most_whole" CHECK ("used_milli" <= 1000)
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX {{bare:gpus_node_slot}} ON {{gpus}} ("node_id", "slot");

CREATE UNIQUE INDEX {{bare:gpus_instance_id}} ON {{gpus}} ("instance_id");
