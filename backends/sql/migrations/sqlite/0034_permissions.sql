CREATE TABLE {{permissions}} (
    "id" BLOB NOT NULL CHECK (length("id") = 16),
    "action" TEXT NOT NULL,
    "entity" TEXT NOT NULL,
    "access" TEXT NOT NULL,
    "description" TEXT,
    "created_at" INTEGER NOT NULL,
    "updated_at" INTEGER NOT NULL,
    "revision" INTEGER NOT NULL,
    "version" INTEGER NOT NULL,
    PRIMARY KEY ("id"),
    CONSTRAINT "permissions_access" CHECK ("access" IN ('own', 'any'))
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX {{bare:permissions_what}} ON {{permissions}} ("action", "entity", "access");
