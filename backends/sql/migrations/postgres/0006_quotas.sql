CREATE TABLE {{quotas}} (
    "account_id" uuid NOT NULL,
    "instances" bigint NOT NULL DEFAULT 0,
    "instance_limit" bigint NOT NULL,
    "nodes" bigint NOT NULL DEFAULT 0,
    "node_limit" bigint NOT NULL,
    "gpu_milli" bigint NOT NULL DEFAULT 0,
    "gpu_milli_limit" bigint,
    "revision" bigint NOT NULL,
    "version" bigint NOT NULL,
    PRIMARY KEY ("account_id"),
    CONSTRAINT "quotas_user" FOREIGN KEY ("account_id") REFERENCES {{users}} ("id") ON DELETE RESTRICT,
    CONSTRAINT "quotas_instances_not_negative" CHECK ("instances" >= 0),
    CONSTRAINT "quotas_instance_limit_not_negative" CHECK ("instance_limit" >= 0),
    CONSTRAINT "quotas_nodes_not_negative" CHECK ("nodes" >= 0),
    CONSTRAINT "quotas_node_limit_not_negative" CHECK ("node_limit" >= 0),
    CONSTRAINT "quotas_gpu_milli_not_negative" CHECK ("gpu_milli" >= 0),
    CONSTRAINT "quotas_gpu_milli_limit_not_negative" CHECK ("gpu_milli_limit" >= 0)
);
