CREATE TABLE {{gpus}} (
    "id" uuid NOT NULL,
    "node_id" uuid,
    "slot" bigint NOT NULL,
    "model" text COLLATE "C" NOT NULL,
    "memory_mib" bigint,
    "health" text COLLATE "C" NOT NULL,
    "used_milli" bigint NOT NULL DEFAULT 0,
    "instance_id" text COLLATE "C",
    "created_at" timestamptz NOT NULL,
    "updated_at" timestamptz NOT NULL,
    "revision" bigint NOT NULL,
    "version" bigint NOT NULL,
    PRIMARY KEY ("id"),
    CONSTRAINT "gpus_node" FOREIGN KEY ("node_id") REFERENCES {{compute_nodes}} ("id") ON DELETE RESTRICT,
    CONSTRAINT "gpus_slot_not_negative" CHECK ("slot" >= 0),
    CONSTRAINT "gpus_memory_not_negative" CHECK ("memory_mib" >= 0),
    CONSTRAINT "gpus_health" CHECK ("health" IN ('healthy', 'quarantined', 'gone')),
    CONSTRAINT "gpus_used_not_negative" CHECK ("used_milli" >= 0),
    CONSTRAINT "gpus_used_at_most_whole" CHECK ("used_milli" <= 1000)
);

CREATE UNIQUE INDEX {{bare:gpus_node_slot}} ON {{gpus}} ("node_id" NULLS FIRST, "slot");

CREATE UNIQUE INDEX {{bare:gpus_instance_id}} ON {{gpus}} ("instance_id" NULLS FIRST);
