CREATE TABLE {{sessions}} (
    "id" BLOB NOT NULL CHECK (length("id") = 16),
    "user_id" BLOB NOT NULL CHECK (length("user_id") = 16),
    "state" TEXT NOT NULL,
    "token_hash" TEXT NOT NULL,
    "expires_at" INTEGER NOT NULL,
    "verified_at" INTEGER,
    "ip" TEXT,
    "agent" TEXT,
    "created_at" INTEGER NOT NULL,
    "updated_at" INTEGER NOT NULL,
    "revision" INTEGER NOT NULL,
    "version" INTEGER NOT NULL,
    PRIMARY KEY ("id"),
    CONSTRAINT "sessions_user" FOREIGN KEY ("user_id") REFERENCES {{users}} ("id") ON DELETE RESTRICT,
    CONSTRAINT "sessions_state" CHECK ("state" IN ('awaiting_second_factor', 'full'))
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX {{bare:sessions_token_hash}} ON {{sessions}} ("token_hash");

CREATE INDEX {{bare:sessions_expires_at}} ON {{sessions}} ("expires_at", "id");

CREATE INDEX {{bare:sessions_user}} ON {{sessions}} ("user_id", "id");
