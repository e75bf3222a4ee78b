CREATE TABLE "apportion"."parents" (
    "hall" text COLLATE "C" NOT NULL,
    "number" bigint NOT NULL,
    "open" boolean NOT NULL DEFAULT true,
    "revision" bigint NOT NULL,
    "version" bigint NOT NULL,
    PRIMARY KEY ("hall", "number")
);

CREATE TABLE "apportion"."everything" (
    "realm" text COLLATE "C" NOT NULL,
    "id" uuid NOT NULL,
    "flag" boolean,
    "count" bigint NOT NULL DEFAULT -1,
    "count_limit" bigint,
    "starts" timestamptz NOT NULL,
    "ends" timestamptz,
    "state" text COLLATE "C" NOT NULL DEFAULT 'it''s open',
    "hint" text COLLATE "C",
    "document" jsonb,
    "hall" text COLLATE "C",
    "number" bigint,
    "above_realm" text COLLATE "C",
    "above" uuid,
    "shut" boolean NOT NULL DEFAULT false,
    "revision" bigint NOT NULL,
    "version" bigint NOT NULL,
    PRIMARY KEY ("realm", "id"),
    CONSTRAINT "everything_parent" FOREIGN KEY ("hall", "number") REFERENCES "apportion"."parents" ("hall", "number") ON DELETE RESTRICT,
    CONSTRAINT "everything_above" FOREIGN KEY ("above_realm", "above") REFERENCES "apportion"."everything" ("realm", "id") ON DELETE NO ACTION,
    CONSTRAINT "everything_count_least" CHECK ("count" >= -1),
    CONSTRAINT "everything_count_most" CHECK ("count" <= 10),
    CONSTRAINT "everything_starts_least" CHECK ("starts" >= TIMESTAMPTZ '1970-01-01T00:00:00.000000Z'),
    CONSTRAINT "everything_starts_most" CHECK ("starts" <= TIMESTAMPTZ '9999-12-31T23:59:59.999999Z'),
    CONSTRAINT "everything_count_limited" CHECK ("count" <= "count_limit"),
    CONSTRAINT "everything_starts_ends" CHECK ("starts" <= "ends"),
    CONSTRAINT "everything_state_known" CHECK ("state" IN ('it''s open', 'shut')),
    CONSTRAINT "everything_hint_none" CHECK ("hint" IS NULL),
    CONSTRAINT "everything_above_whole" CHECK (("above_realm" IS NULL) = ("above" IS NULL)),
    CONSTRAINT "everything_limited_whole" CHECK (("hall" IS NULL) = ("number" IS NULL) AND ("number" IS NULL) = ("count_limit" IS NULL))
);

CREATE UNIQUE INDEX "everything_state" ON "apportion"."everything" ("state");

CREATE UNIQUE INDEX "everything_place" ON "apportion"."everything" ("hall" NULLS FIRST, "count");

CREATE INDEX "everything_starts" ON "apportion"."everything" ("starts", "realm", "id");

CREATE INDEX "everything_id" ON "apportion"."everything" ("id", "flag" NULLS FIRST, "realm");

CREATE INDEX "everything_id_realm" ON "apportion"."everything" ("id", "realm");

CREATE INDEX "everything_parent" ON "apportion"."everything" ("hall" NULLS FIRST, "number" NULLS FIRST, "realm", "id");

CREATE INDEX "everything_above" ON "apportion"."everything" ("above_realm" NULLS FIRST, "above" NULLS FIRST, "realm", "id");
