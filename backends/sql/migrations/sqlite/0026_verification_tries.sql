CREATE TABLE {{verification_tries}} (
    "verification_id" BLOB NOT NULL CHECK (length("verification_id") = 16),
    "attempts" INTEGER NOT NULL DEFAULT 0,
    "last_step" INTEGER NOT NULL DEFAULT -1,
    "window" INTEGER NOT NULL DEFAULT 0,
    "revision" INTEGER NOT NULL,
    "version" INTEGER NOT NULL,
    PRIMARY KEY ("verification_id"),
    CONSTRAINT "verification_tries_verification" FOREIGN KEY ("verification_id") REFERENCES {{verifications}} ("id") ON DELETE RESTRICT,
    CONSTRAINT "verification_tries_not_negative" CHECK ("attempts" >= 0)
) STRICT, WITHOUT ROWID;
