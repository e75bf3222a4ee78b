CREATE TABLE {{login_retries}} (
    "user_id" BLOB NOT NULL CHECK (length("user_id") = 16),
    "retry_count" INTEGER NOT NULL DEFAULT 0,
    "revision" INTEGER NOT NULL,
    "version" INTEGER NOT NULL,
    PRIMARY KEY ("user_id"),
    CONSTRAINT "login_retries_user" FOREIGN KEY ("user_id") REFERENCES {{users}} ("id") ON DELETE RESTRICT,
    CONSTRAINT "login_retries_not_negative" CHECK ("retry_count" >= 0)
) STRICT, WITHOUT ROWID;
