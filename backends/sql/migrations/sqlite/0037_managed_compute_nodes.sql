CREATE TABLE {{managed_compute_nodes}} (
    "id" BLOB NOT NULL CHECK (length("id") = 16),
    "user_id" BLOB NOT NULL CHECK (length("user_id") = 16),
    "node_id" BLOB NOT NULL CHECK (length("node_id") = 16),
    "granted_by" BLOB CHECK (length("granted_by") = 16),
    "expires_at" INTEGER,
    "created_at" INTEGER NOT NULL,
    "revision" INTEGER NOT NULL,
    "version" INTEGER NOT NULL,
    PRIMARY KEY ("id"),
    CONSTRAINT "managed_compute_nodes_user" FOREIGN KEY ("user_id") REFERENCES {{users}} ("id") ON DELETE RESTRICT,
    CONSTRAINT "managed_compute_nodes_node" FOREIGN KEY ("node_id") REFERENCES {{compute_nodes}} ("id") ON DELETE RESTRICT
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX {{bare:managed_compute_nodes_user_node}} ON {{managed_compute_nodes}} ("user_id", "node_id");

CREATE INDEX {{bare:managed_compute_nodes_node}} ON {{managed_compute_nodes}} ("node_id", "id");
