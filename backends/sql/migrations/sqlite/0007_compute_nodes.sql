CREATE TABLE {{compute_nodes}} (
    "id" BLOB NOT NULL CHECK (length("id") = 16),
    "owner_id" BLOB NOT NULL CHECK (length("owner_id") = 16),
    "name" TEXT NOT NULL,
    "arch" TEXT,
    "platform" TEXT,
    "cpu_info" TEXT,
    "gpu_driver" TEXT,
    "gpu_info" TEXT,
    "gpu_model" TEXT,
    "nvidia_docker" INTEGER NOT NULL DEFAULT 0 CHECK ("nvidia_docker" IN (0, 1)),
    "manipulator_driver" TEXT DEFAULT 'docker',
    "use_ipv4" INTEGER NOT NULL DEFAULT 1 CHECK ("use_ipv4" IN (0, 1)),
    "use_ipv6" INTEGER NOT NULL DEFAULT 0 CHECK ("use_ipv6" IN (0, 1)),
    "ipv4" TEXT,
    "ipv6" TEXT,
    "ipv4_ports" TEXT CHECK (json_valid("ipv4_ports")),
    "ipv6_ports" TEXT CHECK (json_valid("ipv6_ports")),
    "free_storage_mib" INTEGER,
    "created_at" INTEGER NOT NULL,
    "updated_at" INTEGER NOT NULL,
    "revision" INTEGER NOT NULL,
    "version" INTEGER NOT NULL,
    PRIMARY KEY ("id"),
    CONSTRAINT "compute_nodes_owner" FOREIGN KEY ("owner_id") REFERENCES {{users}} ("id") ON DELETE RESTRICT,
    CONSTRAINT "compute_nodes_gpu_driver" CHECK ("gpu_driver" IN ('cuda', 'rocm')),
    CONSTRAINT "compute_nodes_free_storage_not_negative" CHECK ("free_storage_mib" >= 0)
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX {{bare:compute_nodes_owner_name}} ON {{compute_nodes}} ("owner_id", "name");

CREATE INDEX {{bare:compute_nodes_owner}} ON {{compute_nodes}} ("owner_id", "id");
