CREATE TABLE {{test_bs}} (
    "id" BLOB NOT NULL CHECK (length("id") = 16),
    "title" TEXT,
    "description" TEXT,
    "timestamp" INTEGER NOT NULL,
    "test_a_id" BLOB CHECK (length("test_a_id") = 16),
    "revision" INTEGER NOT NULL,
    "version" INTEGER NOT NULL,
    PRIMARY KEY ("id"),
    CONSTRAINT "test_bs_test_a" FOREIGN KEY ("test_a_id") REFERENCES {{test_as}} ("id") ON DELETE RESTRICT
) STRICT, WITHOUT ROWID;

CREATE INDEX {{bare:test_bs_test_a}} ON {{test_bs}} ("test_a_id", "id");
