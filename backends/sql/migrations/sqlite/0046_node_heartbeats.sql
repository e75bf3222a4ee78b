CREATE TABLE {{node_heartbeats}} (
    "node_id" BLOB NOT NULL CHECK (length("node_id") = 16),
    "session" INTEGER NOT NULL DEFAULT 0,
    "seen_at" INTEGER NOT NULL,
    "revision" INTEGER NOT NULL,
    "version" INTEGER NOT NULL,
    PRIMARY KEY ("node_id"),
    CONSTRAINT "node_heartbeats_node" FOREIGN KEY ("node_id") REFERENCES {{compute_nodes}} ("id") ON DELETE RESTRICT
) STRICT, WITHOUT ROWID;
