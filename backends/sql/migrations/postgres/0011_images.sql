CREATE TABLE {{images}} (
    "id" uuid NOT NULL,
    "node_id" uuid NOT NULL,
    "name" text COLLATE "C",
    "status" text COLLATE "C" NOT NULL,
    "key" text COLLATE "C",
    "url" text COLLATE "C",
    "remote" text COLLATE "C",
    "size_mib" bigint,
    "os_hint" text COLLATE "C",
    "description" text COLLATE "C",
    "published" boolean NOT NULL DEFAULT false,
    "native_timestamp" timestamptz NOT NULL,
    "created_at" timestamptz NOT NULL,
    "updated_at" timestamptz NOT NULL,
    "revision" bigint NOT NULL,
    "version" bigint NOT NULL,
    PRIMARY KEY ("id"),
    CONSTRAINT "images_node" FOREIGN KEY ("node_id") REFERENCES {{compute_nodes}} ("id") ON DELETE RESTRICT,
    CONSTRAINT "images_status" CHECK ("status" IN ('fetching', 'ready', 'failed')),
    CONSTRAINT "images_size_not_negative" CHECK ("size_mib" >= 0)
);

CREATE UNIQUE INDEX {{bare:images_node_key}} ON {{images}} ("node_id", "key" NULLS FIRST);

CREATE UNIQUE INDEX {{bare:images_node_url}} ON {{images}} ("node_id", "url" NULLS FIRST);

CREATE INDEX {{bare:images_node}} ON {{images}} ("node_id", "id");
