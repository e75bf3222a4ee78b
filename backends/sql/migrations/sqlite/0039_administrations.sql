CREATE TABLE {{administrations}} (
    "id" TEXT NOT NULL,
    "administrators" INTEGER NOT NULL,
    "revision" INTEGER NOT NULL,
    "version" INTEGER NOT NULL,
    PRIMARY KEY ("id"),
    CONSTRAINT "administrations_at_least_one" CHECK ("administrators" >= 1)
) STRICT, WITHOUT ROWID;
