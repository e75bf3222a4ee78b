CREATE TABLE {{user_access}} (
    "user_id" BLOB NOT NULL CHECK (length("user_id") = 16),
    "state" TEXT NOT NULL,
    "revision" INTEGER NOT NULL,
    "version" INTEGER NOT NULL,
    PRIMARY KEY ("user_id"),
    CONSTRAINT "user_access_user" FOREIGN KEY ("user_id") REFERENCES {{users}} ("id") ON DELETE RESTRICT,
    CONSTRAINT "user_access_state" CHECK ("state" IN ('active', 'suspended'))
) STRICT, WITHOUT ROWID;
