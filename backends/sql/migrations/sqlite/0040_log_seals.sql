CREATE TABLE {{log_seals}} (
    "sequence" INTEGER NOT NULL,
    "log_id" BLOB NOT NULL CHECK (length("log_id") = 16),
    "position" INTEGER NOT NULL,
    "hash" TEXT NOT NULL,
    "revision" INTEGER NOT NULL,
    "version" INTEGER NOT NULL,
    PRIMARY KEY ("sequence"),
    CONSTRAINT "log_seals_sequence_positive" CHECK ("sequence" >= 1)
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX {{bare:log_seals_log}} ON {{log_seals}} ("log_id");
