CREATE TABLE "apportion_kernel_receipts" (
    "batch" BLOB NOT NULL CHECK (length("batch") = 16),
    "at" INTEGER NOT NULL,
    "fingerprint" BLOB CHECK (length("fingerprint") = 16),
    PRIMARY KEY ("batch")
) STRICT, WITHOUT ROWID;

CREATE INDEX "apportion_kernel_receipts_at" ON "apportion_kernel_receipts" ("at");

CREATE TABLE "apportion_kernel_feed" (
    "batch" BLOB NOT NULL CHECK (length("batch") = 16),
    "arrival" INTEGER NOT NULL,
    "place" INTEGER NOT NULL,
    "position" INTEGER,
    "at" INTEGER NOT NULL,
    "actor" BLOB CHECK (length("actor") = 16),
    "operation" TEXT NOT NULL,
    "fingerprint" BLOB NOT NULL CHECK (length("fingerprint") = 16),
    "changes" BLOB NOT NULL,
    PRIMARY KEY ("batch")
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX "apportion_kernel_feed_position" ON "apportion_kernel_feed" ("position");

CREATE TABLE "apportion_kernel_head" (
    "id" INTEGER NOT NULL,
    "position" INTEGER NOT NULL,
    "batch" BLOB NOT NULL CHECK (length("batch") = 16),
    "low_position" INTEGER NOT NULL,
    "low_batch" BLOB NOT NULL CHECK (length("low_batch") = 16),
    "last_at" INTEGER NOT NULL,
    PRIMARY KEY ("id"),
    CONSTRAINT "kernel_head_one" CHECK ("id" = 1)
) STRICT, WITHOUT ROWID;

INSERT INTO "apportion_kernel_head" ("id", "position", "batch", "low_position", "low_batch", "last_at")
    VALUES (1, 0, zeroblob(16), 0, zeroblob(16), -62135596800000000)
    ON CONFLICT DO NOTHING;

CREATE TABLE IF NOT EXISTS "apportion_kernel_migrations" (
    "name" TEXT NOT NULL,
    "checksum" TEXT NOT NULL,
    "applied_at" INTEGER NOT NULL,
    PRIMARY KEY ("name")
) STRICT, WITHOUT ROWID;

CREATE TABLE "apportion_kernel_meta" (
    "key" TEXT NOT NULL,
    "value" TEXT NOT NULL,
    PRIMARY KEY ("key")
) STRICT, WITHOUT ROWID;

INSERT INTO "apportion_kernel_meta" ("key", "value")
    VALUES ('min_writer', '1')
    ON CONFLICT DO NOTHING;
