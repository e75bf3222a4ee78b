CREATE TABLE {{api_key_uses}} (
    "api_key_id" BLOB NOT NULL CHECK (length("api_key_id") = 16),
    "last_used_at" INTEGER,
    "revision" INTEGER NOT NULL,
    "version" INTEGER NOT NULL,
    PRIMARY KEY ("api_key_id"),
    CONSTRAINT "api_key_uses_api_key" FOREIGN KEY ("api_key_id") REFERENCES {{api_keys}} ("id") ON DELETE RESTRICT
) STRICT, WITHOUT ROWID;
