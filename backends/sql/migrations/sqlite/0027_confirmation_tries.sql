CREATE TABLE {{confirmation_tries}} (
    "user_id" BLOB NOT NULL CHECK (length("user_id") = 16),
    "attempts" INTEGER NOT NULL DEFAULT 0,
    "revision" INTEGER NOT NULL,
    "version" INTEGER NOT NULL,
    PRIMARY KEY ("user_id"),
    CONSTRAINT "confirmation_tries_user" FOREIGN KEY ("user_id") REFERENCES {{users}} ("id") ON DELETE RESTRICT,
    CONSTRAINT "confirmation_tries_not_negative" CHECK ("attempts" >= 0)
) STRICT, WITHOUT ROWID;
