CREATE TABLE {{audit_heads}} (
    "id" text COLLATE "C" NOT NULL,
    "count" bigint NOT NULL,
    "hash" text COLLATE "C" NOT NULL,
    "position" bigint NOT NULL,
    "batch" uuid NOT NULL,
    "sealed_at" timestamptz NOT NULL,
    "revision" bigint NOT NULL,
    "version" bigint NOT NULL,
    PRIMARY KEY ("id")
);
