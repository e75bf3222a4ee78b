CREATE TABLE {{connections}} (
    "id" BLOB NOT NULL CHECK (length("id") = 16),
    "user_id" BLOB NOT NULL CHECK (length("user_id") = 16),
    "provider_name" TEXT NOT NULL,
    "provider_id" TEXT NOT NULL,
    "email" TEXT,
    "created_at" INTEGER NOT NULL,
    "updated_at" INTEGER NOT NULL,
    "revision" INTEGER NOT NULL,
    "version" INTEGER NOT NULL,
    PRIMARY KEY ("id"),
    CONSTRAINT "connections_user" FOREIGN KEY ("user_id") REFERENCES {{users}} ("id") ON DELETE RESTRICT
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX {{bare:connections_provider}} ON {{connections}} ("provider_name", "provider_id");

CREATE INDEX {{bare:connections_user}} ON {{connections}} ("user_id", "id");
