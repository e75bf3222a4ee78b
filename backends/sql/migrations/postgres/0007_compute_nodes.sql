CREATE TABLE {{compute_nodes}} (
    "id" uuid NOT NULL,
    "owner_id" uuid NOT NULL,
    "name" text COLLATE "C" NOT NULL,
    "arch" text COLLATE "C",
    "platform" text COLLATE "C",
    "cpu_info" text COLLATE "C",
    "gpu_driver" text COLLATE "C",
    "gpu_info" text COLLATE "C",
    "gpu_model" text COLLATE "C",
    "nvidia_docker" boolean NOT NULL DEFAULT false,
    "manipulator_driver" text COLLATE "C" DEFAULT 'docker',
    "use_ipv4" boolean NOT NULL DEFAULT true,
    "use_ipv6" boolean NOT NULL DEFAULT false,
    "ipv4" text COLLATE "C",
    "ipv6" text COLLATE "C",
    "ipv4_ports" jsonb,
    "ipv6_ports" jsonb,
    "free_storage_mib" bigint,
    "created_at" timestamptz NOT NULL,
    "updated_at" timestamptz NOT NULL,
    "revision" bigint NOT NULL,
    "version" bigint NOT NULL,
    PRIMARY KEY ("id"),
    CONSTRAINT "compute_nodes_owner" FOREIGN KEY ("owner_id") REFERENCES {{users}} ("id") ON DELETE RESTRICT,
    CONSTRAINT "compute_nodes_gpu_driver" CHECK ("gpu_driver" IN ('cuda', 'rocm')),
    CONSTRAINT "compute_nodes_free_storage_not_negative" CHECK ("free_storage_mib" >= 0)
);

CREATE UNIQUE INDEX {{bare:compute_nodes_owner_name}} ON {{compute_nodes}} ("owner_id", "name");

CREATE INDEX {{bare:compute_nodes_owner}} ON {{compute_nodes}} ("owner_id", "id");
