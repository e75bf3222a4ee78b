CREATE TABLE {{quotas}} (
    "account_id" BLOB NOT NULL CHECK (length("account_id") = 16),
    "instances" INTEGER NOT NULL DEFAULT 0,
    "instance_limit" INTEGER NOT NULL,
    "nodes" INTEGER NOT NULL DEFAULT 0,
    "node_limit" INTEGER NOT NULL,
    "gpu_milli" INTEGER NOT NULL DEFAULT 0,
    "gpu_milli_limit" INTEGER,
    "revision" INTEGER NOT NULL,
    "version" INTEGER NOT NULL,
    PRIMARY KEY ("account_id"),
    CONSTRAINT "quotas_user" FOREIGN KEY ("account_id") REFERENCES {{users}} ("id") ON DELETE RESTRICT,
    CONSTRAINT "quotas_instances_not_negative" CHECK ("instances" >= 0),
    CONSTRAINT "quotas_instance_limit_not_negative" CHECK ("instance_limit" >= 0),
    CONSTRAINT "quotas_nodes_not_negative" CHECK ("nodes" >= 0),
    CONSTRAINT "quotas_node_limit_not_negative" CHECK ("node_limit" >= 0),
    CONSTRAINT "quotas_gpu_milli_not_negative" CHECK ("gpu_milli" >= 0),
    CONSTRAINT "quotas_gpu_milli_limit_not_negative" CHECK ("gpu_milli_limit" >= 0)
) STRICT, WITHOUT ROWID;
