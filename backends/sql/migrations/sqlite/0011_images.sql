CREATE TABLE {{images}} (
    "id" BLOB NOT NULL CHECK (length("id") = 16),
    "node_id" BLOB NOT NULL CHECK (length("node_id") = 16),
    "name" TEXT,
    "status" TEXT NOT NULL,
    "key" TEXT,
    "url" TEXT,
    "remote" TEXT,
    "size_mib" INTEGER,
    "os_hint" TEXT,
    "description" TEXT,
    "published" INTEGER NOT NULL DEFAULT 0 CHECK ("published" IN (0, 1)),
    "native_timestamp" INTEGER NOT NULL,
    "created_at" INTEGER NOT NULL,
    "updated_at" INTEGER NOT NULL,
    "revision" INTEGER NOT NULL,
    "version" INTEGER NOT NULL,
    PRIMARY KEY ("id"),
    CONSTRAINT "images_node" FOREIGN KEY ("node_id") REFERENCES {{compute_nodes}} ("id") ON DELETE RESTRICT,
    CONSTRAINT "images_status" CHECK ("status" IN ('fetching', 'ready', 'failed')),
    CONSTRAINT "images_size_not_negative" CHECK ("size_mib" >= 0)
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX {{bare:images_node_key}} ON {{images}} ("node_id", "key");

CREATE UNIQUE INDEX {{bare:images_node_url}} ON {{images}} ("node_id", "url");

CREATE INDEX {{bare:images_node}} ON {{images}} ("node_id", "id");
