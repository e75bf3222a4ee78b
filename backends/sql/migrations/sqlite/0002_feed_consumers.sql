CREATE TABLE {{feed_consumers}} (
    "name" TEXT NOT NULL,
    "position" INTEGER NOT NULL,
    "batch" BLOB NOT NULL CHECK (length("batch") = 16),
    "revision" INTEGER NOT NULL,
    "version" INTEGER NOT NULL,
    PRIMARY KEY ("name"),
    CONSTRAINT "feed_consumers_position_not_negative" CHECK ("position" >= 0)
) STRICT, WITHOUT ROWID;
