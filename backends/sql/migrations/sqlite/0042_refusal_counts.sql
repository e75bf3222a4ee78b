CREATE TABLE {{refusal_counts}} (
    "log_id" BLOB NOT NULL CHECK (length("log_id") = 16),
    "refusals" INTEGER NOT NULL DEFAULT 0,
    "revision" INTEGER NOT NULL,
    "version" INTEGER NOT NULL,
    PRIMARY KEY ("log_id"),
    CONSTRAINT "refusal_counts_not_negative" CHECK ("refusals" >= 0)
) STRICT, WITHOUT ROWID;
