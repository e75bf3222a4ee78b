CREATE TABLE {{node_lifecycles}} (
    "node_id" BLOB NOT NULL CHECK (length("node_id") = 16),
    "state" TEXT NOT NULL,
    "revision" INTEGER NOT NULL,
    "version" INTEGER NOT NULL,
    PRIMARY KEY ("node_id"),
    CONSTRAINT "node_lifecycles_node" FOREIGN KEY ("node_id") REFERENCES {{compute_nodes}} ("id") ON DELETE RESTRICT,
    CONSTRAINT "node_lifecycles_state" CHECK ("state" IN ('initializing', 'active', 'draining', 'cordoned', 'unknown', 'dead'))
) STRICT, WITHOUT ROWID;
