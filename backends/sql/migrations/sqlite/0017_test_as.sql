CREATE TABLE {{test_as}} (
    "id" BLOB NOT NULL CHECK (length("id") = 16),
    "title" TEXT,
    "description" TEXT,
    "big_int" INTEGER,
    "timestamp" INTEGER NOT NULL,
    "revision" INTEGER NOT NULL,
    "version" INTEGER NOT NULL,
    PRIMARY KEY ("id")
) STRICT, WITHOUT ROWID;

CREATE INDEX {{bare:test_as_title}} ON {{test_as}} ("title", "id");
