CREATE TABLE {{instances}} (
    "id" BLOB NOT NULL CHECK (length("id") = 16),
    "owner_id" BLOB NOT NULL CHECK (length("owner_id") = 16),
    "name" TEXT NOT NULL,
    "live_name" TEXT,
    "node_id" BLOB CHECK (length("node_id") = 16),
    "last_node_id" BLOB NOT NULL CHECK (length("last_node_id") = 16),
    "image_id" BLOB CHECK (length("image_id") = 16),
    "key" TEXT,
    "state" TEXT NOT NULL,
    "status_info" TEXT,
    "ipv4" TEXT,
    "ipv6" TEXT,
    "local_ipv4" TEXT,
    "local_ipv6" TEXT,
    "cpu_milli" INTEGER NOT NULL,
    "memory_mib" INTEGER NOT NULL,
    "storage_mib" INTEGER NOT NULL,
    "total_storage_mib" INTEGER,
    "gpu_count" INTEGER NOT NULL,
    "gpu_milli" INTEGER NOT NULL,
    "gpu_models" TEXT CHECK (json_valid("gpu_models")),
    "description" TEXT,
    "network_mode" TEXT NOT NULL,
    "ssh_key_name" TEXT,
    "ssh_key" TEXT,
    "base_image" TEXT,
    "request_fingerprint" TEXT NOT NULL,
    "created_at" INTEGER NOT NULL,
    "updated_at" INTEGER NOT NULL,
    "revision" INTEGER NOT NULL,
    "version" INTEGER NOT NULL,
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
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX {{bare:instances_owner_live_name}} ON {{instances}} ("owner_id", "live_name");

CREATE UNIQUE INDEX {{bare:instances_node_key}} ON {{instances}} ("node_id", "key");

CREATE INDEX {{bare:instances_owner}} ON {{instances}} ("owner_id", "id");

CREATE INDEX {{bare:instances_node}} ON {{instances}} ("node_id", "id");

CREATE INDEX {{bare:instances_image}} ON {{instances}} ("image_id", "id");
