CREATE TABLE {{api_keys}} (
    "id" uuid NOT NULL,
    "user_id" uuid NOT NULL,
    "name" text COLLATE "C" NOT NULL,
    "kind" text COLLATE "C" NOT NULL,
    "hint" text COLLATE "C" NOT NULL,
    "hash" text COLLATE "C" NOT NULL,
    "scopes" jsonb NOT NULL,
    "node_id" uuid,
    "replaces_id" uuid,
    "expires_at" timestamptz,
    "created_at" timestamptz NOT NULL,
    "updated_at" timestamptz NOT NULL,
    "revision" bigint NOT NULL,
    "version" bigint NOT NULL,
    PRIMARY KEY ("id"),
    CONSTRAINT "api_keys_user" FOREIGN KEY ("user_id") REFERENCES {{users}} ("id") ON DELETE RESTRICT,
    CONSTRAINT "api_keys_node" FOREIGN KEY ("node_id") REFERENCES {{compute_nodes}} ("id") ON DELETE RESTRICT,
    CONSTRAINT "api_keys_kind" CHECK ("kind" IN ('user', 'node_agent'))
);

CREATE UNIQUE INDEX {{bare:api_keys_hash}} ON {{api_keys}} ("hash");

CREATE INDEX {{bare:api_keys_user}} ON {{api_keys}} ("user_id", "id");

CREATE INDEX {{bare:api_keys_node}} ON {{api_keys}} ("node_id" NULLS FIRST, "id");
