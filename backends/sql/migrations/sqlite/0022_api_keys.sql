CREATE TABLE {{api_keys}} (
    "id" BLOB NOT NULL CHECK (length("id") = 16),
    "user_id" BLOB NOT NULL CHECK (length("user_id") = 16),
    "name" TEXT NOT NULL,
    "kind" TEXT NOT NULL,
    "hint" TEXT NOT NULL,
    "hash" TEXT NOT NULL,
    "scopes" TEXT NOT NULL CHECK (json_valid("scopes")),
    "node_id" BLOB CHECK (length("node_id") = 16),
    "replaces_id" BLOB CHECK (length("replaces_id") = 16),
    "expires_at" INTEGER,
    "created_at" INTEGER NOT NULL,
    "updated_at" INTEGER NOT NULL,
    "revision" INTEGER NOT NULL,
    "version" INTEGER NOT NULL,
    PRIMARY KEY ("id"),
    CONSTRAINT "api_keys_user" FOREIGN KEY ("user_id") REFERENCES {{users}} ("id") ON DELETE RESTRICT,
    CONSTRAINT "api_keys_node" FOREIGN KEY ("node_id") REFERENCES {{compute_nodes}} ("id") ON DELETE RESTRICT,
    CONSTRAINT "api_keys_kind" CHECK ("kind" IN ('user', 'node_agent'))
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX {{bare:api_keys_hash}} ON {{api_keys}} ("hash");

CREATE INDEX {{bare:api_keys_user}} ON {{api_keys}} ("user_id", "id");

CREATE INDEX {{bare:api_keys_node}} ON {{api_keys}} ("node_id", "id");
