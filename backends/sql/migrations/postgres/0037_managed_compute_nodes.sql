CREATE TABLE {{managed_compute_nodes}} (
    "id" uuid NOT NULL,
    "user_id" uuid NOT NULL,
    "node_id" uuid NOT NULL,
    "granted_by" uuid,
    "expires_at" timestamptz,
    "created_at" timestamptz NOT NULL,
    "revision" bigint NOT NULL,
    "version" bigint NOT NULL,
    PRIMARY KEY ("id"),
    CONSTRAINT "managed_compute_nodes_user" FOREIGN KEY ("user_id") REFERENCES {{users}} ("id") ON DELETE RESTRICT,
    CONSTRAINT "managed_compute_nodes_node" FOREIGN KEY ("node_id") REFERENCES {{compute_nodes}} ("id") ON DELETE RESTRICT
);

CREATE UNIQUE INDEX {{bare:managed_compute_nodes_user_node}} ON {{managed_compute_nodes}} ("user_id", "node_id");

CREATE INDEX {{bare:managed_compute_nodes_node}} ON {{managed_compute_nodes}} ("node_id", "id");
