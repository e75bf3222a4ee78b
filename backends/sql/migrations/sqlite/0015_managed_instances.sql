CREATE TABLE {{managed_instances}} (
    "id" BLOB NOT NULL CHECK (length("id") = 16),
    "user_id" BLOB NOT NULL CHECK (length("user_id") = 16),
    "node_id" BLOB NOT NULL CHECK (length("node_id") = 16),
    "instance_id" BLOB NOT NULL CHECK (length("instance_id") = 16),
    "created_at" INTEGER NOT NULL,
    "revision" INTEGER NOT NULL,
    "version" INTEGER NOT NULL,
    PRIMARY KEY ("id"),
    CONSTRAINT "managed_instances_user" FOREIGN KEY ("user_id") REFERENCES {{users}} ("id") ON DELETE RESTRICT,
    CONSTRAINT "managed_instances_node" FOREIGN KEY ("node_id") REFERENCES {{compute_nodes}} ("id") ON DELETE RESTRICT,
    CONSTRAINT "managed_instances_instance" FOREIGN KEY ("instance_id") REFERENCES {{instances}} ("id") ON DELETE RESTRICT
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX {{bare:managed_instances_user_instance}} ON {{managed_instances}} ("user_id", "instance_id");

CREATE INDEX {{bare:managed_instances_node}} ON {{managed_instances}} ("node_id", "id");

CREATE INDEX {{bare:managed_instances_instance}} ON {{managed_instances}} ("instance_id", "id");
