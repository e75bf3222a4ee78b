CREATE TABLE {{instances}} (
    "id" uuid NOT NULL,
    "owner_id" uuid NOT NULL,
    "name" text COLLATE "C" NOT NULL,
    "live_name" text COLLATE "C",
    "node_id" uuid,
    "last_node_id" uuid NOT NULL,
    "image_id" uuid,
    "key" text COLLATE "C",
    "state" text COLLATE "C" NOT NULL,
    "status_info" text COLLATE "C",
    "ipv4" text COLLATE "C",
    "ipv6" text COLLATE "C",
    "local_ipv4" text COLLATE "C",
    "local_ipv6" text COLLATE "C",
    "cpu_milli" bigint NOT NULL,
    "memory_mib" bigint NOT NULL,
    "storage_mib" bigint NOT NULL,
    "total_storage_mib" bigint,
    "gpu_count" bigint NOT NULL,
    "gpu_milli" bigint NOT NULL,
    "gpu_models" jsonb,
    "description" text COLLATE "C",
    "network_mode" text COLLATE "C" NOT NULL,
    "ssh_key_name" text COLLATE "C",
    "ssh_key" text COLLATE "C",
    "base_image" text COLLATE "C",
    "request_fingerprint" text COLLATE "C" NOT NULL,
    "created_at" timestamptz NOT NULL,
    "updated_at" timestamptz NOT NULL,
    "revision" bigint NOT NULL,
    "version" bigint NOT NULL,
    PRIMARY KEY ("id"),
    CONSTRAINT "instances_owner" FOREIGN KEY ("owner_id") REFERENCES {{users}} ("id") ON DELETE RESTRICT,
    CONSTRAINT "instances_node" FOREIGN KEY ("node_id") REFERENCES {{compute_nodes}} ("id") ON DELETE RESTRICT,
    CONSTRAINT "instances_image" FOREIGN KEY ("image_id") REFERENCES {{images}} ("id") ON DELETE RESTRICT,
    CONSTRAINT "instances_state" CHECK ("state" IN ('requested', 'creating', 'running', 'stopped', 'deleting', 'deleted', 'failed', 'lost')),
    CONSTRAINT "instances_network_mode" CHECK ("network_mode" IN ('host', 'bridge')),
    CONSTRAINT "instances_live_together" CHECK (("live_name" IS NULL) = ("node_id" IS NULL)),
    CONSTRAINT "instances_cpu_not_negative" CHECK ("cpu_milli" >= 0),
    CONSTRAINT "instances_memory_not_negative" CHECK ("memory_mib" >= 0),
    CONSTRAINT "instances_storage_not_negative" CHECK ("storage_mib" >= 0),
    CONSTRAINT "instances_total_storage_not_negative" CHECK ("total_storage_mib" >= 0),
    CONSTRAINT "instances_gpu_count_not_negative" CHECK ("gpu_count" >= 0),
    CONSTRAINT "instances_gpu_milli_not_negative" CHECK ("gpu_milli" >= 0),
    CONSTRAINT "instances_gpu_milli_at_most_whole" CHECK ("gpu_milli" <= 1000)
);

CREATE UNIQUE INDEX {{bare:instances_owner_live_name}} ON {{instances}} ("owner_id", "live_name" NULLS FIRST);

CREATE UNIQUE INDEX {{bare:instances_node_key}} ON {{instances}} ("node_id" NULLS FIRST, "key" NULLS FIRST);

CREATE INDEX {{bare:instances_owner}} ON {{instances}} ("owner_id", "id");

CREATE INDEX {{bare:instances_node}} ON {{instances}} ("node_id" NULLS FIRST, "id");

CREATE INDEX {{bare:instances_image}} ON {{instances}} ("image_id" NULLS FIRST, "id");
