CREATE TABLE {{node_heartbeats}} (
    "node_id" uuid NOT NULL,
    "session" bigint NOT NULL DEFAULT 0,
    "seen_at" timestamptz NOT NULL,
    "revision" bigint NOT NULL,
    "version" bigint NOT NULL,
    PRIMARY KEY ("node_id"),
    CONSTRAINT "node_heartbeats_node" FOREIGN KEY ("node_id") REFERENCES {{compute_nodes}} ("id") ON DELETE RESTRICT
);
