CREATE TABLE {{audit_heads}} (
    "id" TEXT NOT NULL,
    "count" INTEGER NOT NULL,
    "hash" TEXT NOT NULL,
    "position" INTEGER NOT NULL,
    "batch" BLOB NOT NULL CHECK (length("batch") = 16),
    "sealed_at" INTEGER NOT NULL,
    "revision" INTEGER NOT NULL,
    "version" INTEGER NOT NULL,
    PRIMARY KEY ("id")
) STRICT, WITHOUT ROWID;
