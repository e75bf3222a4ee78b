CREATE TABLE {{session_uses}} (
    "session_id" BLOB NOT NULL CHECK (length("session_id") = 16),
    "last_used_at" INTEGER NOT NULL,
    "revision" INTEGER NOT NULL,
    "version" INTEGER NOT NULL,
    PRIMARY KEY ("session_id"),
    CONSTRAINT "session_uses_session" FOREIGN KEY ("session_id") REFERENCES {{sessions}} ("id") ON DELETE RESTRICT
) STRICT, WITHOUT ROWID;
