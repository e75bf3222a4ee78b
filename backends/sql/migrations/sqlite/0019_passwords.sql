CREATE TABLE {{passwords}} (
    "user_id" BLOB NOT NULL CHECK (length("user_id") = 16),
    "hash" TEXT NOT NULL,
    "updated_at" INTEGER NOT NULL,
    "revision" INTEGER NOT NULL,
    "version" INTEGER NOT NULL,
    PRIMARY KEY ("user_id"),
    CONSTRAINT "passwords_user" FOREIGN KEY ("user_id") REFERENCES {{users}} ("id") ON DELETE RESTRICT
) STRICT, WITHOUT ROWID;
