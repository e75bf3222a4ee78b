CREATE TABLE "apportion_parents" (
    "hall" TEXT NOT NULL,
    "number" INTEGER NOT NULL,
    "open" INTEGER NOT NULL DEFAULT 1 CHECK ("open" IN (0, 1)),
    "revision" INTEGER NOT NULL,
    "version" INTEGER NOT NULL,
    PRIMARY KEY ("hall", "number")
) STRICT, WITHOUT ROWID;

CREATE TABLE "apportion_everything" (
    "realm" TEXT NOT NULL,
    "id" BLOB NOT NULL CHECK (length("id") = 16),
    "flag" INTEGER CHECK ("flag" IN (0, 1)),
    "count" INTEGER NOT NULL DEFAULT -1,
    "count_limit" INTEGER,
    "starts" INTEGER NOT NULL,
    "ends" INTEGER,
    "state" TEXT NOT NULL DEFAULT 'it''s open',
    "hint" TEXT,
    "document" TEXT CHECK (json_valid("document")),
    "hall" TEXT,
    "number" INTEGER,
    "above_realm" TEXT,
    "above" BLOB CHECK (length("above") = 16),
    "shut" INTEGER NOT NULL DEFAULT 0 CHECK ("shut" IN (0, 1)),
    "revision" INTEGER NOT NULL,
    "version" INTEGER NOT NULL,
    PRIMARY KEY ("realm", "id"),
    CONSTRAINT "everything_parent" FOREIGN KEY ("hall", "number") REFERENCES "apportion_parents" ("hall", "number") ON DELETE RESTRICT,
    CONSTRAINT "everything_above" FOREIGN KEY ("above_realm", "above") REFERENCES "apportion_everything" ("realm", "id") ON DELETE NO ACTION,
    CONSTRAINT "everything_count_least" CHECK ("count" >= -1),
    CONSTRAINT "everything_count_most" CHECK ("count" <= 10),
    CONSTRAINT "everything_starts_least" CHECK ("starts" >= 0),
    CONSTRAINT "everything_starts_most" CHECK ("starts" <= 253402300799999999),
    CONSTRAINT "everything_count_limited" CHECK ("count" <= "count_limit"),
    CONSTRAINT "everything_starts_ends" CHECK ("starts" <= "ends"),
    CONSTRAINT "everything_state_known" CHECK ("state" IN ('it''s open', 'shut')),
    CONSTRAINT "everything_hint_none" CHECK ("hint" IS NULL),
    CONSTRAINT "everything_above_whole" CHECK (("above_realm" IS NULL) = ("above" IS NULL)),
    CONSTRAINT "everything_limited_whole" CHECK (("hall" IS NULL) = ("number" IS NULL) AND ("number" IS NULL) = ("count_limit" IS NULL))
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX "apportion_everything_state" ON "apportion_everything" ("state");

CREATE UNIQUE INDEX "apportion_everything_place" ON "apportion_everything" ("hall", "count");

CREATE INDEX "apportion_everything_starts" ON "apportion_everything" ("starts", "realm", "id");

CREATE INDEX "apportion_everything_id" ON "apportion_everything" ("id", "flag", "realm");

CREATE INDEX "apportion_everything_id_realm" ON "apportion_everything" ("id", "realm");

CREATE INDEX "apportion_everything_parent" ON "apportion_everything" ("hall", "number", "realm", "id");

CREATE INDEX "apportion_everything_above" ON "apportion_everything" ("above_realm", "above", "realm", "id");
