CREATE TABLE {{managed_instances}} (
    "id" uuid NOT NULL,
    "user_id" uuid NOT NULL,
    "node_id" uuid NOT NULL,
    "instance_id" uuid NOT NULL,
    "created_at" timestamptz NOT NULL,
    "revision" bigint NOT NULL,
    "version" bigint NOT NULL,
    PRIMARY KEY ("id"),
    CONSTRAINT "managed_instances_user" FOREIGN KEY ("user_id") REFERENCES {{users}} ("id") ON DELETE RESTRICT,
    CONSTRAINT "managed_instances_node" FOREIGN KEY ("node_id") REFERENCES {{compute_nodes}} ("id") ON DELETE RESTRICT,
    CONSTRAINT "managed_instances_instance" FOREIGN KEY ("instance_id") REFERENCES {{instances}} ("id") ON DELETE RESTRICT
);

CREATE UNIQUE INDEX {{bare:managed_instances_user_instance}} ON {{managed_instances}} ("user_id", "instance_id");

CREATE INDEX {{bare:managed_instances_node}} ON {{managed_instances}} ("node_id", "id");

CREATE INDEX {{bare:managed_instances_instance}} ON {{managed_instances}} ("instance_id", "id");
