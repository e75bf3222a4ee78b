CREATE TABLE {{login_rates}} (
    "user_id" BLOB NOT NULL CHECK (length("user_id") = 16),
    "window" INTEGER NOT NULL DEFAULT 0,
    "tries" INTEGER NOT NULL DEFAULT 0,
    "revision" INTEGER NOT NULL,
    "version" INTEGER NOT NULL,
    PRIMARY KEY ("user_id"),
    CONSTRAINT "login_rates_user" FOREIGN KEY ("user_id") REFERENCES {{users}} ("id") ON DELETE RESTRICT,
    CONSTRAINT "login_rates_not_negative" CHECK ("tries" >= 0)
) STRICT, WITHOUT ROWID;
