CREATE TABLE "apportion"."kernel_receipts" (
    "batch" uuid NOT NULL,
    "at" timestamptz NOT NULL,
    "fingerprint" uuid,
    PRIMARY KEY ("batch")
);

CREATE INDEX "kernel_receipts_at" ON "apportion"."kernel_receipts" ("at");

CREATE TABLE "apportion"."kernel_feed" (
    "batch" uuid NOT NULL,
    "arrival" bigint NOT NULL,
    "place" bigint NOT NULL,
    "position" bigint,
    "at" timestamptz NOT NULL,
    "actor" uuid,
    "operation" text COLLATE "C" NOT NULL,
    "fingerprint" uuid NOT NULL,
    "changes" bytea NOT NULL,
    PRIMARY KEY ("batch")
);

CREATE UNIQUE INDEX "kernel_feed_position" ON "apportion"."kernel_feed" ("position" NULLS FIRST);

CREATE TABLE "apportion"."kernel_head" (
    "id" bigint NOT NULL,
    "position" bigint NOT NULL,
    "batch" uuid NOT NULL,
    "low_position" bigint NOT NULL,
    "low_batch" uuid NOT NULL,
    "last_at" timestamptz NOT NULL,
    PRIMARY KEY ("id"),
    CONSTRAINT "kernel_head_one" CHECK ("id" = 1)
);

INSERT INTO "apportion"."kernel_head" ("id", "position", "batch", "low_position", "low_batch", "last_at")
    VALUES (1, 0, '00000000-0000-0000-0000-000000000000', 0, '00000000-0000-0000-0000-000000000000', '0001-01-01T00:00:00Z')
    ON CONFLICT DO NOTHING;

CREATE TABLE IF NOT EXISTS "apportion"."kernel_migrations" (
    "name" text COLLATE "C" NOT NULL,
    "checksum" text COLLATE "C" NOT NULL,
    "applied_at" timestamptz NOT NULL,
    PRIMARY KEY ("name")
);

CREATE TABLE "apportion"."kernel_meta" (
    "key" text COLLATE "C" NOT NULL,
    "value" text COLLATE "C" NOT NULL,
    PRIMARY KEY ("key")
);

INSERT INTO "apportion"."kernel_meta" ("key", "value")
    VALUES ('min_writer', '1')
    ON CONFLICT DO NOTHING;

CREATE SEQUENCE "apportion"."kernel_arrivals";
