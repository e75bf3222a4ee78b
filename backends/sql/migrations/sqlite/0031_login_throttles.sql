CREATE TABLE {{login_throttles}} (
    "user_id" BLOB NOT NULL CHECK (length("user_id") = 16),
    "source" TEXT NOT NULL,
    "failures" INTEGER NOT NULL DEFAULT 0,
    "failed_at" INTEGER,
    "succeeded_at" INTEGER,
    "revision" INTEGER NOT NULL,
    "version" INTEGER NOT NULL,
    PRIMARY KEY ("user_id", "source"),
    CONSTRAINT "login_throttles_user" FOREIGN KEY ("user_id") REFERENCES {{users}} ("id") ON DELETE RESTRICT,
    CONSTRAINT "login_throttles_not_negative" CHECK ("failures" >= 0)
) STRICT, WITHOUT ROWID;

CREATE INDEX {{bare:login_throttles_failed_at}} ON {{login_throttles}} ("failed_at", "user_id", "source");
