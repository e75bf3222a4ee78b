CREATE TABLE "apportion_pots" (
    "id" BLOB NOT NULL CHECK (length("id") = 16),
    "revision" INTEGER NOT NULL,
    "version" INTEGER NOT NULL,
    PRIMARY KEY ("id")
) STRICT, WITHOUT ROWID;

ALTER TABLE "apportion_plants" ADD COLUMN "height" INTEGER NOT NULL DEFAULT 0 CONSTRAINT "plants_height_least" CHECK ("height" >= 0) CONSTRAINT "plants_height_age" CHECK ("height" <= "age");

ALTER TABLE "apportion_plants" ADD COLUMN "pot" BLOB CHECK (length("pot") = 16) CONSTRAINT "plants_pot" REFERENCES "apportion_pots" ("id") ON DELETE RESTRICT CONSTRAINT "plants_beside" REFERENCES "apportion_plants" ("id") ON DELETE NO ACTION;

ALTER TABLE "apportion_plants" ADD COLUMN "note" TEXT CONSTRAINT "plants_noted_whole" CHECK (("note" IS NULL) = ("pot" IS NULL));

CREATE UNIQUE INDEX "apportion_plants_note" ON "apportion_plants" ("note");

CREATE INDEX "apportion_plants_height" ON "apportion_plants" ("height", "id");

CREATE INDEX "apportion_plants_pot" ON "apportion_plants" ("pot", "id");
