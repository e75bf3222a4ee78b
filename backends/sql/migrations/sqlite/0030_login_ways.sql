CREATE TABLE {{login_ways}} (
    "user_id" BLOB NOT NULL CHECK (length("user_id") = 16),
    "ways" INTEGER NOT NULL DEFAULT 0,
    "revision" INTEGER NOT NULL,
    "version" INTEGER NOT NULL,
    PRIMARY KEY ("user_id"),
    CONSTRAINT "login_ways_user" FOREIGN KEY ("user_id") REFERENCES {{users}} ("id") ON DELETE RESTRICT,
    CONSTRAINT "login_ways_not_negative" CHECK ("ways" >= 0)
) STRICT, WITHOUT ROWID;
