CREATE TABLE {{recovery_codes}} (
    "id" BLOB NOT NULL CHECK (length("id") = 16),
    "user_id" BLOB NOT NULL CHECK (length("user_id") = 16),
    "hash" TEXT NOT NULL,
    "created_at" INTEGER NOT NULL,
    "revision" INTEGER NOT NULL,
    "version" INTEGER NOT NULL,
    PRIMARY KEY ("id"),
    CONSTRAINT "recovery_codes_user" FOREIGN KEY ("user_id") REFERENCES {{users}} ("id") ON DELETE RESTRICT
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX {{bare:recovery_codes_hash}} ON {{recovery_codes}} ("hash");

CREATE INDEX {{bare:recovery_codes_user}} ON {{recovery_codes}} ("user_id", "id");
